"""Blocks of memory for what each flow has: cut from long stretches, in huge pages where the system gives them.

Trick "cut, not asked for": a block that is given back waits for the next of its size, which costs ten instructions.
Those of a million flows lie in hundreds of pages instead of hundreds of thousands, which the system would have to hand
out one by one, and the processor to look up.  Nothing goes back to the system: what was needed once may be again.  So
blocks are for things of a few sizes: each size keeps what it once had.
"""
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from posix.mman cimport MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, madvise, mmap
from posix.stdlib cimport posix_memalign

from cext.wire cimport SANITIZED

cdef enum:
    STEP = 16                      # bytes; sizes are multiples of it
    LARGEST = 2048                 # larger blocks are the system's
    SIZES = 129                    # LARGEST / STEP, and none
    STRETCH = 32 << 20             # taken from the system at once; memory only where it is touched
    LINE = 128                     # two lines of the cache
    HUGE = 2 << 20                 # bytes of a huge page


cdef struct Spare:                 # a block that nobody has
    Spare* after


cdef Spare* spares[SIZES]          # by size in steps
cdef uint8_t* fresh = NULL         # the part of the last stretch that was never cut
cdef size_t fresh_left = 0


cdef void* take_block(size_t n) noexcept nogil:
    """``n`` bytes of whatever was there before, aligned for a pointer; NULL: memory is out."""
    global fresh, fresh_left
    cdef size_t size = (n + STEP - 1) & ~<size_t>(STEP - 1)
    cdef Spare* block
    if n > LARGEST or SANITIZED:   # malloc lets the sanitizers see what is written beyond a block
        return malloc(n)
    block = spares[size // STEP]
    if block != NULL:
        spares[size // STEP] = block.after
        return block
    if fresh_left < size and not new_stretch():
        return NULL
    block = <Spare*>fresh
    fresh += size
    fresh_left -= size
    return block


cdef void give_block(void* p, size_t n) noexcept nogil:
    """Back; ``n`` as it was taken.  Nothing for NULL."""
    cdef size_t size = (n + STEP - 1) & ~<size_t>(STEP - 1)
    if p == NULL:
        return
    if n > LARGEST or SANITIZED:
        free(p)
        return
    (<Spare*>p).after = spares[size // STEP]
    spares[size // STEP] = <Spare*>p


cdef void* take_pages(size_t n) noexcept nogil:
    """``n`` bytes for a table that is never given back but by ``free``; in huge pages if it fills one.  NULL: memory
    is out."""
    cdef void* all = NULL
    if posix_memalign(&all, HUGE if n >= HUGE else LINE, n):
        return NULL
    if n >= HUGE:
        madvise(all, n, MADV_HUGEPAGE)
    return all


cdef bint new_stretch() noexcept nogil:
    global fresh, fresh_left
    cdef void* all = mmap(NULL, STRETCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if all == MAP_FAILED:
        return False
    madvise(all, STRETCH, MADV_HUGEPAGE)
    fresh, fresh_left = <uint8_t*>all, STRETCH
    return True
