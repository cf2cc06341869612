"""Files in memory."""
from cython cimport final
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "mapped.h" nogil:
    cdef struct Mapping:
        uint8_t* p
        bint cut
        uint64_t end
    Mapping* map_file(int fd, uint64_t at, size_t n)
    bint is_shortened(const Mapping* m)
    void touch(const uint8_t* p, size_t n)
    void unmap_file(Mapping* m)
    enum: MADV_DONTNEED
    int madvise(void* p, size_t n, int advice)


@final
cdef class MappedFile:
    cdef Mapping* mapping
    cdef uint64_t at               # what is mapped begins here, in the file
    cdef uint64_t given_back       # up to here

    cdef bint is_cut(self) noexcept nogil
    cdef bint is_shortened(self) noexcept nogil
    cdef void move_on(self, uint64_t done, uint64_t begin, uint64_t end) noexcept nogil


cdef MappedFile map_from(int fd, uint64_t at, uint64_t end)
