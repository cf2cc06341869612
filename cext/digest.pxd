"""The one digest that each flow needs; all others are asked of Python."""
from libc.stdint cimport uint8_t

cdef extern from "sha1.h" nogil:
    void sha1_short(const uint8_t* p, size_t n, uint8_t* digest)      # of at most 55 bytes
    uint8_t* put_base64(uint8_t* out, const uint8_t* p, size_t n)
