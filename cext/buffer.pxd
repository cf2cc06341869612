"""Buffer: bytes that grow.  The owner frees it; growth that fails empties nothing and is told."""
from libc.stdint cimport uint8_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy


cdef struct Buffer:
    uint8_t* p
    size_t n
    size_t room


cdef inline bint reserve(Buffer* b, size_t more) noexcept nogil:
    """Room for ``more`` bytes behind the end, or False when memory is out."""
    cdef size_t want
    cdef uint8_t* p
    if b.room - b.n >= more:
        return True
    want = b.room * 2 if b.room else 256
    while want - b.n < more:
        want *= 2
    p = <uint8_t*>realloc(b.p, want)
    if p == NULL:
        return False
    b.p = p
    b.room = want
    return True


cdef inline void append(Buffer* b, const void* p, size_t n) noexcept nogil:
    """``n`` bytes behind the end; room was reserved."""
    if n:                          # memcpy from nowhere is undefined, even of nothing
        memcpy(b.p + b.n, p, n)
    b.n += n


cdef enum:
    WIDE = 32


cdef inline uint8_t* copy_wide(uint8_t* to, const void* p, size_t n) noexcept nogil:
    """Copies a word of our own, with WIDE bytes to read at ``p`` and to write at ``to``: a copy of constant size is two
    moves, where one of unknown size is a call.  The end of it."""
    memcpy(to, p, WIDE)
    if n > WIDE:
        memcpy(to, p, n)
    return to + n


cdef inline void append_wide(Buffer* b, const void* p, size_t n) noexcept nogil:
    """The same behind the end of a buffer; room was reserved."""
    b.n = copy_wide(b.p + b.n, p, n) - b.p


cdef inline void append_byte(Buffer* b, uint8_t byte) noexcept nogil:
    b.p[b.n] = byte
    b.n += 1
