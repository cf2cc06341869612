"""Whose is it?  Bytes of one side → the protocol that knows them.

The protocols of the flow's port are asked first.  Nothing is kept of a flow here: who says no is struck off in the
set that the caller keeps.
"""
from cext.cursor cimport cursor
from cext.packet cimport IPPROTO_UDP
from cext.parser cimport NOBODY, Match, Parser, Protocol, protocol, protocol_count
from cext.wire cimport lowest_bit


cdef class Recogniser:
    def __init__(self, wanted=None):
        """``wanted``: names of the protocols to ask; None for all."""
        cdef int i, j
        cdef uint64_t bit
        for i in range(protocol_count()):
            bit = <uint64_t>1 << i
            if wanted is None or protocol(i).name.decode() in wanted:
                self.wanted |= bit
            for j in range(2):
                if protocol(i).prototype[j] != NULL:
                    self.asked[j] |= bit & self.wanted
            for j in range(protocol(i).port_count):
                self.near_port[protocol(i).ports[j] & 63] |= bit
            if protocol(i).late:
                self.late |= bit

    cdef int who(self, const Flow* f, uint64_t* asked, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """The protocol that says yes, those of the port first, or NOBODY; strikes off those that say no."""
        cdef uint64_t at_port = self.at_port(f, asked[0]), others = asked[0] & ~at_port, left
        cdef bint datagrams = f.proto == IPPROTO_UDP
        cdef Protocol* known
        cdef Match match
        cdef int i, turn, likely = NOBODY   # at its own port a protocol over datagrams need not be certain
        for turn in range(2):
            left = others if turn else at_port
            while left:
                i = lowest_bit(left)
                left &= left - 1
                known = protocol(i)
                match = (<Parser>known.prototype[datagrams]).probe(is_orig, cursor(p, n))
                if match == Match.YES:
                    return i
                if match == Match.MAYBE and turn == 0 and datagrams and likely == NOBODY:
                    likely = i
                if match == Match.NO and not (datagrams and known.late):
                    asked[0] &= ~(<uint64_t>1 << i)
        return likely

    cdef uint64_t at_port(self, const Flow* f, uint64_t asked) noexcept nogil:
        """Those of the protocols whose usual port the responder has; over datagrams either side."""
        cdef bint datagrams = f.proto == IPPROTO_UDP
        cdef uint64_t found = 0
        cdef Protocol* known
        cdef int i, j
        asked &= self.near_port[f.resp_p & 63] | (self.near_port[f.orig_p & 63] if datagrams else 0)
        while asked:
            i = lowest_bit(asked)
            asked &= asked - 1
            known = protocol(i)
            for j in range(known.port_count):
                if known.ports[j] == f.resp_p or (datagrams and known.ports[j] == f.orig_p):
                    found |= <uint64_t>1 << i
        return found

    cdef int who_begins(self, uint64_t denied, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """Of those of TCP that may begin late, and that have ``denied`` what was said before: the one that says yes."""
        cdef uint64_t left = self.late & self.asked[False] & denied
        cdef int i
        while left:
            i = lowest_bit(left)
            left &= left - 1
            if (<Parser>protocol(i).prototype[False]).probe(is_orig, cursor(p, n)) == Match.YES:
                return i
        return NOBODY
