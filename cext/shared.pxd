"""Memory shared with the kernel or with another process."""
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "shared.h" nogil:
    uint32_t load32(const uint32_t* p) noexcept
    void store32(uint32_t* p, uint32_t v) noexcept
    uint64_t load64(const uint64_t* p) noexcept
    void store64(uint64_t* p, uint64_t v) noexcept
    void after_loads() noexcept
    bint swap64(uint64_t* p, uint64_t old, uint64_t v) noexcept
