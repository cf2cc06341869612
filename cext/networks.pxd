"""Is an address in one of some networks?"""
from cython cimport final
from libc.stdint cimport uint8_t, uint64_t


cdef struct Network:               # halves of addresses as they lie in memory
    uint64_t prefix[2]
    uint64_t mask[2]
    bint v4


@final
cdef class Networks:
    cdef Network* networks
    cdef int count

    cdef bint contain(self, const uint8_t* addr) noexcept nogil
