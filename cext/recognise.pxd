"""Whose is it?  Bytes of one side → the protocol that knows them."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.flow cimport Flow


@final
cdef class Recogniser:             # protocols are bits, by their numbers in the registry
    cdef uint64_t wanted           # that are asked
    cdef uint64_t asked[2]         # … by transport: of TCP, of datagrams
    cdef uint64_t late             # those that may begin behind another's greeting
    cdef uint64_t near_port[64]    # those of which a usual port ends in these six bits: most flows need not be compared

    cdef int who(self, const Flow* f, uint64_t* asked, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef int who_begins(self, uint64_t denied, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil
    cdef uint64_t at_port(self, const Flow* f, uint64_t asked) noexcept nogil
