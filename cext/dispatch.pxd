"""Streams and datagrams → the parser that knows them."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.flow cimport Flow
from cext.packet cimport IPPROTO_UDP, Packet
from cext.parser cimport Conn, Parser, Reason, Sink, Tap, Verdict
from cext.recognise cimport Recogniser
from cext.stream cimport Taker
from cext.types cimport Time

cdef enum Parsing:                 # Flow.parsing, in the order of life
    UNDECIDED                      # nothing was said yet
    PROBING                        # bytes are kept until a protocol knows them
    PARSED
    RESTING                        # … and its parser had nothing to keep: the next datagram goes to a new one
    OVER                           # nobody wants more of this flow


cdef enum Load:                    # what is left out where more comes than can be read
    KEEPS_UP
    NO_BODIES                      # bodies are not looked at
    NO_LARGE                       # … and the largest flows are not parsed
    NOTHING_NEW                    # … and no flow that begins


@final
cdef class Dispatch(Taker):
    cdef Sink sink
    cdef Recogniser recogniser
    cdef uint64_t patient[2]       # … and those whose flows may be silent for longer than others
    cdef uint64_t carried          # bytes in all carries
    cdef uint64_t most_carried
    cdef uint64_t parsers          # alive
    cdef uint64_t rejected
    cdef uint64_t shed             # flows that lost their parser for want of memory
    cdef Load load                 # how far behind the sensor is
    cdef uint64_t large            # bytes of a flow that is too large to be parsed now
    cdef uint64_t large_shed       # flows that lost their parser so
    cdef uint64_t unparsed         # flows that were never parsed

    cdef void set_load(self, Load load) noexcept nogil
    cdef bint is_too_large(self, Flow* f, bint is_orig) noexcept nogil
    cdef void datagram(self, Flow* f, bint is_orig, const Packet* p) noexcept nogil
    cdef void rest(self, Flow* f) noexcept nogil
    cdef bint resume(self, Flow* f) noexcept nogil
    cdef bint recognise(self, Flow* f, bint is_orig, const Packet* p) noexcept nogil
    cdef bint may_begin(self, Flow* f, uint64_t asked) noexcept nogil
    cdef void end(self, Flow* f, Reason why, Time ts) noexcept nogil
    cdef uint64_t longest_idle(self, uint64_t services, bint datagrams) noexcept nogil
    cdef Conn* open(self, Flow* f, bint datagrams) noexcept nogil
    cdef void probe(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef bint start(self, Flow* f, int number) noexcept nogil
    cdef void run_both(self, Flow* f, bint first) noexcept nogil
    cdef void feed(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef bint run(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef bint leave(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef bint keep(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n, uint32_t most) noexcept nogil
    cdef bint obey(self, Flow* f, Verdict verdict) noexcept nogil
    cdef bint end_skip(self, Flow* f, bint is_orig) noexcept nogil
    cdef void probe_late(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef bint begin_late(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef void give_up_side(self, Flow* f, bint is_orig) noexcept nogil
    cdef void note_rejection(self, Flow* f) noexcept nogil
    cdef bint stays(self, Flow* f) noexcept nogil
    cdef void switch(self, Flow* f) noexcept nogil
    cdef void close(self, Flow* f, Reason why) noexcept nogil
    cdef bint inside(self, Conn* outer, bint is_orig, const uint8_t* p, uint32_t n, uint64_t lost) noexcept nogil
    cdef void open_inside(self, Flow* f, Conn* outer) noexcept nogil
    cdef void give_back(self, Flow* f, Conn* outer) noexcept nogil
    cdef void end_side_inside(self, Conn* outer, bint is_orig) noexcept nogil
    cdef void end_inside(self, Conn* outer, Reason why) noexcept nogil
    cdef void drop_carry(self, Tap* tap) noexcept nogil
    cdef void free_parser(self, Conn* conn) noexcept nogil

    cdef inline uint64_t idle_seconds(self, const Flow* f) noexcept nogil:
        """How long the recognised protocols let the flow be silent; 0: nothing special."""
        cdef bint datagrams = f.proto == IPPROTO_UDP
        cdef uint64_t services = f.begun & ~f.failed & self.patient[datagrams]
        return self.longest_idle(services, datagrams) if services else 0
