"""AF_PACKET ring (TPACKET_V3) → batches of frames that borrow its blocks.

The kernel fills blocks in turn and hands one over when it is full, or some time after its first frame.  It numbers them
from 1, so the number tells the place: a worker that takes over a ring from a dead one goes on at the next number
(Documentation/networking/packet_mmap.rst).
"""
from libc.string cimport memmove
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from cext.shared cimport load32, store32
from cext.source cimport fetch_frame
from cext.types cimport SECOND
from cext.wire cimport prefetch


cdef enum:
    ETHERTYPE_VLAN = 0x8100
    TAG_SIZE = 4                   # what PACKET_RESERVE keeps free in front of each frame
    LINE = 64                      # of the cache
    AHEAD = 512                    # lines; about what a batch has


cdef class Ring(FrameSource):
    """The ring of a socket that was set up by another; ``done`` is the number of the last block that a worker before
    this one had in hand.  Raises OSError where it cannot be mapped."""

    def __cinit__(self, int fd, *, uint32_t block_size, uint32_t block_count, uint32_t link, uint64_t done=0):
        self.block_size, self.block_count, self.link = block_size, block_count, link
        self.size = <size_t>block_size * block_count
        self.base = <uint8_t*>mmap(NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if self.base == <uint8_t*>MAP_FAILED:
            self.base = NULL
            raise OSError(0, "the ring cannot be mapped")
        self.poll_also(fd)
        self.block = done
        if done and self.block_at(done).hdr.bh1.seq_num == done:
            self.give_back()

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.size)

    def account(self):
        """Fetches what the kernel has counted since the last time."""
        cdef tpacket_stats_v3 stats
        cdef socklen_t size = sizeof(stats)
        if getsockopt(self.polled[0].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size):
            raise OSError(0, "the ring's statistics cannot be read")
        self.kernel_packets += stats.tp_packets - stats.tp_drops
        self.kernel_drops += stats.tp_drops
        self.freezes += stats.tp_freeze_q_cnt

    cdef tpacket_block_desc* block_at(self, uint64_t number) noexcept nogil:
        return <tpacket_block_desc*>(self.base + <size_t>((number - 1) % self.block_count) * self.block_size)

    cdef int fill(self, Frame* frames, int room, Time limit) noexcept nogil:
        """Trick "the whole batch ahead": what another processor has written is fetched at once, for each header tells
        only where the next is, and would have to be waited for."""
        cdef int n = 0, i
        cdef const uint8_t* begin
        if self.left == 0:
            if not self.open_block():
                return 0
            begin = <const uint8_t*>self.next
            for i in range(AHEAD):
                prefetch(begin + i * LINE)
        while n < room and self.left:
            self.take(&frames[n])
            n += 1
        self.boundary = self.left == 0
        self.ahead, self.ahead_left = self.next, self.left
        return n

    cdef void look_ahead(self) noexcept nogil:
        cdef uint32_t step
        if self.ahead_left == 0:
            return
        step = self.ahead.tp_next_offset
        self.ahead_left -= 1
        self.ahead = <tpacket3_hdr*>(<uint8_t*>self.ahead + step)
        fetch_frame(<uint8_t*>self.ahead, step)

    cdef bint open_block(self) noexcept nogil:
        """Takes the next block, if the kernel has handed it over."""
        cdef tpacket_block_desc* block = self.block_at(self.block + 1)
        if not load32(&block.hdr.bh1.block_status) & TP_STATUS_USER:
            return False
        self.block += 1
        self.left = block.hdr.bh1.num_pkts
        if self.ledger is not None:
            self.ledger.open_block(self.block, self.left)
        self.next = <tpacket3_hdr*>(<uint8_t*>block + block.hdr.bh1.offset_to_first_pkt)
        if self.left == 0:
            self.give_back()
        return self.left != 0

    cdef void take(self, Frame* frame) noexcept nogil:
        """One frame; a VLAN tag that the kernel has taken out is put back (IEEE 802.1Q, 9.3)."""
        cdef tpacket3_hdr* h = self.next
        cdef uint8_t* p = <uint8_t*>h + h.tp_mac
        cdef uint32_t kind
        frame.ts = <Time>h.tp_sec * SECOND + h.tp_nsec
        frame.captured, frame.link = h.tp_snaplen, self.link
        if h.tp_status & TP_STATUS_VLAN_VALID and h.tp_snaplen >= 12:
            kind = h.hv1.tp_vlan_tpid if h.tp_status & TP_STATUS_VLAN_TPID_VALID else ETHERTYPE_VLAN
            memmove(p - TAG_SIZE, p, 12)
            p[8], p[9] = <uint8_t>(kind >> 8), <uint8_t>kind
            p[10], p[11] = <uint8_t>(h.hv1.tp_vlan_tci >> 8), <uint8_t>h.hv1.tp_vlan_tci
            p -= TAG_SIZE
            frame.captured += TAG_SIZE
        frame.p = p
        self.next = <tpacket3_hdr*>(<uint8_t*>h + h.tp_next_offset)
        self.left -= 1

    cdef void give_back(self) noexcept nogil:
        store32(&self.block_at(self.block).hdr.bh1.block_status, TP_STATUS_KERNEL)
        self.boundary = False

    cdef int filled(self) noexcept nogil:
        """Blocks ahead that the kernel has handed over, found by halves: they lie one behind the other."""
        cdef uint32_t low = 0, high = self.block_count - 1, middle
        while low < high:
            middle = (low + high + 1) // 2
            if load32(&self.block_at(self.block + middle).hdr.bh1.block_status) & TP_STATUS_USER:
                low = middle
            else:
                high = middle - 1
        return <int>(100 * low // self.block_count)
