"""pcap and pcapng captures → batches of frames that borrow the file's bytes.

pcap in both byte orders and both resolutions; pcapng with several sections and interfaces, if_tsresol and if_tsoffset,
enhanced, simple and the old packet blocks; other blocks are passed over (draft-ietf-opsawg-pcap,
draft-ietf-opsawg-pcapng).  The bytes are fed chunk by chunk, or are those of a mapped file, stretch by stretch.
"""
from cpython.buffer cimport PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from cext.buffer cimport reserve
from cext.mapped cimport map_from
from cext.source cimport fetch_frame
from cext.types cimport SECOND
from cext.wire cimport be16, be32, be64, le16, le32

cdef enum:
    MOST_INTERFACES = 4096
    LONGEST_FRAME = 1 << 20        # four times libpcap's own limit; more is a damaged length
    LONGEST_BLOCK = 1 << 24
    MAGIC_MICRO = 0xa1b2c3d4
    MAGIC_NANO = 0xa1b23c4d
    MAGIC_SECTION = 0x0a0d0d0a
    MAGIC_ORDER = 0x1a2b3c4d

cdef enum Block:
    BLOCK_INTERFACE = 1
    BLOCK_PACKET = 2
    BLOCK_SIMPLE = 3
    BLOCK_ENHANCED = 6

cdef enum Option:
    OPTION_TSRESOL = 9
    OPTION_TSOFFSET = 14

cdef uint64_t LATEST_SECOND = 1 << 33    # the year 2242; keeps a time in nanoseconds inside of 64 bits

STATES = ("reading", "hungry", "ended", "cut off", "damaged", "no capture")


cdef class Capture(FrameSource):
    """Frames of one capture: ``feed`` it bytes and say ``end``."""

    def __cinit__(self):
        self.state = READING

    def __dealloc__(self):
        free(self.interfaces)
        free(self.own.p)

    def room(self, size_t n):
        """A view of ``n`` bytes to write to, behind those that are not read yet; then say ``fed``.  Frames given out
        before are void from here on."""
        if not self.move_home(n):
            raise MemoryError("capture buffer")
        return PyMemoryView_FromMemory(<char*>self.own.p + self.size, n, PyBUF_WRITE)

    def fed(self, size_t n):
        """So many bytes were written to the room."""
        self.size += n
        if self.state == HUNGRY:
            self.state = READING

    cdef bint move_home(self, size_t more) noexcept:
        """What is not read yet to the start of memory of our own, with room for ``more`` behind it.  False: memory is
        out."""
        cdef size_t left = self.size - self.at
        cdef size_t kept = left if self.file is None else 0
        if kept:
            memmove(self.own.p, self.own.p + self.at, kept)
        self.own.n = kept
        if not reserve(&self.own, left - kept + more):
            return False
        if self.file is not None:
            memcpy(self.own.p, self.base + self.at, left)
        if self.is_cut():
            left = 0               # some of them may be zeros
        self.file = None
        self.dropped += self.at
        self.base, self.size, self.at = self.own.p, left, 0
        return True

    def map(self, int fd, uint64_t file_size, size_t more):
        """The next stretch of a plain file that has so many bytes now: so many ``more`` behind those not read yet;
        frames given out before are void from here on.  How many there are: 0 at the end, -1 where the file cannot be
        mapped."""
        cdef size_t left = self.size - self.at
        cdef uint64_t start = self.dropped + self.at, end = start + left
        cdef MappedFile file
        if end > file_size:
            self.state = CUT_OFF
        if end >= file_size:
            return 0
        if self.file is None or end == self.file.mapping.end:
            file = map_from(fd, start, file_size)
            if file is None:
                return -1
            self.file = file
            self.base, self.size, self.at, self.dropped = file.mapping.p + (start - file.at), left, 0, start
        more = min(more, min(self.file.mapping.end, file_size) - end)
        self.file.move_on(start, end, end + more)
        self.size += more
        if self.state == HUNGRY:
            self.state = READING
        return more

    cdef bint is_cut(self) noexcept nogil:
        """The file was cut off while it was mapped."""
        if self.file is None or not self.file.is_cut():
            return False
        self.frames -= self.holding
        self.holding = False
        self.state = CUT_OFF
        return True

    cdef State damaged(self) noexcept nogil:
        """The state where what comes next is no frame."""
        return CUT_OFF if self.file is not None and self.file.is_shortened() else DAMAGED

    @property
    def next_byte(self):
        """How many bytes come before those that are not here yet."""
        return self.dropped + self.size

    def feed(self, chunk):
        """Adds bytes behind those that are not read yet."""
        self.room(len(chunk))[:] = chunk
        self.fed(len(chunk))

    def end(self):
        """No more bytes will be fed."""
        self.whole = True
        if self.state == HUNGRY:
            self.state = READING

    @property
    def status(self):
        """One of STATES."""
        return STATES[self.state]

    @property
    def offset(self):
        """Bytes read, of the plain capture."""
        return self.dropped + self.at

    @property
    def frames_read(self):
        return self.frames

    def next_time(self):
        """Time of the next frame in ns, or None when there is none, or not yet."""
        if not self.holding and self.advance(&self.held):
            self.holding = True
        return self.held.ts if self.holding else None

    cdef int fill(self, Frame* frames, int room, Time limit) noexcept nogil:
        """Up to ``room`` frames, none of them later than ``limit``.  Fewer: see ``state``, or one waits past it."""
        cdef int n = 0
        if self.format == PCAP and self.state == READING and not self.big and not self.holding:
            n = self.fill_usual(frames, room, limit)
        while n < room:
            if not self.holding:
                if not self.advance(&self.held):
                    break
                self.holding = True
            if self.held.ts > limit:
                break
            frames[n] = self.held
            self.holding = False
            n += 1
        self.ahead = self.base + self.at if not self.big else NULL
        if self.is_cut():          # some of them may be zeros
            self.frames -= n
            return 0
        return n

    cdef void look_ahead(self) noexcept nogil:
        """Trick "scout": the next batch is walked through while this one is worked on, for each frame tells only where
        the next is, and where a file is mapped each would have to be waited for."""
        cdef size_t left, step
        if self.ahead == NULL:
            return
        left = self.base + self.size - self.ahead
        step = 0 if left < 16 else 16 + <size_t>le32(self.ahead + 8) if self.format == PCAP else le32(self.ahead + 4)
        if step < 12 or step > left:
            self.ahead = NULL
            return
        self.ahead += step
        fetch_frame(self.ahead, step)

    cdef int fill_usual(self, Frame* frames, int room, Time limit) noexcept nogil:
        """What ``pcap_frame`` finds, of a capture as most are written, as long as the state stays as it is."""
        cdef const uint8_t* p = self.base + self.at
        cdef size_t left = self.size - self.at
        cdef Time unit = 1 if self.nano else 1000, ts
        cdef uint32_t n
        cdef int found = 0
        while found < room and left >= 16:
            n = le32(p + 8)
            ts = <Time>le32(p) * SECOND + le32(p + 4) * unit
            if n - 1 >= LONGEST_FRAME or left - 16 < n or ts > limit:
                break              # so is an empty one, for a file that was cut off has zeros there
            frames[found].p, frames[found].captured, frames[found].link, frames[found].ts = p + 16, n, self.link, ts
            found += 1
            p += 16 + n
            left -= 16 + n
        self.at, self.frames = self.size - left, self.frames + found
        return found

    cdef bint advance(self, Frame* frame) noexcept nogil:
        """The next frame, or False and a state."""
        cdef bint found
        if self.format == UNREAD:
            self.read_start()
        if self.state != READING:
            return False
        if self.format == PCAP:
            found = self.pcap_frame(frame)
        else:
            found = self.pcapng_frame(frame)
        found = found and not self.is_cut()
        self.frames += found
        return found

    cdef bint wants(self, size_t n) noexcept nogil:
        """True when ``n`` bytes are here; else the state says why not."""
        if self.size - self.at >= n:
            return True
        if not self.whole:
            self.state = HUNGRY
        elif self.size == self.at:
            self.state = ENDED
        else:
            self.state = CUT_OFF
        return False

    cdef uint32_t u32(self, const uint8_t* p) noexcept nogil:
        return be32(p) if self.big else le32(p)

    cdef uint16_t u16(self, const uint8_t* p) noexcept nogil:
        return be16(p) if self.big else le16(p)

    cdef void read_start(self) noexcept nogil:
        """Tells the format by its first bytes; a pcap header is used up."""
        cdef uint32_t magic
        if not self.wants(24):
            if self.whole:
                self.state = NO_CAPTURE
            return
        magic = be32(self.base + self.at)
        if magic == MAGIC_SECTION:
            self.format = PCAPNG
            return
        self.big = magic == MAGIC_MICRO or magic == MAGIC_NANO
        magic = self.u32(self.base + self.at)
        if magic != MAGIC_MICRO and magic != MAGIC_NANO:
            self.state = NO_CAPTURE
            return
        self.format = PCAP
        self.nano = magic == MAGIC_NANO
        self.link = self.u32(self.base + self.at + 20) & 0xffff     # the upper bits speak of frame check sequences
        self.at += 24

    cdef bint pcap_frame(self, Frame* frame) noexcept nogil:
        cdef const uint8_t* p
        cdef uint32_t n
        if not self.wants(16):
            return False
        p = self.base + self.at
        n = self.u32(p + 8)
        if n > LONGEST_FRAME or (n == 0 and self.damaged() == CUT_OFF):
            self.state = self.damaged()
            return False
        if not self.wants(16 + <size_t>n):
            return False
        frame.ts = <Time>self.u32(p) * SECOND + <Time>self.u32(p + 4) * (1 if self.nano else 1000)
        frame.p, frame.captured, frame.link = p + 16, n, self.link
        self.at += 16 + n
        return True

    cdef bint pcapng_frame(self, Frame* frame) noexcept nogil:
        """Reads blocks up to the next one that holds a packet."""
        cdef const uint8_t* p
        cdef uint32_t kind, size
        cdef bint found
        while self.wants(12):
            p = self.base + self.at
            if be32(p) == MAGIC_SECTION and not self.section(p, 0):
                return False
            kind, size = self.u32(p), self.u32(p + 4)
            if size < 12 or size > LONGEST_BLOCK or size % 4:
                self.state = self.damaged()
                return False
            if not self.wants(size):
                return False
            found = False
            if kind == BLOCK_ENHANCED or kind == BLOCK_PACKET:
                found = self.enhanced(p, size, kind == BLOCK_PACKET, frame)
            elif kind == BLOCK_SIMPLE:
                found = self.simple(p, size, frame)
            elif kind == BLOCK_INTERFACE and not self.interface(p, size):
                self.state = self.damaged()
            if self.state != READING:
                return False
            self.at += size
            if found:
                return True
        return False

    cdef bint section(self, const uint8_t* p, uint32_t size) noexcept nogil:
        """A section header tells the byte order of what follows, and forgets the interfaces."""
        self.big = be32(p + 8) == MAGIC_ORDER
        if not self.big and le32(p + 8) != MAGIC_ORDER:
            self.state = self.damaged()
            return False
        self.interface_count = 0
        return True

    cdef bint interface(self, const uint8_t* p, uint32_t size) noexcept nogil:
        cdef Interface* new
        cdef uint32_t at = 16, code, n
        if self.interfaces == NULL:
            self.interfaces = <Interface*>calloc(MOST_INTERFACES, sizeof(Interface))
        if self.interfaces == NULL or self.interface_count == MOST_INTERFACES or size < 20:
            return False
        new = &self.interfaces[self.interface_count]
        new.link, new.snap, new.binary, new.digits, new.offset = self.u16(p + 8), self.u32(p + 12), False, 6, 0
        while at + 4 <= size - 4:
            code, n = self.u16(p + at), self.u16(p + at + 2)
            if code == 0 or at + 4 + n > size - 4:
                break
            if code == OPTION_TSRESOL and n == 1:
                new.binary, new.digits = p[at + 4] >> 7, p[at + 4] & 0x7f
            elif code == OPTION_TSOFFSET and n == 8:
                new.offset = <int64_t>(be64(p + at + 4) if self.big
                                       else <uint64_t>le32(p + at + 4) | <uint64_t>le32(p + at + 8) << 32)
            at += 4 + (n + 3) // 4 * 4
        self.interface_count += 1
        return True

    cdef bint enhanced(self, const uint8_t* p, uint32_t size, bint old, Frame* frame) noexcept nogil:
        """A packet with time and interface; the old block has the same layout but for a 16-bit interface."""
        cdef uint32_t number, n
        cdef uint64_t stamp
        if size < 32:
            self.state = self.damaged()
            return False
        number = self.u16(p + 8) if old else self.u32(p + 8)
        n = self.u32(p + 20)
        if number >= self.interface_count or n > size - 32 or n > LONGEST_FRAME:
            self.state = self.damaged()
            return False
        stamp = <uint64_t>self.u32(p + 12) << 32 | self.u32(p + 16)
        frame.ts = self.last = stamped(&self.interfaces[number], stamp)
        frame.p, frame.captured, frame.link = p + 28, n, self.interfaces[number].link
        return True

    cdef bint simple(self, const uint8_t* p, uint32_t size, Frame* frame) noexcept nogil:
        """A packet of the first interface that has no time: it takes that of the packet before."""
        cdef uint32_t n
        if size < 16 or self.interface_count == 0:
            self.state = self.damaged()
            return False
        n = self.u32(p + 8)
        if self.interfaces[0].snap and n > self.interfaces[0].snap:
            n = self.interfaces[0].snap
        if n > size - 16:
            n = size - 16
        if n > LONGEST_FRAME:
            self.state = self.damaged()
            return False
        frame.ts = self.last
        frame.p, frame.captured, frame.link = p + 12, n, self.interfaces[0].link
        return True


cdef Time stamped(const Interface* i, uint64_t stamp) noexcept nogil:
    """A pcapng time stamp as nanoseconds; absurd resolutions and times end in the year 2242, not in an overflow."""
    cdef uint64_t unit = 1, second, part
    if i.binary:
        if i.digits > 63:
            return 0
        second = stamp >> i.digits
        part = stamp & ((<uint64_t>1 << i.digits) - 1)
        if i.digits > 32:
            part >>= i.digits - 32
        part = part * SECOND >> (i.digits if i.digits < 32 else 32)
    else:
        if i.digits > 18:
            return 0
        for _ in range(i.digits):
            unit *= 10
        second = stamp // unit
        part = stamp % unit
        part = part * (SECOND // unit) if unit <= SECOND else part // (unit // SECOND)
    if i.offset >= -<int64_t>LATEST_SECOND and i.offset <= <int64_t>LATEST_SECOND:
        second += <uint64_t>i.offset
    if second > LATEST_SECOND:     # also what a negative sum has become
        second = LATEST_SECOND
    return <Time>(second * SECOND + part)
