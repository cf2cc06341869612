"""A second layer inside of a stream or of datagrams, put together by offset: QUIC's CRYPTO frames."""
from libc.string cimport memcpy, memmove

from cext.owned cimport disown, own_more
from cext.types cimport span


cdef bint gather_put(Gather* g, uint32_t at, Span s) noexcept nogil:
    """Takes a piece; the bytes that came last win.  False: too far ahead, too many holes, or out of memory."""
    cdef uint32_t end, room, i = 0, j
    cdef uint8_t* p
    if at > GATHER_MOST or s.n > GATHER_MOST - at:
        return False
    if s.n == 0:
        return True
    end = at + s.n
    if end > g.room:
        room = g.room if g.room else 2048
        while room < end:
            room *= 2
        p = <uint8_t*>own_more(g.p, room)
        if p == NULL:
            return False
        g.p, g.room = p, room
    while i < g.count and g.ranges[i].end < at:
        i += 1
    j = i                          # ranges i to j - 1 touch the piece
    while j < g.count and g.ranges[j].start <= end:
        j += 1
    if i == j:
        if g.count == MOST_RANGES:
            return False
        memmove(&g.ranges[i + 1], &g.ranges[i], (g.count - i) * sizeof(Range))
        g.ranges[i].start, g.ranges[i].end = at, end
        g.count += 1
    else:
        g.ranges[i].start = at if at < g.ranges[i].start else g.ranges[i].start
        g.ranges[i].end = end if end > g.ranges[j - 1].end else g.ranges[j - 1].end
        memmove(&g.ranges[i + 1], &g.ranges[j], (g.count - j) * sizeof(Range))
        g.count -= j - i - 1
    memcpy(g.p + at, s.p, s.n)
    return True


cdef Span gathered(const Gather* g) noexcept nogil:
    """What is there without a hole, from the beginning on."""
    return span(g.p, g.ranges[0].end if g.count and g.ranges[0].start == 0 else 0)


cdef void gather_free(Gather* g) noexcept nogil:
    disown(g.p)
    g.p, g.room, g.count = NULL, 0, 0
