"""Cursor: checked reading.

A read past the end gives zero, moves nothing and sets ``short``, which sticks: read all fields of a message,
then ask once.  All bodies are here because inlining across files works only from a .pxd.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from cext.types cimport Span, copy_span, span
from cext.wire cimport be16, be24, be32, be64, prefetch


cdef extern from "scan.h" nogil:
    size_t find_line(const uint8_t* p, size_t n, bint* bare)
    size_t find_colon(const uint8_t* p, size_t n, size_t room)
    bint text_only(const uint8_t* p, size_t n)


cdef struct Cursor:                # 16 bytes, so that it goes in two registers where it is handed on
    const uint8_t* p
    uint32_t left
    bint short


cdef struct Line:                  # of a head such as HTTP's
    Span text                      # without its LF or CR LF
    uint32_t colon                 # bytes before the first colon; all where there is none
    bint bare_cr                   # a CR that ends no line is among them
    bint folded                    # lines that go on with it were added


cdef inline Cursor cursor(const uint8_t* p, uint32_t n) noexcept nogil:
    cdef Cursor c
    c.p, c.left, c.short = p, n, False
    return c


cdef inline Cursor within(Span s) noexcept nogil:
    """A cursor over a span that was taken from another."""
    return cursor(s.p, s.n)


cdef inline uint32_t left(const Cursor* c) noexcept nogil:
    return c.left


cdef inline void move(Cursor* c, uint32_t n) noexcept nogil:
    """On by so many bytes, which are there."""
    c.p += n
    c.left -= n


cdef inline void fetch_ahead(const Cursor* c, size_t n) noexcept nogil:
    """Has the line that lies so many bytes on fetched; beyond the end too, for that reads nothing."""
    prefetch(c.p + n)


cdef inline void fetch_lines(const Cursor* c, size_t begin, size_t end) noexcept nogil:
    """Has all lines fetched that lie between, as far as they are there."""
    if end > c.left:
        end = c.left
    while begin < end:
        fetch_ahead(c, begin)
        begin += 64


cdef inline bint has(Cursor* c, uint32_t n) noexcept nogil:
    if c.left < n:
        c.short = True
        return False
    return True


cdef inline uint8_t u8(Cursor* c) noexcept nogil:
    if not has(c, 1):
        return 0
    move(c, 1)
    return (c.p - 1)[0]


cdef inline uint16_t u16(Cursor* c) noexcept nogil:
    if not has(c, 2):
        return 0
    move(c, 2)
    return be16(c.p - 2)


cdef inline uint32_t u24(Cursor* c) noexcept nogil:
    if not has(c, 3):
        return 0
    move(c, 3)
    return be24(c.p - 3)


cdef inline uint32_t u32(Cursor* c) noexcept nogil:
    if not has(c, 4):
        return 0
    move(c, 4)
    return be32(c.p - 4)


cdef inline uint64_t u64(Cursor* c) noexcept nogil:
    if not has(c, 8):
        return 0
    move(c, 8)
    return be64(c.p - 8)


cdef inline uint8_t peek(const Cursor* c, uint32_t at) noexcept nogil:
    """The byte ``at`` bytes ahead, or 0 past the end; sets nothing."""
    return c.p[at] if at < left(c) else 0


cdef inline Span take(Cursor* c, uint32_t n) noexcept nogil:
    if not has(c, n):
        return span(c.p, 0)
    move(c, n)
    return span(c.p - n, n)


cdef inline Span take_rest(Cursor* c) noexcept nogil:
    cdef uint32_t n = c.left
    move(c, n)
    return span(c.p - n, n)


cdef inline Span since(Span s, const Cursor* c) noexcept nogil:
    """All from the beginning of a span to the cursor that it was taken from."""
    return span(s.p, <uint32_t>(c.p - s.p))


cdef inline void go_back(Cursor* c, Span s) noexcept nogil:
    """To the beginning of a span that was taken from it."""
    c.left += <uint32_t>(c.p - s.p)
    c.p = s.p


cdef inline void pass_over(Cursor* c, uint32_t n) noexcept nogil:
    if has(c, n):
        move(c, n)


cdef inline bint starts(const Cursor* c, const char* text, uint32_t n) noexcept nogil:
    return left(c) >= n and memcmp(c.p, text, n) == 0


cdef inline Span until(Cursor* c, uint8_t mark) noexcept nogil:
    """What stands before the next ``mark``; the cursor moves behind it.  No mark: short."""
    cdef const uint8_t* at = <const uint8_t*>memchr(c.p, mark, left(c))
    if at == NULL:
        c.short = True
        return span(c.p, 0)
    cdef Span s = span(c.p, <uint32_t>(at - c.p))
    move(c, s.n + 1)
    return s


cdef inline Span line(Cursor* c) noexcept nogil:
    """The next line without its LF or CR LF.  No LF yet: short, and nothing moves."""
    cdef Span s = until(c, 10)
    if s.n and s.p[s.n - 1] == 13:
        s.n -= 1
    return s


cdef inline Line head_line(Cursor* c) noexcept nogil:
    """The next line, and what is in it.  No LF yet: short, nothing moves, and the line is what there is of it."""
    cdef Line l
    cdef uint32_t room = left(c), n = <uint32_t>find_line(c.p, room, &l.bare_cr)
    l.text, l.folded = span(c.p, n), False
    if n == room:
        c.short = True
    else:
        move(c, n + 1)
        if n and l.text.p[n - 1] == 13:
            l.text.n -= 1
    l.colon = <uint32_t>find_colon(l.text.p, l.text.n, room)
    return l


cdef inline uint32_t colon_of(Span s) noexcept nogil:
    """Bytes before the first colon; all where there is none."""
    return <uint32_t>find_colon(s.p, s.n, s.n)


cdef inline bint is_text(Span s) noexcept nogil:
    """Nothing below a space but white space and escape."""
    return text_only(s.p, s.n)


cdef inline bint equals(Span s, const char* text, uint32_t n) noexcept nogil:
    return s.n == n and memcmp(s.p, text, n) == 0


cdef inline bint same(Span a, Span b) noexcept nogil:
    return equals(a, <const char*>b.p, b.n)


cdef inline uint8_t byte_at(Span s, uint32_t at) noexcept nogil:
    """The byte at ``at``, or 0 past the end."""
    return s.p[at] if at < s.n else 0


cdef inline Span part(Span s, uint32_t start, uint32_t n) noexcept nogil:
    """Up to ``n`` bytes from ``start`` on; less, or none, past the end."""
    if start > s.n:
        start = s.n
    return span(s.p + start, n if n < s.n - start else s.n - start)


cdef inline Span behind(Span s, uint32_t start) noexcept nogil:
    return part(s, start, s.n)


cdef inline uint8_t lower(uint8_t letter) noexcept nogil:
    return letter | <uint8_t>(<uint8_t>(letter - c'A') < 26) << 5


cdef inline bint equals_nocase(Span s, const char* text, uint32_t n) noexcept nogil:
    """ASCII only; ``text``: lower-case letters, digits, and marks up to ``?``."""
    cdef uint32_t i = 0
    if s.n != n:
        return False
    if n >= 8:
        while n - i > 8:
            if not same_letters(load8(s.p + i), load8(text + i)):
                return False
            i += 8
        return same_letters(load8(s.p + n - 8), load8(text + n - 8))       # some of them once more
    if n >= 4:
        return same_letters(load4(s.p) | load4(s.p + n - 4) << 32, load4(text) | load4(text + n - 4) << 32)
    while i < n:
        if lower(s.p[i]) != <uint8_t>text[i]:
            return False
        i += 1
    return True


cdef inline bint same_letters(uint64_t v, uint64_t want) noexcept nogil:
    """Eight bytes against eight in lower case: they may differ in bit 5, where a letter is wanted."""
    return (v ^ want) & ~(want & want >> 1 & 0x2020202020202020u) == 0


cdef inline uint64_t lower8(uint64_t v) noexcept nogil:
    """Eight letters at once.  Bit 7 of each byte of ``capital`` tells of one from A to Z."""
    cdef uint64_t low = v & 0x7f7f7f7f7f7f7f7fu
    cdef uint64_t capital = ~v & ((low + 0x3f3f3f3f3f3f3f3fu) ^ (low + 0x2525252525252525u)) & 0x8080808080808080u
    return v | capital >> 2


cdef inline void copy_lower(uint8_t* to, Span s) noexcept nogil:
    """A copy in lower case (ASCII only)."""
    cdef uint32_t at = 0
    while at + 8 < s.n:
        store8(to + at, lower8(load8(s.p + at)))
        at += 8
    if s.n >= 8:                   # some of the last once more
        store8(to + s.n - 8, lower8(load8(s.p + s.n - 8)))
    elif s.n >= 4:
        store4(to, <uint32_t>lower8(load4(s.p)))
        store4(to + s.n - 4, <uint32_t>lower8(load4(s.p + s.n - 4)))
    else:
        while at < s.n:
            to[at] = lower(s.p[at])
            at += 1


cdef inline uint64_t load8(const void* p) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, p, 8)
    return v


cdef inline uint64_t load4(const void* p) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return v


cdef inline void store8(void* p, uint64_t v) noexcept nogil:
    memcpy(p, &v, 8)


cdef inline void store4(void* p, uint32_t v) noexcept nogil:
    memcpy(p, &v, 4)


cdef inline Span trimmed(Span s) noexcept nogil:
    """Without the spaces and tabs around it (RFC 9110, 5.6.3)."""
    while s.n and (s.p[0] == c' ' or s.p[0] == 9):
        s.p += 1
        s.n -= 1
    while s.n and (s.p[s.n - 1] == c' ' or s.p[s.n - 1] == 9):
        s.n -= 1
    return s
