"""Servers that speak first, in lines, and may go on in TLS: how such flows are told."""
from libc.stdint cimport uint8_t

from cext.cursor cimport Span, byte_at, equals_nocase, left, line, lower, part, peek, starts

cdef enum:
    LONGEST_GREETING = 512


cdef bint is_client_hello(const Cursor* c) noexcept nogil:
    """The head of a record with a client hello (RFC 8446, 4 and 5.1)."""
    return left(c) > 5 and peek(c, 0) == 22 and peek(c, 1) == 3 and peek(c, 2) <= 3 and peek(c, 5) == 1


cdef bint contains(Span s, const char* word, uint32_t n) noexcept nogil:
    """ASCII, in any case; ``word`` in lower case."""
    cdef uint32_t i = 0
    while i + n <= s.n:
        if lower(byte_at(s, i)) == <uint8_t>word[0] and equals_nocase(part(s, i, n), word, n):
            return True
        i += 1
    return False


cdef Match greeting(Cursor c, const char* head, uint32_t size, const char* word, uint32_t n) noexcept nogil:
    """A first line that begins with ``head`` and has ``word`` in it; the line may still be coming."""
    cdef Cursor ahead = c
    cdef Span said
    if left(&c) < size:
        return Match.MAYBE if starts(&c, head, left(&c)) else Match.NO
    if not starts(&c, head, size):
        return Match.NO
    said = line(&ahead)
    if ahead.short:
        return Match.MAYBE if left(&c) < LONGEST_GREETING else Match.NO
    return Match.YES if contains(said, word, n) else Match.NO
