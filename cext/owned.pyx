"""What each flow's parser may hold is bounded; what all of them may hold together is bounded here.

A block that would go beyond the budget is refused, as if memory were out: its parser leaves the flow, or goes on
without.
"""
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc

cdef enum:
    HEAD = 16                      # before each block: its size, and room to keep it aligned

cdef uint64_t most = 64 << 20
cdef uint64_t held = 0
cdef uint64_t refused = 0


cdef void* own(size_t n) noexcept nogil:
    """``n`` bytes, or NULL when the budget or memory is out."""
    return own_more(NULL, n)


cdef void* own_more(void* p, size_t n) noexcept nogil:
    """The block at ``p`` with room for ``n`` bytes, perhaps elsewhere; NULL, and the block as it was, when that cannot
    be."""
    global held, refused
    cdef uint8_t* block = NULL if p == NULL else <uint8_t*>p - HEAD
    cdef size_t before = 0 if p == NULL else (<size_t*>block)[0]
    if n > before and held + (n - before) > most:
        refused += 1
        return NULL
    block = <uint8_t*>realloc(block, HEAD + n)
    if block == NULL:
        return NULL
    held += n
    held -= before
    (<size_t*>block)[0] = n
    return block + HEAD


cdef void disown(void* p) noexcept nogil:
    """Gives a block back; nothing for NULL."""
    global held
    if p == NULL:
        return
    held -= (<size_t*>(<uint8_t*>p - HEAD))[0]
    free(<uint8_t*>p - HEAD)


cdef bint own_room(Buffer* b, size_t more) noexcept nogil:
    """``reserve`` for a buffer whose bytes are owned: room for ``more`` behind the end, or False."""
    cdef size_t want = b.room if b.room else 256
    cdef void* p
    if b.room - b.n >= more:
        return True
    while want - b.n < more:
        want *= 2
    p = own_more(b.p, want)
    if p == NULL:
        return False
    b.p, b.room = <uint8_t*>p, want
    return True


cdef uint64_t owned_bytes() noexcept nogil:
    return held


cdef uint64_t owned_refused() noexcept nogil:
    """Blocks that were refused."""
    return refused


def set_budget(n):
    """Sets the budget in bytes; gives the one before."""
    global most
    before, most = most, n
    return before
