"""Words of the program's own that records list, such as names of headers."""
from libc.stdint cimport uint8_t, uint32_t

from cext.types cimport Span

cdef enum:
    MOST_WORDS = 16384             # bytes of all of them

cdef uint8_t words[MOST_WORDS]

cdef Span add_word(str text)


cdef inline bint is_word(const uint8_t* p) noexcept nogil:
    """Does a text that begins here come from add_word?  It stands between quotes then, with WIDE bytes to read."""
    return <size_t>p - <size_t>words < MOST_WORDS
