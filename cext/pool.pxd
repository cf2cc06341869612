"""Blocks of memory for what each flow has."""

cdef void* take_block(size_t n) noexcept nogil
cdef void give_block(void* p, size_t n) noexcept nogil
cdef void* take_pages(size_t n) noexcept nogil
