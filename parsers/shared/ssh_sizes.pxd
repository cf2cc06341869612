"""How long an SSH message is on the wire, under the cipher and MAC that were agreed on."""
from libc.stdint cimport uint32_t

from cext.types cimport Span


cdef struct Suite:
    uint32_t block                 # padding is to a multiple of this; 0: the cipher or the MAC is not known
    uint32_t tag                   # bytes of MAC or tag behind the packet
    bint length_apart              # the packet's length is not among what is padded


cdef Suite suite_of(Span cipher, Span mac) noexcept nogil
cdef uint32_t wire_size(const Suite* s, uint32_t payload, uint32_t least) noexcept nogil
