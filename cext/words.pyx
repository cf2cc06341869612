"""Words of the program's own that records list, such as names of headers.

Trick "known by its place": they lie side by side in one stretch, each between quotes.  So where a text lies tells that
it goes as it is, in one wide copy; of any other each byte is looked at.
"""
from libc.string cimport memcpy

from cext.buffer cimport WIDE
from cext.types cimport span

cdef uint32_t used = 0


cdef Span add_word(str text):
    """The word, which lives as long as the process.  Raises ValueError when it is not plain ASCII, or for want of
    room."""
    global used
    cdef bytes quoted = b'"%s"' % text.encode()
    cdef uint32_t n = <uint32_t>len(quoted), at = used
    if not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
        raise ValueError(f"{text!r} is no plain word")
    if used + n + WIDE > MOST_WORDS:
        raise ValueError("too many words")
    memcpy(words + at, <const char*>quoted, n)
    used += n
    return span(words + at + 1, n - 2)
