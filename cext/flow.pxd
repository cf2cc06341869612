"""The flow table: who talks with whom, and until when it is remembered."""
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cext.packet cimport Packet
from cext.types cimport Addr, Flag, Time, same_addr
from cext.wire cimport prefetch

cdef enum:
    NO_FLOW = 0xffffffff
    OF_TCP = 0x80000000            # bit of a flow's number: which of the two tables it is in
    NO_SLOT = 0xffff
    LONGEST_HISTORY = 28
    WHEEL_SLOTS = 1024
    WHEEL_SHIFT = 30               # a slot is 2^30 ns, about a second

cdef enum EndState:                # of one end of a TCP connection: Zeek's states
    INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET

cdef enum Mark:                    # history letters that are written once; orig's bit, resp's is 16 bits higher
    MARK_SYN = 1
    MARK_FIN = 2
    MARK_RST = 4
    MARK_DATA = 8
    MARK_ACK = 16
    MARK_MULTI = 32
    MARK_FIN_RST = 64
    MARK_FLIPPED = 128


cdef struct Segment:               # payload that waits for what comes before it
    Segment* after
    Segment* last                  # of the first one: the last one held, behind which most that come go
    uint64_t at                    # relative sequence number
    uint64_t acks                  # data of the other side that its sender had seen
    uint32_t n                     # bytes of sequence space
    uint32_t have                  # bytes of them that were captured
    Flag blind                     # nobody wanted the bytes: they are not kept, and not missed
    Flag trusted                   # both sides were well when it came: a hole in front of it is real
    uint32_t place                 # where in the history a hole in front of it was seen
    Time ts
    uint8_t bytes[1]


cdef struct End:                   # what one end has sent, whatever the protocol
    uint64_t packets
    uint64_t ip_bytes
    uint64_t last                  # one past the highest byte seen; payload bytes, for all but TCP
    Time seen                      # last packet of the vantage that counts
    uint32_t envelope              # the vantage that counts; others are twins
    uint32_t retransmits           # of TCP; here, for there is room


cdef struct Side:                  # one direction of TCP; sequence numbers are relative to the initial one, which is 0
    uint64_t acked                 # one past the highest byte that the other side has acknowledged
    uint64_t next                  # first byte that was neither delivered nor given up
    uint64_t missed
    uint64_t fin                   # one past the FIN, or 0
    Segment* held
    Time waits_since               # when the first held byte, or the first acknowledged hole, was seen
    uint32_t held_bytes
    uint32_t waits_packets         # packets of the flow since that is what it waits for
    uint32_t start                 # initial sequence number on the wire
    uint32_t syn_at                # where the last SYN, FIN, RST stood, for the history
    uint32_t fin_at
    uint32_t rst_at
    uint32_t gaps
    uint32_t zero_windows
    uint8_t gap_at                 # place in the history where the hole was seen
    uint8_t state
    uint8_t before                 # the state before this one
    Flag closed                    # its FIN or RST was reported
    Flag eof_told                  # the parser knows that no more will come
    Flag waits                     # something is held, or acknowledged and not seen
    Flag trusted                   # both sides were well when that began: a gap is real


cdef struct Flow:                  # one for each that is open: 312 bytes, and 176 of its sides where it is TCP; no gaps
    uint64_t hash
    Addr orig_h
    Addr resp_h
    uint16_t orig_p
    uint16_t resp_p
    uint8_t proto
    uint8_t tunnel_depth
    uint8_t history_size
    uint8_t parsing                # dispatch.pyx's own
    uint32_t tenant
    uint32_t uid_tenant            # that its uid is made of: a tenant map may change, a uid does not
    uint32_t envelope              # of the first packet
    uint32_t tunnel_vni
    uint32_t number                # in the table
    uint32_t timer_next
    uint32_t timer_before
    uint32_t marks
    Time first
    Time last
    Time deadline                  # a packet after it begins another flow
    Time wake                      # when the wheel must look at it; not later than deadline
    void* conn                     # the parser's half, or NULL
    uint64_t begun                 # bit i: protocol i of the registry was recognised
    uint64_t services              # … and confirmed by what followed
    uint64_t failed                # … or left again
    Time report                    # when an interim record is due
    Time twin_first                # another tenant has shown it: its flow began then
    uint32_t twin_tenant
    uint32_t twins                 # packets that another vantage showed again
    uint16_t timer_slot
    uint16_t vlan                  # of the first packet; NO_VLAN: none
    uint16_t inner_vlan
    uint8_t orig_l2[6]             # Ethernet addresses of the first packet
    uint8_t resp_l2[6]
    char history[LONGEST_HISTORY]
    uint8_t first_seen             # bit is_orig: a packet of that side was seen
    uint8_t flips
    uint8_t tries                  # datagrams that no protocol knew
    Flag has_l2
    Flag one_way
    Flag partial                   # began in the middle
    Flag is_twin
    Flag shed                      # not all of it was parsed: time or memory was short
    Flag lingers                   # it has ended; only late packets are waited for
    End ends[2]                    # by is_orig
    Side* side                     # both, by is_orig; of a flow that is not TCP they are nobody's, and all zero


cdef struct Bucket:
    uint32_t tag                   # tag_of its hash
    uint32_t number


cdef inline size_t size_of(bint of_tcp) noexcept nogil:
    """Trick "two sizes": flows without sequence numbers lie in a table of their own, without the sides for them: 312
    bytes instead of 488."""
    return sizeof(Flow) + (2 * sizeof(Side) if of_tcp else 0)


cdef inline uint32_t tag_of(uint64_t hash) noexcept nogil:
    """What a bucket keeps of a hash; its low bits say where the run of buckets begins."""
    return <uint32_t>(hash >> 32)


cdef inline Bucket bucket_of(const Flow* f) noexcept nogil:
    cdef Bucket b
    b.tag, b.number = tag_of(f.hash), f.number
    return b


@final
cdef class FlowTable:
    cdef uint8_t* flows[2]         # by "is it TCP?"
    cdef Bucket* buckets
    cdef uint32_t mask
    cdef uint32_t used[2]          # places in it that were ever taken
    cdef uint32_t most             # flows at a time
    cdef uint64_t count
    cdef bint ending               # no packet comes any more: buckets tell nothing
    cdef uint32_t free_list[2]
    cdef uint32_t wheel[WHEEL_SLOTS]
    cdef int64_t wheel_at          # slot number up to which all was looked at
    cdef Time now
    cdef uint64_t created
    cdef uint64_t peak

    cdef bint reserve(self, bint of_tcp) noexcept nogil
    cdef Flow* take_place(self, bint of_tcp) noexcept nogil
    cdef Flow* create(self, const Packet* p, bint flip) noexcept nogil
    cdef void remove(self, Flow* f) noexcept nogil
    cdef void leave(self, const Flow* f) noexcept nogil
    cdef void hang_up(self, Flow* f) noexcept nogil
    cdef void unlink(self, Flow* f) noexcept nogil
    cdef void schedule_later(self, Flow* f) noexcept nogil
    cdef Flow* due(self) noexcept nogil
    cdef void expect(self, uint32_t number) noexcept nogil
    cdef Flow* oldest(self) noexcept nogil
    cdef Flow* any(self) noexcept nogil
    cdef Flow* after(self, const Flow* f) noexcept nogil
    cdef Flow* first_from(self, int64_t slot) noexcept nogil
    cdef void hash_anew(self) noexcept nogil
    cdef void enter(self, Bucket b) noexcept nogil
    cdef void move_clock(self, Time now) noexcept nogil
    cdef void set_back(self, Time by) noexcept nogil
    cdef Flow* take_all(self) noexcept nogil
    cdef bint grow(self) noexcept nogil
    cdef void clear_buckets(self) noexcept nogil

    cdef inline Flow* at(self, uint32_t number) noexcept nogil:
        cdef bint of_tcp = number & OF_TCP != 0
        return <Flow*>(self.flows[of_tcp] + (number & ~<uint32_t>OF_TCP) * size_of(of_tcp))

    cdef inline void prefetch_bucket(self, uint64_t hash) noexcept nogil:
        prefetch(&self.buckets[tag_of(hash) & self.mask])

    cdef inline Flow* likely(self, uint64_t hash) noexcept nogil:
        """The flow that its bucket points at, if the first bucket is the right one; or NULL."""
        cdef Bucket b = self.buckets[tag_of(hash) & self.mask]
        return self.at(b.number) if b.number != NO_FLOW and b.tag == tag_of(hash) else NULL

    cdef inline void prefetch_flow(self, uint64_t hash) noexcept nogil:
        cdef const uint8_t* line = <const uint8_t*>self.likely(hash)
        if line != NULL:
            prefetch(line)
            prefetch(line + 64)
            prefetch(line + 128)
            prefetch(line + 192)

    cdef inline Flow* find(self, const Packet* p, bint* is_orig) noexcept nogil:
        """The flow of a packet and the side that sent it, or NULL."""
        cdef uint32_t tag = tag_of(p.hash), i = tag & self.mask
        cdef Flow* f
        while self.buckets[i].number != NO_FLOW:
            if self.buckets[i].tag == tag:
                f = self.at(self.buckets[i].number)
                if f.hash == p.hash and f.tenant == p.tenant and f.proto == p.proto:
                    if (f.orig_p == p.sport and f.resp_p == p.dport and same_addr(&f.orig_h, &p.src)
                            and same_addr(&f.resp_h, &p.dst)):
                        is_orig[0] = True
                        return f
                    if (f.resp_p == p.sport and f.orig_p == p.dport and not p.one_way
                            and same_addr(&f.resp_h, &p.src) and same_addr(&f.orig_h, &p.dst)):
                        is_orig[0] = False
                        return f
            i = (i + 1) & self.mask
        return NULL

    cdef inline void schedule(self, Flow* f, Time wake) noexcept nogil:
        """Sets when to look at a flow.  It is hung up anew only when that is sooner than its slot comes by."""
        cdef bint sooner = wake < f.wake or f.timer_slot == NO_SLOT
        f.wake = wake
        if sooner:
            self.hang_up(f)


cdef void note(Flow* f, bint is_orig, char letter) noexcept nogil
cdef bint note_once(Flow* f, bint is_orig, uint32_t mark, char letter) noexcept nogil
cdef void note_scaled(Flow* f, bint is_orig, char letter, uint32_t* count) noexcept nogil
cdef void note_gap(Flow* f, bint is_orig) noexcept nogil
cdef void flip(Flow* f) noexcept nogil
