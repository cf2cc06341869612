"""Packets on their way to other processes: one reads and opens frames, several take the packets of their flows.

A window is a stretch of the captures, in memory that all have: the packets of each share, and where its batches ended,
so that time goes on in every share as it does in one process.  Windows go round in a ring; who may touch which is said
outside.  Bytes of a capture are read right into the window in hand; a packet whose bytes are elsewhere (put together of
fragments, or of a capture that another interrupted) is copied into it.  All processes have the memory at one address,
for it is made before they are.

    memory = envelopes | window, stretch of share 0, of share 1 … | window, stretch …  | …
"""
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy

from cext.packet cimport BATCH
from cext.pcap cimport READING

cdef enum:
    WORTH_IT = 1 << 19             # bytes

RING = WINDOWS


def size(int shares):
    """Bytes of memory for so many shares; they must be zero at first."""
    return MOST_ENVELOPES * sizeof(Envelope) + WINDOWS * (sizeof(Window) + shares * sizeof(Stretch))


cdef class Memory:
    def __cinit__(self, buffer, uint32_t shares, *_):
        PyObject_GetBuffer(buffer, &self.buffer, PyBUF_WRITABLE)
        self.holds = True
        self.shares = shares
        if <size_t>self.buffer.len < <size_t>size(shares):
            raise ValueError(f"{shares} shares need {size(shares)} bytes")

    def __dealloc__(self):
        if self.holds:
            PyBuffer_Release(&self.buffer)

    cdef Envelope* envelopes(self) noexcept nogil:
        """The table of envelopes, as far as the last window knows them."""
        return <Envelope*>self.buffer.buf

    cdef Window* window(self) noexcept nogil:
        """The window in hand."""
        cdef size_t each = sizeof(Window) + self.shares * sizeof(Stretch)
        return <Window*>(<uint8_t*>self.buffer.buf + MOST_ENVELOPES * sizeof(Envelope) + self.number * each)

    cdef Stretch* stretch(self, uint32_t share) noexcept nogil:
        return <Stretch*>(<uint8_t*>self.window() + sizeof(Window)) + share

    cdef void turn(self) noexcept nogil:
        """On to the next window."""
        self.number = (self.number + 1) % WINDOWS


cdef class Divider(Memory):
    """The side that reads."""

    def __init__(self, buffer, uint32_t shares, Intake intake):
        self.intake = intake

    def read(self, Capture capture, Time limit):
        """Reads frames up to ``limit`` into the window in hand.  True when it is full: then it is handed out first."""
        cdef bint full, kept = True
        cdef Window* w = self.window()
        with nogil:
            if capture.base == w.data:
                w.bytes = max(w.bytes, <uint32_t>capture.size)
            full = self.fill(capture, limit)
            if capture.base == w.data and (full or capture.state == READING):
                kept = capture.keep()  # the window is another's before the capture is read on
        if not kept:
            raise MemoryError("capture buffer")
        return full

    def lend(self, Capture capture):
        """What is read of a capture next is to stand in the window in hand, if that is empty."""
        if self.is_empty:
            capture.lend(self.window().data, MOST_BYTES)

    @property
    def is_empty(self):
        """Nothing is in the window in hand."""
        return self.frames == 0

    @property
    def is_worth_it(self):
        """There is enough in it that handing it out costs less than what is in it."""
        return self.window().bytes > WORTH_IT

    def hand_out(self):
        """The window in hand is whole; the next, which nobody has in hand any more, is begun."""
        cdef Decap decap = self.intake.decap
        cdef uint32_t known = <uint32_t>decap.envelope_count, share
        memcpy(self.envelopes() + self.known, decap.envelopes + self.known, (known - self.known) * sizeof(Envelope))
        self.window().envelopes = self.known = known
        self.turn()
        self.window().bytes = 0
        self.frames = self.intake.opened - self.next if self.pending else 0
        for share in range(self.shares):
            self.stretch(share).marks = self.stretch(share).packets = 0

    cdef bint fill(self, Capture capture, Time limit) noexcept nogil:
        cdef int n
        while True:
            if not self.pending:
                n = self.intake.read(capture, limit)
                if n == 0:
                    return False
                self.frames += n
                self.next = 0
                self.pending = True
            if not self.put_batch():
                self.mark(self.marked)         # the rest of the batch comes with the next window, and its time
                return True
            self.pending = False
            self.marked = self.intake.now
            self.mark(self.marked)
            if self.frames + BATCH > MOST_FRAMES or self.stretch(0).marks == MOST_MARKS:
                return True

    cdef bint put_batch(self) noexcept nogil:
        """The packets of a batch; False when the bytes of one do not fit any more."""
        cdef Packet* p
        cdef Stretch* s
        while self.next < self.intake.opened:
            p = &self.intake.batch[self.next]
            if not self.copy_bytes(p):
                return False
            s = self.stretch(p.lot % self.shares)
            s.packet[s.packets] = p[0]
            s.packets += 1
            self.next += 1
        return True

    cdef bint copy_bytes(self, Packet* p) noexcept nogil:
        """Moves a packet's bytes into the window; False when it has no room."""
        cdef Window* w = self.window()
        cdef size_t n = p.end - p.frame
        cdef uint8_t* to = w.data + w.bytes
        if w.data <= p.frame and p.end <= w.data + MOST_BYTES:
            return True
        if n > MOST_BYTES - w.bytes:
            return False
        memcpy(to, p.frame, n)
        w.bytes += <uint32_t>n
        p.ip, p.payload, p.end, p.frame = to + (p.ip - p.frame), to + (p.payload - p.frame), to + n, to
        return True

    cdef void mark(self, Time now) noexcept nogil:
        """The end of a batch, in all shares."""
        cdef uint32_t share
        cdef Stretch* s
        for share in range(self.shares):
            s = self.stretch(share)
            s.mark[s.marks].now, s.mark[s.marks].packets = now, s.packets
            s.marks += 1


cdef class Share(Memory):
    """The side that takes."""

    def __init__(self, buffer, uint32_t shares, uint32_t share):
        self.share = share

    cdef begin(self, Decap decap):
        """A window comes into hand; its new envelopes get the numbers that they have there."""
        cdef uint32_t number
        for number in range(<uint32_t>decap.envelope_count, self.window().envelopes):
            decap.intern(&self.envelopes()[number])
        self.marks = self.taken = 0

    cdef bint next_batch(self) noexcept nogil:
        """The share's packets of the next batch; False at the window's end."""
        cdef Stretch* s = self.stretch(self.share)
        if self.marks == s.marks:
            self.turn()
            return False
        self.batch, self.now = &s.packet[self.taken], s.mark[self.marks].now
        self.opened = <int>(s.mark[self.marks].packets - self.taken)
        self.taken = s.mark[self.marks].packets
        self.marks += 1
        return True
