"""UDP sockets → batches of frames, for where no raw socket can be had.

The kernel takes off the headers of the tunnel's IP and UDP.  The sender's address is the mirrored interface, so they
are put on again, from what the kernel says of a datagram: what follows sees what it sees of a ring.  A datagram is
never cut off, for a slot has room for the longest.
"""
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from cext.ledger cimport IN_MESSAGES, NOT_RECEIVED, msghdr
from cext.types cimport SECOND
from cext.wire cimport be32, be64

cdef enum:
    LINKTYPE_RAW = 101
    UDP_HEADER = 8
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    IPPROTO_UDP = 17
    AF_INET = 2
    SO_MEMINFO = 55                # asm-generic/socket.h
    MEMINFO_USED = 0               # linux/sock_diag.h
    MEMINFO_ROOM = 1
    MEMINFO_DROPS = 8
    MEMINFO_WORDS = 9


cdef class Receiver(FrameSource):
    """``sockets``: descriptor, port, and the kernel's count of drops when it was opened; they stamp times.  ``done``:
    the number of the last batch that a worker before this one had in hand."""

    def __cinit__(self, sockets, *, uint64_t done=0):
        for i, (fd, port, dropped) in enumerate(sockets):
            self.poll_also(fd)
            self.ports[i], self.dropped[i] = port, dropped
        self.block, self.counts_on = done, True
        self.slots = <Slot*>calloc(MOST_MESSAGES, sizeof(Slot))
        if self.slots == NULL:
            raise MemoryError("receive buffers")

    def __dealloc__(self):
        free(self.slots)

    def account(self):
        """Fetches what the kernel has dropped since the sockets were opened."""
        cdef uint32_t info[MEMINFO_WORDS]
        cdef socklen_t size
        cdef int i
        for i in range(self.polled_count):
            size = sizeof(info)
            if getsockopt(self.polled[i].fd, SOL_SOCKET, SO_MEMINFO, info, &size):
                raise OSError(0, "the socket's statistics cannot be read")
            self.kernel_drops += <uint32_t>(info[MEMINFO_DROPS] - self.dropped[i])
            self.dropped[i] = info[MEMINFO_DROPS]

    cdef int filled(self) noexcept nogil:
        """Of the fullest socket's receive buffer."""
        cdef uint32_t info[MEMINFO_WORDS]
        cdef socklen_t size
        cdef int i, most = 0
        for i in range(self.polled_count):
            size = sizeof(info)
            if getsockopt(self.polled[i].fd, SOL_SOCKET, SO_MEMINFO, info, &size) == 0 and info[MEMINFO_ROOM]:
                most = max(most, <int>(100 * <uint64_t>info[MEMINFO_USED] // info[MEMINFO_ROOM]))
        return most

    cdef mmsghdr* message(self, int i) noexcept nogil:
        return &self.ledger.book.messages[i]

    cdef int fill(self, Frame* frames, int room, Time limit) noexcept nogil:
        cdef int i, n = 0
        cdef uint16_t port = 0
        for _ in range(self.polled_count):
            port = self.ports[self.turn]
            n = self.receive(self.polled[self.turn].fd, room if room < MOST_MESSAGES else MOST_MESSAGES)
            self.turn = (self.turn + 1) % self.polled_count
            if n > 0:
                break
        if n <= 0:
            return 0
        for i in range(n):
            self.wrap(&frames[i], i, port)
        self.kernel_packets += n
        self.boundary = True
        return n

    cdef int receive(self, int fd, int room) noexcept nogil:
        """One batch; a batch in which nothing came is booked as one of no frames."""
        cdef mmsghdr* m
        cdef int i
        for i in range(MOST_MESSAGES):
            m = self.message(i)
            m.msg_len = NOT_RECEIVED
            memset(&m.msg_hdr, 0, sizeof(msghdr))
            self.slots[i].place.iov_base = self.slots[i].bytes + HEADROOM
            self.slots[i].place.iov_len = LONGEST_DATAGRAM
            m.msg_hdr.msg_name, m.msg_hdr.msg_namelen = self.slots[i].sender, SENDER
            m.msg_hdr.msg_iov, m.msg_hdr.msg_iovlen = &self.slots[i].place, 1
            m.msg_hdr.msg_control, m.msg_hdr.msg_controllen = self.slots[i].control, CONTROL
        self.block += 1
        self.ledger.open_block(self.block, IN_MESSAGES)
        return recvmmsg(fd, self.message(0), room, MSG_DONTWAIT, NULL)

    cdef void wrap(self, Frame* frame, int i, uint16_t port) noexcept nogil:
        """Puts IP and UDP in front again; the receiver's own address stays empty."""
        cdef Slot* slot = &self.slots[i]
        cdef uint32_t size = UDP_HEADER + self.message(i).msg_len
        cdef uint16_t family
        cdef uint8_t* p = slot.bytes + HEADROOM - UDP_HEADER
        memcpy(&family, slot.sender, 2)
        memcpy(p, slot.sender + 2, 2)
        p[2], p[3], p[4], p[5] = <uint8_t>(port >> 8), <uint8_t>port, <uint8_t>(size >> 8), <uint8_t>size
        p[6] = p[7] = 0
        if family == AF_INET or is_mapped(slot.sender + 8):
            p -= IPV4_HEADER
            size += IPV4_HEADER
            memset(p, 0, IPV4_HEADER)
            p[0], p[2], p[3], p[9] = 0x45, <uint8_t>(size >> 8), <uint8_t>size, IPPROTO_UDP
            memcpy(p + 12, slot.sender + (4 if family == AF_INET else 20), 4)
        else:
            p -= IPV6_HEADER
            memset(p, 0, IPV6_HEADER)
            p[0], p[4], p[5], p[6] = 0x60, <uint8_t>(size >> 8), <uint8_t>size, IPPROTO_UDP
            memcpy(p + 8, slot.sender + 8, 16)
            size += IPV6_HEADER
        frame.p, frame.captured, frame.link = p, size, LINKTYPE_RAW
        frame.ts = stamp(&self.message(i).msg_hdr)


cdef inline bint is_mapped(const uint8_t* a) noexcept nogil:
    """True for IPv4 in IPv6 (RFC 4291, 2.5.5.2)."""
    return be64(a) == 0 and be32(a + 8) == 0xffff


cdef Time stamp(msghdr* message) noexcept nogil:
    """When the kernel received it; now, where it does not say."""
    cdef cmsghdr* control = CMSG_FIRSTHDR(message)
    cdef timespec when
    if control != NULL and control.cmsg_level == SOL_SOCKET and control.cmsg_type == SO_TIMESTAMPNS:
        memcpy(&when, CMSG_DATA(control), sizeof(when))
    else:
        clock_gettime(CLOCK_REALTIME, &when)
    return <Time>when.tv_sec * SECOND + when.tv_nsec
