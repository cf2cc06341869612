"""Memory that parsers hold beside what the engine keeps for them, in one budget."""
from libc.stdint cimport uint64_t

from cext.buffer cimport Buffer


cdef void* own(size_t n) noexcept nogil
cdef void* own_more(void* p, size_t n) noexcept nogil
cdef void disown(void* p) noexcept nogil
cdef bint own_room(Buffer* b, size_t more) noexcept nogil
cdef uint64_t owned_bytes() noexcept nogil
cdef uint64_t owned_refused() noexcept nogil
