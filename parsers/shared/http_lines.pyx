"""How the lines of HTTP/1.x look: start lines, numbers, tokens, and headers out of the ordinary (RFC 9112)."""
from cext.cursor cimport (Cursor, Span, behind, byte_at, equals, equals_nocase, left, line, part, peek, span, take_rest,
                          trimmed, until, within)
from cext.parser cimport Match, weird
from cext.record cimport keep_bytes


cdef Match is_answer(Cursor c) noexcept nogil:
    cdef uint32_t n = left(&c) if left(&c) < 5 else 5
    if n == 0 or not equals_nocase(part(take_rest(&c), 0, n), b"http/", n):
        return Match.NO
    return Match.YES if n == 5 else Match.MAYBE


cdef Match is_request(Cursor c) noexcept nogil:
    """A method, a space, and a version at the end of the line; a path behind capital letters is enough."""
    cdef uint32_t n = 0, here = left(&c)
    cdef Cursor ahead = c
    cdef Span method, said
    cdef uint8_t byte
    while n < here and n < LONGEST_METHOD and is_letter(peek(&c, n)):
        n += 1
    if n == here:
        return Match.MAYBE if n < LONGEST_METHOD else Match.NO
    if n == 0 or peek(&c, n) != c' ':
        return Match.NO
    method = part(take_rest(&ahead), 0, n)
    if equals(method, b"PRI", 3):
        return Match.NO            # HTTP/2 begins so (RFC 9113, 3.4)
    byte = peek(&c, n + 1)
    if (byte == c'/' and is_capital(method)) or (byte == c'*' and is_known_method(method)):
        return Match.YES
    said = line(&c)
    if c.short:
        return Match.MAYBE
    return Match.YES if take_version(&said).n else Match.NO


cdef bint is_capital(Span s) noexcept nogil:
    """Three capital letters or more, perhaps with ``-`` and ``_`` between: every method in use is so."""
    cdef uint32_t i
    for i in range(s.n):
        if c'a' <= byte_at(s, i) <= c'z':
            return False
    return s.n >= 3


cdef bint is_known_method(Span s) noexcept nogil:
    """RFC 9110, 9.3; RFC 5789; and the first of WebDAV (RFC 4918)."""
    return (equals(s, b"GET", 3) or equals(s, b"POST", 4) or equals(s, b"HEAD", 4) or equals(s, b"PUT", 3)
            or equals(s, b"DELETE", 6) or equals(s, b"OPTIONS", 7) or equals(s, b"PATCH", 5) or equals(s, b"TRACE", 5)
            or equals(s, b"CONNECT", 7) or equals(s, b"PROPFIND", 8))


cdef inline bint is_letter(uint8_t byte) noexcept nogil:
    return c'a' <= (byte | 0x20) <= c'z' or byte == c'-' or byte == c'_'


cdef bint is_token(Span s) noexcept nogil:
    """Letters, digits and some marks (RFC 9110, 5.6.2)."""
    cdef uint32_t i
    cdef uint8_t byte
    for i in range(s.n):
        byte = byte_at(s, i)
        if byte <= 32 or byte >= 127 or byte in (c'(', c')', c'<', c'>', c'@', c',', c';', c':', c'\\', c'"', c'/',
                                                 c'[', c']', c'?', c'=', c'{', c'}'):
            return False
    return 0 < s.n <= LONGEST_METHOD


cdef Span take_version(Span* rest) noexcept nogil:
    """Cuts `` HTTP/x.y`` off the end of a request line; empty when it is not there."""
    cdef uint32_t at = rest.n
    cdef Span version
    if rest.n >= 6 and equals_nocase(part(rest[0], 0, 5), b"http/", 5):
        version = behind(rest[0], 5)
        rest[0] = part(rest[0], 0, 0)
        return version             # a version alone: the target is missing
    while at and byte_at(rest[0], at - 1) != c' ':
        at -= 1
    if at == 0 or rest.n - at < 6 or not equals_nocase(part(rest[0], at, 5), b"http/", 5):
        return part(rest[0], 0, 0)
    version = behind(rest[0], at + 5)
    rest[0] = trimmed(part(rest[0], 0, at - 1))
    return version


cdef bint read_number(Span s, uint32_t base, uint64_t* value) noexcept nogil:
    """Digits of the base and nothing else, below 2^60."""
    cdef uint64_t v = 0
    cdef uint32_t i, digit
    for i in range(s.n):
        digit = hex_value(byte_at(s, i))
        if digit >= base or v >> 60:
            return False
        v = v * base + digit
    value[0] = v
    return s.n > 0


cdef uint32_t hex_value(uint8_t byte) noexcept nogil:
    if c'0' <= byte <= c'9':
        return byte - c'0'
    byte |= 0x20
    return byte - c'a' + 10 if c'a' <= byte <= c'f' else 16


cdef uint32_t base64_value(uint8_t byte) noexcept nogil:
    if c'A' <= byte <= c'Z':
        return byte - c'A'
    if c'a' <= byte <= c'z':
        return byte - c'a' + 26
    if c'0' <= byte <= c'9':
        return byte - c'0' + 52
    return 62 if byte == c'+' else 63 if byte == c'/' else 64


# ---- header lines out of the ordinary ------------------------------------------------------------------------------

cdef Span before_cr(Conn* conn, Span value) noexcept nogil:
    """A value up to a CR that ends no line: to some server a header begins behind it (RFC 9112, 2.2)."""
    cdef Cursor c = within(value)
    cdef Span first = until(&c, 13)
    if c.short:
        return value
    weird(conn, b"HTTP_bare_CR")
    return trimmed(first)


cdef Span bare(Span name) noexcept nogil:
    """Without spaces and control characters around it: some server takes it for the name within."""
    cdef uint32_t first = 0
    while first < name.n and byte_at(name, first) <= c' ':
        first += 1
    while name.n > first and byte_at(name, name.n - 1) <= c' ':
        name = part(name, 0, name.n - 1)
    return behind(name, first)


cdef Span trimmed_end(Span s) noexcept nogil:
    while s.n and byte_at(s, s.n - 1) in (10, 13):
        s.n -= 1
    return s


cdef Span unfolded(Conn* conn, Draft* d, Span value) noexcept nogil:
    """A value without the line ends that it was folded by; a copy that the draft keeps, where there are any."""
    cdef Cursor c = within(value)
    cdef uint8_t* out
    cdef uint32_t i, n = 0
    until(&c, 10)
    if c.short or d == NULL:
        return value
    weird(conn, b"HTTP_folded_header")
    out = keep_bytes(d, value.n)
    if out == NULL:
        return value
    for i in range(value.n):
        if byte_at(value, i) not in (10, 13):
            out[n] = byte_at(value, i)
            n += 1
    return trimmed(span(out, n))
