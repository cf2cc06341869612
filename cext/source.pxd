"""Where frames come from: a capture, a ring, a socket."""
from libc.stdint cimport uint8_t, uint64_t

from cext.ledger cimport Ledger
from cext.packet cimport Frame
from cext.types cimport Time
from cext.wire cimport prefetch


cdef enum:
    MOST_DESCRIPTORS = 8

cdef extern from "poll.h" nogil:
    enum: POLLIN
    enum: POLLERR
    cdef struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* some, unsigned long n, int milliseconds)


cdef inline void fetch_frame(const uint8_t* p, size_t step) noexcept nogil:
    """Fetches what is looked at of the next frame, and of those behind it if they lie as far apart as it and the one
    before, as those of a download do."""
    prefetch(p)
    prefetch(p + 64)
    prefetch(p + 128)
    prefetch(p + 192)
    prefetch(p + 3 * step)
    prefetch(p + 3 * step + 64)


cdef class FrameSource:
    cdef pollfd polled[MOST_DESCRIPTORS]
    cdef int polled_count          # 0: a file, whose frames are here or never come
    cdef readonly bint troubled    # the last wait ended because a descriptor has an error to tell
    cdef bint boundary             # the frames given last are the last of a block: it may be given back
    cdef uint64_t block            # number of the block in hand, or of the last, from 1; a live source counts them
    cdef Ledger ledger             # live: where it says which block it has in hand; else None
    cdef uint64_t kernel_packets   # that the kernel kept for us
    cdef uint64_t kernel_drops     # that it had no room for
    cdef bint counts_on            # kernel_drops goes on from what a worker before this one has counted
    cdef uint64_t freezes          # times that no block was free

    cdef poll_also(self, int fd)
    cdef bint await_frames(self, Time until) noexcept nogil
    cdef int fill(self, Frame* frames, int room, Time limit) noexcept nogil
    cdef void look_ahead(self) noexcept nogil
    cdef void give_back(self) noexcept nogil
    cdef int filled(self) noexcept nogil
