"""How the lines of HTTP/1.x look: start lines, numbers, tokens, and headers out of the ordinary (RFC 9112)."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport Cursor
from cext.parser cimport Conn, Match
from cext.record cimport Draft
from cext.types cimport Span

cdef enum:
    LONGEST_METHOD = 64


cdef Match is_answer(Cursor c) noexcept nogil
cdef Match is_request(Cursor c) noexcept nogil
cdef bint is_token(Span s) noexcept nogil
cdef Span take_version(Span* rest) noexcept nogil
cdef bint read_number(Span s, uint32_t base, uint64_t* value) noexcept nogil
cdef uint32_t hex_value(uint8_t byte) noexcept nogil
cdef uint32_t base64_value(uint8_t byte) noexcept nogil
cdef Span before_cr(Conn* conn, Span value) noexcept nogil
cdef Span bare(Span name) noexcept nogil
cdef Span trimmed_end(Span s) noexcept nogil
cdef Span unfolded(Conn* conn, Draft* d, Span value) noexcept nogil
