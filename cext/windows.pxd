"""Packets on their way to other processes."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t

from cext.decap cimport MOST_ENVELOPES, Decap
from cext.intake cimport Intake
from cext.packet cimport Envelope, Packet
from cext.pcap cimport Capture
from cext.types cimport Time

cdef enum:
    WINDOWS = 8                    # of the ring
    MOST_FRAMES = 16384            # in a window: of most captures more than one chunk has
    MOST_MARKS = 4096
    MOST_BYTES = 1 << 21           # a chunk, and what was left of the one before; more than any packet has


cdef struct Mark:                  # the end of a batch
    Time now                       # the clock behind its last frame
    uint32_t packets               # of the share, up to here


cdef struct Stretch:               # what a window has for one share
    uint32_t marks
    uint32_t packets
    Mark mark[MOST_MARKS + 1]
    Packet packet[MOST_FRAMES]


cdef struct Window:
    uint32_t envelopes             # known up to here
    uint32_t bytes
    uint8_t data[MOST_BYTES]


cdef class Memory:
    cdef Py_buffer buffer
    cdef bint holds
    cdef uint32_t shares
    cdef int number                # of the window in hand

    cdef Envelope* envelopes(self) noexcept nogil
    cdef Window* window(self) noexcept nogil
    cdef Stretch* stretch(self, uint32_t share) noexcept nogil
    cdef void turn(self) noexcept nogil


@final
cdef class Divider(Memory):
    cdef Intake intake
    cdef uint32_t frames           # read into the window in hand
    cdef int next                  # packet of the batch that is to be put next, while it is pending
    cdef bint pending
    cdef uint32_t known            # envelopes that were handed out
    cdef Time marked               # the clock of the last mark

    cdef bint fill(self, Capture capture, Time limit) noexcept nogil
    cdef bint put_batch(self) noexcept nogil
    cdef bint copy_bytes(self, Packet* p) noexcept nogil
    cdef void mark(self, Time now) noexcept nogil


@final
cdef class Share(Memory):
    cdef uint32_t share
    cdef uint32_t marks            # batches taken of the window in hand
    cdef uint32_t taken            # … and packets
    cdef const Packet* batch
    cdef int opened
    cdef Time now

    cdef begin(self, Decap decap)
    cdef bint next_batch(self) noexcept nogil
