"""Numbers → names, for nogil code."""
from libc.stdint cimport uint8_t, uint32_t

from cext.types cimport Span

cdef enum:
    LONGEST_UNKNOWN = 24           # a prefix such as "unknown-" and a 32-bit number


cdef struct Name:
    uint32_t number
    uint32_t size
    const char* text


cdef class NameTable:
    cdef Name* names
    cdef int count
    cdef uint32_t first            # the smallest number
    cdef list alive
    cdef bytes unknown
    cdef const char* prefix        # of unknown, borrowed
    cdef uint32_t unknown_size
    cdef Span find(self, uint32_t number, uint8_t* scratch) noexcept nogil
