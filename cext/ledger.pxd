"""Counters of a worker in memory that outlives it."""
from libc.stdint cimport uint64_t

from cext.types cimport Time

cdef enum:
    MOST_COUNTERS = 120


cdef struct Page:                  # what was true when a block was done
    uint64_t block                 # number of the last block that was given back
    uint64_t values[MOST_COUNTERS]


cdef struct Book:
    uint64_t turn                  # the page that counts is turn & 1
    uint64_t opened                # number of the block in hand, or of the last
    uint64_t opened_frames         # frames in it
    uint64_t beat                  # when the worker was last seen to move: ns of the monotonic clock
    Page pages[2]


cdef class Ledger:
    cdef Book* book
    cdef Py_buffer memory
    cdef bint holds

    cdef Page* next_page(self) noexcept nogil
    cdef void open_block(self, uint64_t block, uint64_t frames) noexcept nogil
    cdef void turn_page(self, uint64_t block) noexcept nogil
    cdef void beat(self) noexcept nogil
