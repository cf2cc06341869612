"""What the TCP headers of both sides add up to: sequence spaces, states, history."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cext.flow cimport ESTABLISHED, MARK_ACK, MARK_DATA, End, Flow, Side
from cext.packet cimport ACK, FIN, RST, SYN, Packet

cdef enum:
    TRUSTED_JUMP = 1048576         # a SYN or RST that is further off says nothing of the stream (Zeek)


cdef struct Turn:                  # one TCP packet, seen from its flow
    int64_t at                     # relative sequence number of its first payload byte
    uint64_t acks                  # relative number that it acknowledges; 0: none that can be trusted
    bint is_orig                   # the sender, after the ends may have changed places
    bint usable                    # its payload belongs to the stream
    bint closing                   # both sides are done, or one was reset: the flow's end is near


cdef void take_any(Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil
cdef void locate(const Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil
cdef bint begins_anew(const Flow* f, const Packet* p) noexcept nogil
cdef uint64_t stream_bytes(const Flow* f, bint is_orig) noexcept nogil
cdef const char* conn_state(const Flow* f) noexcept nogil
cdef bint clean(const Flow* f) noexcept nogil


cdef inline bint take_expected(Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil:
    """Trick "header prediction" (Van Jacobson): a few looks tell what most packets are, the next data of an established
    connection or an acknowledgement of what was seen.  False, and nothing is booked, for all others."""
    cdef Side* me = &f.side[is_orig]
    cdef Side* peer = &f.side[not is_orig]
    cdef End* mine = &f.ends[is_orig]
    cdef uint32_t mark = (MARK_DATA if p.claimed else MARK_ACK) << (0 if is_orig else 16)
    cdef uint32_t acked = p.ack - peer.start - <uint32_t>peer.acked
    if (me.state != ESTABLISHED or peer.state != ESTABLISHED or p.flags & (SYN | FIN | RST | ACK) != ACK
            or p.seq - me.start != <uint32_t>mine.last or peer.acked + acked > f.ends[not is_orig].last
            or acked > TRUSTED_JUMP or p.window == 0 or not f.marks & mark or me.closed or peer.closed):
        return False
    turn.at, turn.is_orig, turn.usable, turn.closing = <int64_t>mine.last, is_orig, True, False
    mine.last += p.claimed
    peer.acked += acked
    turn.acks = peer.acked
    if p.ts > f.last:
        f.last = p.ts
    return True


cdef inline void take_turn(Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil:
    """Books one packet that counts; tells where its payload belongs."""
    if not take_expected(f, p, is_orig, turn):
        take_any(f, p, is_orig, turn)
