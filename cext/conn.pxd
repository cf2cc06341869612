"""A flow that has ended → its conn record."""
from cython cimport final
from cext.flow cimport Flow
from libc.stdint cimport uint32_t
from cext.writer cimport Writer


@final
cdef class ConnLog:
    cdef Writer writer

    cdef void write(self, Flow* f, bint interim) noexcept nogil
    cdef uint32_t community_id(self, const Flow* f, unsigned char* text) noexcept nogil
