"""Counters of a worker in memory that outlives it, so that a worker that is killed loses no count.

There are two pages.  The worker writes the one that does not count, whole, and turns it: one store makes a block's
counters true together.  Of a block that was opened and never booked all frames are lost; their number stands apart.
A ring's block has its number of frames; of a socket's, the kernel has written into the book what it handed over.

    open_block(7) … next_page() … turn_page(7)        killed here: block 7 is booked
    open_block(8) … next_page() ✗                     killed here: the page of 7 counts, the frames of 8 are lost
"""
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from cext.shared cimport after_loads, load64, store64
from cext.types cimport monotonic

SIZE = sizeof(Book)
cdef uint64_t IN_MESSAGES = <uint64_t>-1


cdef class Ledger:
    """A book in a buffer of at least SIZE bytes, all zero at first; it may be shared memory."""

    def __cinit__(self, buffer):
        PyObject_GetBuffer(buffer, &self.memory, PyBUF_WRITABLE)
        self.holds = True
        if self.memory.len < <Py_ssize_t>sizeof(Book):
            raise ValueError(f"a ledger needs {sizeof(Book)} bytes")
        self.book = <Book*>self.memory.buf

    def __dealloc__(self):
        if self.holds:
            PyBuffer_Release(&self.memory)

    cdef Page* next_page(self) noexcept nogil:
        """The page to be written, which does not count yet."""
        return &self.book.pages[(self.book.turn + 1) & 1]

    cdef void open_block(self, uint64_t block, uint64_t frames) noexcept nogil:
        store64(&self.book.opened_frames, frames)
        store64(&self.book.opened, block)

    cdef void turn_page(self, uint64_t block) noexcept nogil:
        self.next_page().block = block
        store64(&self.book.turn, self.book.turn + 1)

    cdef void beat(self) noexcept nogil:
        """The worker moves."""
        store64(&self.book.beat, <uint64_t>monotonic())

    def read(self, int n):
        """The first ``n`` counters, all of the same moment."""
        cdef uint64_t turn
        cdef int i
        while True:
            turn = load64(&self.book.turn)
            values = [self.book.pages[turn & 1].values[i] for i in range(n)]
            after_loads()
            if load64(&self.book.turn) == turn:
                return values

    def begin_anew(self, int lost_at):
        """Another ring, whose blocks count from 1.  Counters stay; to that at ``lost_at`` comes what a dead worker had
        in hand.  No worker writes meanwhile."""
        self.book.pages[self.book.turn & 1].values[lost_at] += <uint64_t>self.lost
        self.book.opened = self.book.pages[0].block = self.book.pages[1].block = 0

    @property
    def opened(self):
        """Number of the block in hand, or of the last."""
        return load64(&self.book.opened)

    @property
    def lost(self):
        """Frames of a block that was opened and not booked: what is lost when its worker is dead."""
        cdef uint64_t frames = self.book.opened_frames
        cdef int i
        if self.book.pages[load64(&self.book.turn) & 1].block == load64(&self.book.opened):
            return 0
        if frames != IN_MESSAGES:
            return frames
        return sum(1 for i in range(MOST_MESSAGES) if self.book.messages[i].msg_len != NOT_RECEIVED)

    @property
    def replaced(self):
        """Times that a worker took the place of another."""
        return load64(&self.book.replaced)

    @replaced.setter
    def replaced(self, value):
        store64(&self.book.replaced, value)

    @property
    def beaten(self):
        """When the worker was last seen to move: ns of the monotonic clock, 0 for never."""
        return load64(&self.book.beat)
