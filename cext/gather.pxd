"""A second layer inside of a stream or of datagrams, put together by offset: bounded, and order-proof."""
from libc.stdint cimport uint8_t, uint32_t

from cext.types cimport Span

cdef enum:
    MOST_RANGES = 32               # pieces with holes between them
    GATHER_MOST = 65536            # bytes


cdef struct Range:
    uint32_t start
    uint32_t end


cdef struct Gather:                # all zero when new
    uint8_t* p
    uint32_t room
    uint32_t count
    Range ranges[MOST_RANGES]      # what is there, in order, none touching another


cdef bint gather_put(Gather* g, uint32_t at, Span s) noexcept nogil
cdef Span gathered(const Gather* g) noexcept nogil
cdef void gather_free(Gather* g) noexcept nogil
