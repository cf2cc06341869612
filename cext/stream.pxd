"""TCP payload in order: what is held, what is given up, what goes on."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.flow cimport Flow, Side
from cext.packet cimport Packet
from cext.tcp cimport Turn
from cext.types cimport Time


cdef class Taker:
    """Who takes the streams: every byte of one direction once and in order, or word of its loss."""
    cdef bint wants(self, Flow* f) noexcept nogil
    cdef void data(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n, Time ts) noexcept nogil
    cdef void lost(self, Flow* f, bint is_orig, uint64_t n, Time ts) noexcept nogil
    cdef void eof(self, Flow* f, bint is_orig, Time ts) noexcept nogil


cdef inline uint64_t goal(const Side* s) noexcept nogil:
    """One past the last payload byte that is known to exist because it was acknowledged; the FIN is none."""
    return s.fin - 1 if s.fin and s.acked >= s.fin else s.acked


@final
cdef class Streams:
    cdef Taker taker
    cdef Time window               # how long a hole may last once its data is acknowledged
    cdef uint32_t window_packets   # … or for how many packets of its flow
    cdef uint32_t side_bytes       # held for one direction
    cdef uint64_t most_bytes       # held for all
    cdef uint64_t held
    cdef uint64_t gaps
    cdef uint64_t missed
    cdef uint64_t shed             # times that a hole was given up for want of memory

    cdef void push_late(self, Flow* f, const Turn* t, const Packet* p) noexcept nogil
    cdef void settle(self, Flow* f, Time now) noexcept nogil
    cdef void flush(self, Flow* f, Time now) noexcept nogil
    cdef void deliver_less(self, Flow* f, bint is_orig, uint32_t n, Time ts) noexcept nogil
    cdef bint hold(self, Flow* f, const Turn* t, const Packet* p, uint64_t at, uint32_t cut) noexcept nogil
    cdef bint step(self, Flow* f, bint is_orig, Time now, bint forced) noexcept nogil
    cdef void give_up(self, Flow* f, bint is_orig, uint64_t to, Time now) noexcept nogil
    cdef bint may_give_up(self, const Flow* f, bint is_orig, Time now) noexcept nogil
    cdef void finish(self, Flow* f, Time now) noexcept nogil
    cdef void give_up_due(self, Flow* f, Time now) noexcept nogil
    cdef bint step_all(self, Flow* f, Time now) noexcept nogil
    cdef Time next_due(self, const Flow* f, Time now) noexcept nogil
    cdef void look_at_the_clock(self, Flow* f, Time now) noexcept nogil
    cdef void push_now(self, Flow* f, const Turn* t, const Packet* p) noexcept nogil
    cdef void start_waiting(self, Flow* f, Time now) noexcept nogil
    cdef void count_missed(self, Flow* f, bint is_orig, uint64_t n) noexcept nogil
    cdef Time first_window(self, const Flow* f, Time deadline) noexcept nogil

    cdef inline void push(self, Flow* f, const Turn* t, const Packet* p) noexcept nogil:
        """Takes a segment's payload, if it has any.  What is next in order goes on at once."""
        cdef Side* me = &f.side[t.is_orig]
        cdef Side* peer = &f.side[not t.is_orig]
        if me.waits or peer.waits or goal(peer) > peer.next or p.claimed and not (
                t.usable and <uint64_t>t.at == me.next):
            self.push_late(f, t, p)
            return
        if p.claimed:
            self.deliver(f, t.is_orig, p.payload, p.claimed, p.captured, p.ts)
        if me.fin and me.next + 1 >= me.fin and not me.eof_told:
            me.eof_told = True
            self.taker.eof(f, t.is_orig, p.ts)

    cdef inline void deliver(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n, uint32_t have,
                             Time ts) noexcept nogil:
        """Hands on ``n`` bytes of sequence space, of which ``have`` were captured."""
        f.side[is_orig].next += n
        if have:
            self.taker.data(f, is_orig, p, have, ts)
        if n > have:
            self.deliver_less(f, is_orig, n - have, ts)

    cdef inline Time wake(self, const Flow* f, Time deadline) noexcept nogil:
        """When the flow must be looked at: its deadline, or sooner when a window ends before."""
        return self.first_window(f, deadline) if f.side[0].waits or f.side[1].waits else deadline
