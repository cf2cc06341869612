"""TCP payload in order: what is held, what is given up, what goes on.

A segment goes to the taker at once when it is the next one and its sender had seen nothing of the other side that we
have not.  Else it is copied and held: a mirror reorders, and shows answers before questions.  A hole is given up when
its data was acknowledged, so that it will not be sent again, and a bounded window of time or packets has passed; or
when memory is short.  The first copy of a byte wins.

    push ─┬─ next in order, nothing held ─────────────▶ data
          └─ hold ──▶ settle ─┬─ its turn has come ───▶ data
                              └─ window over ─────────▶ lost
"""
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cext.flow cimport INACTIVE, Segment, note_gap
from cext.tcp cimport clean
from cext.types cimport SECOND


cdef enum:
    LEAST_CHARGE = 2048            # bytes of a side's bound that a held segment takes: its list stays short to walk


cdef class Taker:
    cdef bint wants(self, Flow* f) noexcept nogil:
        return False

    cdef void data(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n, Time ts) noexcept nogil:
        pass

    cdef void lost(self, Flow* f, bint is_orig, uint64_t n, Time ts) noexcept nogil:
        pass

    cdef void eof(self, Flow* f, bint is_orig, Time ts) noexcept nogil:
        pass


cdef inline bint unseen(const Side* s, uint64_t acks) noexcept nogil:
    """True when ``acks`` speaks of data of this side that is not delivered yet."""
    if s.state == INACTIVE or acks <= s.next:
        return False
    return not (s.fin and acks >= s.fin and s.next + 1 >= s.fin)


cdef inline bint in_hole(const Side* s) noexcept nogil:
    return s.held != NULL or goal(s) > s.next


cdef inline uint32_t size_of(uint32_t have) noexcept nogil:
    """Bytes that a held segment takes of which so many were captured."""
    return <uint32_t>sizeof(Segment) + have


cdef inline uint32_t charge(uint32_t have) noexcept nogil:
    """What it counts for at its side."""
    return max(size_of(have), <uint32_t>LEAST_CHARGE)


cdef class Streams:
    def __init__(self, Taker taker, *, double window=0.25, uint32_t window_packets=2048, uint32_t side_bytes=4 << 20,
                 uint64_t most_bytes=48 << 20):
        self.taker, self.window, self.window_packets = taker, <Time>(window * SECOND), window_packets
        self.side_bytes, self.most_bytes = side_bytes, most_bytes

    cdef void push_late(self, Flow* f, const Turn* t, const Packet* p) noexcept nogil:
        """Keeps a segment whose turn it is not, and lets everything go whose turn has come."""
        cdef Side* me = &f.side[t.is_orig]
        cdef uint64_t at = <uint64_t>t.at
        cdef uint32_t cut = 0
        if p.claimed and t.usable and at + p.claimed > me.next:
            if at < me.next:       # a part is known already
                cut = <uint32_t>(me.next - at)
            if not self.hold(f, t, p, at + cut, cut):
                self.shed += 1
                self.push_now(f, t, p)
        self.settle(f, p.ts)

    cdef void look_at_the_clock(self, Flow* f, Time now) noexcept nogil:
        """Before a packet is booked: gives up what was due, whether or not the wheel has turned since."""
        f.side[0].waits_packets += 1
        f.side[1].waits_packets += 1
        if self.wake(f, now) < now:
            self.give_up_due(f, now)

    cdef void push_now(self, Flow* f, const Turn* t, const Packet* p) noexcept nogil:
        """Memory is short: all that is held goes, then this segment."""
        cdef Side* me = &f.side[t.is_orig]
        cdef uint64_t at = <uint64_t>t.at
        cdef uint32_t cut
        self.flush(f, p.ts)
        if at > me.next:
            self.give_up(f, t.is_orig, at, p.ts)
        if at + p.claimed > me.next:
            cut = <uint32_t>(me.next - at)
            self.deliver(f, t.is_orig, p.payload + (cut if cut < p.captured else p.captured), p.claimed - cut,
                         p.captured - cut if cut < p.captured else 0, p.ts)

    cdef void deliver_less(self, Flow* f, bint is_orig, uint32_t n, Time ts) noexcept nogil:
        """The end of a segment is missing in the copy."""
        f.side[is_orig].gap_at = f.history_size
        self.count_missed(f, is_orig, n)
        self.taker.lost(f, is_orig, n, ts)

    cdef bint hold(self, Flow* f, const Turn* t, const Packet* p, uint64_t at, uint32_t cut) noexcept nogil:
        """Copies what no held segment covers yet.  False when there is no memory for it."""
        cdef Side* me = &f.side[t.is_orig]
        cdef Segment** link = &me.held
        cdef Segment* s
        cdef bint blind = not self.taker.wants(f)
        cdef uint64_t end = <uint64_t>t.at + p.claimed, stop
        cdef uint32_t off, n, have
        if me.held != NULL and me.held.last.at <= at:
            link = &me.held.last       # read, and passed over: what comes is put behind it
        while at < end:
            while link[0] != NULL and link[0].at + link[0].n <= at:
                link = &link[0].after
            if link[0] != NULL and link[0].at <= at:
                at = link[0].at + link[0].n
                continue
            stop = link[0].at if link[0] != NULL and link[0].at < end else end
            off, n = <uint32_t>(at - <uint64_t>t.at), <uint32_t>(stop - at)
            have = 0 if p.captured <= off or blind else p.captured - off
            if have > n:
                have = n
            if me.held_bytes + charge(have) > self.side_bytes or self.held > self.most_bytes:
                return False
            s = <Segment*>malloc(size_of(have))
            if s == NULL:
                return False
            s.at, s.n, s.have, s.blind, s.ts, s.acks = at, n, have, blind, p.ts, t.acks
            s.place, s.trusted = f.history_size, clean(f)
            memcpy(s.bytes, p.payload + off, have)
            s.after = link[0]
            link[0] = s
            if s.after == NULL:
                me.held.last = s
            elif me.held == s:
                s.last = s.after.last
            me.held_bytes += charge(have)
            self.held += size_of(have)
            at = stop
        return True

    cdef void settle(self, Flow* f, Time now) noexcept nogil:
        """Lets go what can go; starts or stops the clock of what cannot.

        What was due before now is given up as of then: nothing depends on when anybody looked.
        """
        self.give_up_due(f, now)
        self.step_all(f, now)

    cdef void give_up_due(self, Flow* f, Time now) noexcept nogil:
        cdef Time due = self.next_due(f, now)
        while due < now and self.step_all(f, due):
            due = self.next_due(f, now)

    cdef bint step_all(self, Flow* f, Time now) noexcept nogil:
        """All that can go now; True when something could."""
        cdef bint moved = True
        cdef int steps = 0
        while moved:
            moved = self.step(f, True, now, False) or self.step(f, False, now, False)
            steps += moved
        self.start_waiting(f, now)
        return steps > 0

    cdef Time next_due(self, const Flow* f, Time now) noexcept nogil:
        """When the next hole is to be given up, if that is before now; else now."""
        cdef int i
        cdef Time end
        for i in range(2):
            end = f.side[i].waits_since + self.window
            if end < now and self.may_give_up(f, i, end) and f.side[i].waits_packets <= self.window_packets:
                now = end
        return now

    cdef void start_waiting(self, Flow* f, Time now) noexcept nogil:
        cdef int i
        cdef Side* s
        for i in range(2):
            s = &f.side[i]
            if not in_hole(s):
                s.waits = False
                if s.fin and s.next + 1 >= s.fin and not s.eof_told:
                    s.eof_told = True
                    self.taker.eof(f, i, now)
            elif not s.waits:
                s.waits, s.waits_since, s.waits_packets, s.gap_at = True, now, 0, f.history_size
                s.trusted = clean(f)
                if s.held != NULL:     # not the first hole: it was seen when what stands behind it came
                    s.waits_since, s.gap_at, s.trusted = s.held.ts, <uint8_t>s.held.place, s.held.trusted

    cdef bint step(self, Flow* f, bint is_orig, Time now, bint forced) noexcept nogil:
        """One segment delivered or one hole given up; False when this side can only wait."""
        cdef Side* me = &f.side[is_orig]
        cdef Side* peer = &f.side[not is_orig]
        cdef Segment* s = me.held
        cdef uint32_t cut
        if s != NULL and s.at <= me.next:
            if unseen(peer, s.acks):
                if not forced and not self.may_give_up(f, is_orig, now):
                    return False
                if peer.held == NULL or peer.held.at > peer.next:
                    self.give_up(f, not is_orig, s.acks if peer.held == NULL or s.acks < peer.held.at
                                 else peer.held.at, now)
                    return True    # the question is lost: that is said before its answer is told
                if not unseen(me, peer.held.acks):
                    return False   # the question is here, and its turn comes first
            me.held = s.after
            if me.held != NULL:
                me.held.last = s.last
            me.waits = False           # what is behind it waits since it came itself
            me.held_bytes -= charge(s.have)
            self.held -= size_of(s.have)
            if s.at + s.n > me.next:
                cut = <uint32_t>(me.next - s.at)
                if s.blind:
                    me.next += s.n - cut
                else:
                    self.deliver(f, is_orig, s.bytes + (cut if cut < s.have else s.have), s.n - cut,
                                 s.have - cut if cut < s.have else 0, s.ts)
            free(s)
            return True
        if in_hole(me) and (forced or (me.waits and self.may_give_up(f, is_orig, now))):
            self.give_up(f, is_orig, s.at if s != NULL else goal(me), now)
            return True
        return False

    cdef bint may_give_up(self, const Flow* f, bint is_orig, Time now) noexcept nogil:
        """True when the window is over and the missing data was acknowledged, or nobody is seen who could do so."""
        cdef const Side* me = &f.side[is_orig]
        if not me.waits:
            return False
        if me.held != NULL and me.held.at > me.next and goal(me) < me.held.at and f.ends[not is_orig].packets:
            return False
        return now - me.waits_since >= self.window or me.waits_packets > self.window_packets

    cdef void give_up(self, Flow* f, bint is_orig, uint64_t to, Time now) noexcept nogil:
        """The parser hears of it as of when the hole was seen: how long was waited is no part of what was said."""
        cdef Side* me = &f.side[is_orig]
        cdef uint64_t n = to - me.next
        cdef Time ts = me.waits_since if me.waits else now
        me.next = to
        self.count_missed(f, is_orig, n)
        me.waits = me.trusted = False
        self.taker.lost(f, is_orig, n, ts)

    cdef void count_missed(self, Flow* f, bint is_orig, uint64_t n) noexcept nogil:
        """Books a gap, unless the numbers of this flow cannot be trusted."""
        cdef Side* me = &f.side[is_orig]
        self.gaps += 1
        self.missed += n
        if me.trusted or clean(f):
            me.missed += n
            note_gap(f, is_orig)

    cdef void flush(self, Flow* f, Time now) noexcept nogil:
        """Lets everything go: the flow ends, or memory is short.  Of two holes the one that was seen first is first."""
        cdef bint first
        cdef bint moved = True
        while moved:
            self.step_all(f, now)
            first = f.side[True].waits_since <= f.side[False].waits_since
            moved = self.step(f, first, now, True) or self.step(f, not first, now, True)

    cdef void finish(self, Flow* f, Time now) noexcept nogil:
        """The flow has ended: nothing is held any more, and what is missing before a FIN is missed."""
        cdef int i
        self.flush(f, now)
        for i in range(2):
            if f.side[i].fin > f.side[i].next + 1 and clean(f):
                self.give_up(f, i, f.side[i].fin - 1, now)
        self.start_waiting(f, now)

    cdef Time first_window(self, const Flow* f, Time deadline) noexcept nogil:
        """When the first window ends, or the deadline if that is before."""
        cdef int i
        cdef Time end
        for i in range(2):
            if f.side[i].waits:
                end = f.side[i].waits_since + self.window
                if end < deadline:
                    deadline = end
        return deadline
