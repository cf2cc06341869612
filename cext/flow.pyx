"""The flow table: who talks with whom, and until when it is remembered.

Open addressing over 8-byte buckets, flows in stretches of memory that never move.  Each flow hangs in one slot of a
timer wheel; a flow whose deadline has moved on is hung up again when its slot comes by, so a packet pays nothing for
its timer.  Time is packet time, and never goes back.
"""
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove, memset
from posix.mman cimport (MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE,
                         madvise, mmap, munmap)

from cext.packet cimport IPPROTO_TCP
from cext.pool cimport take_pages
from cext.wire cimport prefetch

cdef enum:
    FIRST_BUCKETS = 8192
    MOST_TRIES = 64                # flows looked at to find one to evict


cdef Side nobody[2]                # all zero: what all but TCP has for sides


cdef class FlowTable:
    def __cinit__(self, uint32_t most=1 << 20):
        cdef int i
        self.most = most
        self.mask = FIRST_BUCKETS - 1
        self.buckets = <Bucket*>take_pages(FIRST_BUCKETS * sizeof(Bucket))
        if self.buckets == NULL or not self.reserve(0) or not self.reserve(1):
            raise MemoryError("flow table")
        self.clear_buckets()
        self.wheel_at = -1
        for i in range(WHEEL_SLOTS):
            self.wheel[i] = NO_FLOW

    def __dealloc__(self):
        cdef int i
        for i in range(2):
            if self.flows[i] != NULL:
                munmap(self.flows[i], self.most * size_of(i))
        free(self.buckets)

    cdef bint reserve(self, bint of_tcp) noexcept nogil:
        """Trick "reserved, not taken": addresses for all flows, memory for those that there were.  In huge pages, where
        the system gives them, a look at a flow misses the cache but not the table of pages.  False: that cannot be."""
        cdef size_t size = self.most * size_of(of_tcp)
        cdef void* all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if all == MAP_FAILED:
            return False
        madvise(all, size, MADV_HUGEPAGE)
        self.flows[of_tcp] = <uint8_t*>all
        self.free_list[of_tcp] = NO_FLOW
        return True

    cdef Flow* create(self, const Packet* p, bint flip) noexcept nogil:
        """A new flow whose first packet this is; with ``flip`` its sender is the responder.  NULL: no room."""
        cdef Flow* f
        if self.count == self.most or (2 * (self.count + 1) > self.mask and not self.grow()):
            return NULL
        f = self.take_place(p.proto == IPPROTO_TCP)
        f.hash, f.proto, f.one_way = p.hash, p.proto, p.one_way
        f.tenant = f.uid_tenant = p.tenant
        f.first = f.last = p.ts
        f.envelope, f.tunnel_vni, f.tunnel_depth = p.envelope, p.tunnel_vni, p.tunnel_depth
        f.timer_next = f.timer_before = NO_FLOW
        f.timer_slot = NO_SLOT
        f.ends[0].envelope = f.ends[1].envelope = NO_FLOW
        f.has_l2, f.vlan, f.inner_vlan = p.has_link, p.vlan, p.inner_vlan
        if p.has_link:             # destination, then source (IEEE 802.3, 3.2)
            memcpy(&f.orig_l2[0] if flip else &f.resp_l2[0], p.frame, 6)
            memcpy(&f.resp_l2[0] if flip else &f.orig_l2[0], p.frame + 6, 6)
        if flip:
            f.orig_h, f.resp_h, f.orig_p, f.resp_p = p.dst, p.src, p.dport, p.sport
            note_once(f, True, MARK_FLIPPED, c'^')
        else:
            f.orig_h, f.resp_h, f.orig_p, f.resp_p = p.src, p.dst, p.sport, p.dport
        self.enter(bucket_of(f))
        self.count += 1
        self.created += 1
        if self.count > self.peak:
            self.peak = self.count
        return f

    cdef Flow* take_place(self, bint of_tcp) noexcept nogil:
        """A flow that is all zero but for its number and its sides."""
        cdef uint32_t number = self.free_list[of_tcp]
        cdef Flow* f
        if number == NO_FLOW:      # none was given back: one that never was is zero already
            number = self.used[of_tcp] | (OF_TCP if of_tcp else 0)
            self.used[of_tcp] += 1
            f = self.at(number)
        else:
            f = self.at(number)
            self.free_list[of_tcp] = f.timer_next
            memset(f, 0, size_of(of_tcp))
        f.number = number
        f.side = <Side*>(f + 1) if of_tcp else nobody
        return f

    cdef bint grow(self) noexcept nogil:
        """Twice as many buckets.  Flows stay where they are, and are not looked at: tags tell the new places, which are
        as far on as the old ones, in one half or the other."""
        cdef uint32_t i, before = self.mask + 1
        cdef Bucket* old = self.buckets
        cdef Bucket* buckets = <Bucket*>take_pages(2 * <size_t>before * sizeof(Bucket))
        if buckets == NULL:
            return False
        self.buckets, self.mask = buckets, 2 * before - 1
        self.clear_buckets()
        for i in range(before):
            if old[i].number != NO_FLOW:
                self.enter(old[i])
        free(old)
        return True

    cdef void clear_buckets(self) noexcept nogil:
        memset(self.buckets, 0xff, (<size_t>self.mask + 1) * sizeof(Bucket))

    cdef void hash_anew(self) noexcept nogil:
        """Fills the buckets: the flows' hashes have changed."""
        cdef Flow* f = self.after(NULL)
        self.clear_buckets()
        while f != NULL:
            self.enter(bucket_of(f))
            f = self.after(f)

    cdef void enter(self, Bucket b) noexcept nogil:
        cdef uint32_t i = b.tag & self.mask
        while self.buckets[i].number != NO_FLOW:
            i = (i + 1) & self.mask
        self.buckets[i] = b

    cdef void remove(self, Flow* f) noexcept nogil:
        """Out of buckets and wheel; its place is free."""
        if not self.ending:
            self.leave(f)
        self.unlink(f)
        f.timer_next = self.free_list[f.number & OF_TCP != 0]
        self.free_list[f.number & OF_TCP != 0] = f.number
        self.count -= 1

    cdef void leave(self, const Flow* f) noexcept nogil:
        """Out of buckets.  What follows in the run of buckets is moved up: where its run began stands in its tag, so no
        other flow is touched, which would be a miss of the cache each."""
        cdef uint32_t i = tag_of(f.hash) & self.mask, j, home
        while self.buckets[i].number != f.number:
            i = (i + 1) & self.mask
        j = i
        while True:
            j = (j + 1) & self.mask
            if self.buckets[j].number == NO_FLOW:
                break
            home = self.buckets[j].tag & self.mask
            if ((j - home) & self.mask) >= ((j - i) & self.mask):
                self.buckets[i] = self.buckets[j]
                i = j
        self.buckets[i].number = self.buckets[i].tag = NO_FLOW

    cdef void hang_up(self, Flow* f) noexcept nogil:
        """Into the slot that comes by when the flow is to be looked at, unless it hangs in a sooner one."""
        cdef int64_t slot = f.wake >> WHEEL_SHIFT
        cdef uint16_t at
        if slot <= self.wheel_at:
            slot = self.wheel_at + 1
        if slot > self.wheel_at + WHEEL_SLOTS - 1:
            slot = self.wheel_at + WHEEL_SLOTS - 1
        if f.timer_slot != NO_SLOT:
            if ((f.timer_slot - self.wheel_at - 1) & (WHEEL_SLOTS - 1)) <= slot - self.wheel_at - 1:
                return
            self.unlink(f)
        at = <uint16_t>(slot & (WHEEL_SLOTS - 1))
        f.timer_slot, f.timer_before, f.timer_next = at, NO_FLOW, self.wheel[at]
        if self.wheel[at] != NO_FLOW:
            self.at(self.wheel[at]).timer_before = f.number
        self.wheel[at] = f.number

    cdef void unlink(self, Flow* f) noexcept nogil:
        if f.timer_slot == NO_SLOT:
            return
        if f.timer_before != NO_FLOW:
            self.at(f.timer_before).timer_next = f.timer_next
        else:
            self.wheel[f.timer_slot] = f.timer_next
        if f.timer_next != NO_FLOW:
            self.at(f.timer_next).timer_before = f.timer_before
        f.timer_next = f.timer_before = NO_FLOW
        f.timer_slot = NO_SLOT

    cdef void move_clock(self, Time now) noexcept nogil:
        if self.wheel_at < 0:
            self.wheel_at = (now >> WHEEL_SHIFT) - 1
        self.now = now

    cdef void set_back(self, Time by) noexcept nogil:
        """The clock that stamps packets was set back: what was due at a time is due as much sooner."""
        cdef Flow* f = self.take_all()
        cdef Flow* after
        cdef Segment* held
        cdef int i
        self.now -= by
        self.wheel_at = (self.now >> WHEEL_SHIFT) - 1
        while f != NULL:
            after = self.at(f.timer_next) if f.timer_next != NO_FLOW else NULL
            f.timer_next = f.timer_before = NO_FLOW
            f.timer_slot = NO_SLOT
            f.deadline -= by
            f.report -= by
            for i in range(2):
                f.ends[i].seen -= by
                if f.proto != IPPROTO_TCP:
                    continue
                f.side[i].waits_since -= by
                held = f.side[i].held
                while held != NULL:
                    held.ts -= by
                    held = held.after
            self.schedule(f, f.wake - by)
            f = after

    cdef Flow* take_all(self) noexcept nogil:
        """All flows out of the wheel, one behind the other by timer_next."""
        cdef Flow* first = NULL
        cdef Flow* f
        cdef uint32_t number, after
        cdef int slot
        for slot in range(WHEEL_SLOTS):
            number = self.wheel[slot]
            self.wheel[slot] = NO_FLOW
            while number != NO_FLOW:
                f = self.at(number)
                after = f.timer_next
                f.timer_next = first.number if first != NULL else NO_FLOW
                first = f
                number = after
        return first

    cdef Flow* due(self) noexcept nogil:
        """The next flow whose time to be looked at has passed, out of the wheel; NULL when there is none."""
        cdef int64_t now = self.now >> WHEEL_SHIFT
        cdef Flow* f
        cdef uint32_t number
        if now - self.wheel_at > WHEEL_SLOTS:
            self.wheel_at = now - WHEEL_SLOTS
        while self.wheel_at + 1 < now:
            number = self.wheel[(self.wheel_at + 1) & (WHEEL_SLOTS - 1)]
            if number == NO_FLOW:
                self.wheel_at += 1
                continue
            f = self.at(number)
            self.unlink(f)
            if f.wake < self.now:
                self.expect(self.wheel[(self.wheel_at + 1) & (WHEEL_SLOTS - 1)])
                return f
            self.schedule(f, f.wake)
        return NULL

    cdef void expect(self, uint32_t number) noexcept nogil:
        """This flow is the next to end: the bucket of the one behind it will be looked for, and the one after that."""
        cdef Flow* f
        if number == NO_FLOW:
            return
        number = self.at(number).timer_next
        if number == NO_FLOW:
            return
        f = self.at(number)
        if not self.ending:
            self.prefetch_bucket(f.hash)
        if f.timer_next != NO_FLOW:
            prefetch(self.at(f.timer_next))

    cdef Flow* oldest(self) noexcept nogil:
        """A flow that may give way: the first of those that would time out soonest."""
        cdef int64_t slot
        cdef uint32_t number
        cdef int tries = 0
        cdef Flow* f
        for slot in range(self.wheel_at + 1, self.wheel_at + WHEEL_SLOTS):
            number = self.wheel[slot & (WHEEL_SLOTS - 1)]
            while number != NO_FLOW:
                f = self.at(number)
                number = f.timer_next
                tries += 1
                if f.wake >> WHEEL_SHIFT <= slot or tries > MOST_TRIES:
                    return f
                self.schedule_later(f)
        return NULL

    cdef void schedule_later(self, Flow* f) noexcept nogil:
        """Hangs a flow up where it belongs by now."""
        self.unlink(f)
        self.schedule(f, f.wake)

    cdef Flow* any(self) noexcept nogil:
        """A flow, while there is one: for the end of a run, in the order of the wheel.  No packet may come before the
        last of them was removed: none is found by its hash any more, for that would be a miss of the cache each."""
        cdef Flow* f = self.first_from(self.wheel_at + 1)
        if f != NULL:
            if not self.ending:
                self.clear_buckets()
            self.expect(f.timer_next)
        self.ending = f != NULL
        return f

    cdef Flow* after(self, const Flow* f) noexcept nogil:
        """All flows, one after the other in the order of the wheel; NULL begins, and ends."""
        if f == NULL:
            return self.first_from(self.wheel_at + 1)
        if f.timer_next != NO_FLOW:
            return self.at(f.timer_next)
        return self.first_from(self.wheel_at + 2 + ((f.timer_slot - self.wheel_at - 1) & (WHEEL_SLOTS - 1)))

    cdef Flow* first_from(self, int64_t slot) noexcept nogil:
        """The first flow in a slot, or in those behind it up to the last."""
        while slot < self.wheel_at + 1 + WHEEL_SLOTS:
            if self.wheel[slot & (WHEEL_SLOTS - 1)] != NO_FLOW:
                return self.at(self.wheel[slot & (WHEEL_SLOTS - 1)])
            slot += 1
        return NULL


cdef void note(Flow* f, bint is_orig, char letter) noexcept nogil:
    """Adds a letter to the history; lower case for the responder.  A full history ends in X, as Zeek's does."""
    if f.history_size == LONGEST_HISTORY:
        f.history[LONGEST_HISTORY - 1] = c'X'
        return
    f.history[f.history_size] = letter if is_orig else letter | 0x20
    f.history_size += 1


cdef bint note_once(Flow* f, bint is_orig, uint32_t mark, char letter) noexcept nogil:
    """Adds the letter the first time; True when it was there already."""
    if not is_orig:
        mark <<= 16
    if f.marks & mark:
        return True
    f.marks |= mark
    note(f, is_orig, letter)
    return False


cdef void note_scaled(Flow* f, bint is_orig, char letter, uint32_t* count) noexcept nogil:
    """Counts, and adds the letter at the 1st, 10th, 100th … time (Zeek)."""
    cdef uint32_t threshold = 1
    count[0] += 1
    while threshold < count[0]:
        threshold *= 10
    if threshold == count[0]:
        note(f, is_orig, letter)


cdef void note_gap(Flow* f, bint is_orig) noexcept nogil:
    """Counts a gap; its letter stands where the hole was first seen, as if it had been given up at once (Zeek)."""
    cdef Side* s = &f.side[is_orig]
    cdef Side* peer = &f.side[not is_orig]
    cdef uint32_t before = f.history_size, at = s.gap_at
    cdef char letter
    note_scaled(f, is_orig, c'G', &s.gaps)
    if f.history_size == before:
        return
    move_places(s, at)
    move_places(peer, at + 1 if peer.waits_since <= s.waits_since else at)
    if at >= before:
        return
    letter = f.history[before]
    memmove(&f.history[at + 1], &f.history[at], before - at)
    f.history[at] = letter


cdef void move_places(Side* s, uint32_t at) noexcept nogil:
    """The holes that were seen later have their letters behind one that comes in."""
    cdef Segment* held = s.held
    if s.gap_at >= at:
        s.gap_at += 1
    while held != NULL:
        if held.place >= at:
            held.place += 1
        held = held.after


cdef void flip(Flow* f) noexcept nogil:
    """Originator and responder change places."""
    cdef uint8_t swap[6]
    f.orig_h, f.resp_h = f.resp_h, f.orig_h
    f.orig_p, f.resp_p = f.resp_p, f.orig_p
    f.ends[0], f.ends[1] = f.ends[1], f.ends[0]
    f.side[0], f.side[1] = f.side[1], f.side[0]
    memcpy(swap, f.orig_l2, 6)
    memcpy(f.orig_l2, f.resp_l2, 6)
    memcpy(f.resp_l2, swap, 6)
    f.marks = f.marks << 16 | f.marks >> 16
    f.first_seen = (f.first_seen & 1) << 1 | f.first_seen >> 1
    f.flips += 1
    note(f, True, c'^')
