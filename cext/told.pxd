"""What was told already, by one process or several."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.types cimport Time

cdef enum:
    MOST_TOLD = 65536


cdef struct Entry:
    uint64_t key                   # a digest; 0: free
    uint64_t when


@final
cdef class Told:
    cdef Entry* entries
    cdef Py_buffer memory

    cdef bint is_news(self, const uint8_t* key, uint32_t n, Time ts) noexcept nogil
