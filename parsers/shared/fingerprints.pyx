"""JA3, JA3S and JA4: a hello → its fingerprint.

JA3 and JA3S are digests over a hello's numbers in order; JA4 says the most telling facts in clear and digests the
sorted rest (github.com/FoxIO-LLC/ja4, the client part, which is free to use).  Numbers that are there only to keep
servers tolerant (GREASE, RFC 8701) are left out.
"""
from libc.string cimport memcpy, memset

from cext.cursor cimport byte_at, span
from cext.parser cimport ask
from cext.record cimport keep_text
from cext.text cimport put_decimal

cdef enum:
    TEXT_ROOM = 8192               # five lists of 256 numbers of up to five digits and a mark
    DIGEST = 12                    # hex digits of each part of a JA4
    EXT_SERVER_NAME = 0
    EXT_ALPN = 16


cdef struct Text:
    uint32_t n
    uint8_t bytes[TEXT_ROOM]


cdef void add_number(Numbers* list, uint16_t number) noexcept nogil:
    if list.n < MOST_NUMBERS:
        list.items[list.n] = number
        list.n += 1


cdef bint is_grease(uint16_t number) noexcept nogil:
    """0x0a0a, 0x1a1a … 0xfafa (RFC 8701, 2)."""
    return number & 0x0f0f == 0x0a0a and number >> 8 == number & 0xff


cdef void add_byte(Text* t, uint8_t byte) noexcept nogil:
    if t.n < TEXT_ROOM:
        t.bytes[t.n] = byte
        t.n += 1


cdef void add_decimal(Text* t, uint32_t number) noexcept nogil:
    if t.n + 12 <= TEXT_ROOM:
        t.n = <uint32_t>(put_decimal(t.bytes + t.n, number) - t.bytes)


cdef void add_list(Text* t, const Numbers* list) noexcept nogil:
    """Decimal numbers with hyphens between, behind a comma."""
    cdef uint32_t i
    cdef bint first = True
    add_byte(t, c',')
    for i in range(list.n):
        if is_grease(list.items[i]):
            continue
        if not first:
            add_byte(t, c'-')
        add_decimal(t, list.items[i])
        first = False


cdef void keep_md5(Conn* conn, Draft* d, int field, const Text* t) noexcept nogil:
    cdef uint8_t digest[32]
    if ask(conn, b"md5_hex", span(t.bytes, t.n), digest, 32) == 32:
        keep_text(d, field, span(digest, 32))


cdef void keep_ja3(Conn* conn, Draft* d, int field, const Hello* h) noexcept nogil:
    cdef Text t
    t.n = 0
    add_decimal(&t, h.version)
    add_list(&t, &h.ciphers)
    add_list(&t, &h.extensions)
    add_list(&t, &h.groups)
    add_list(&t, &h.formats)
    keep_md5(conn, d, field, &t)


cdef void keep_ja3s(Conn* conn, Draft* d, int field, const Hello* h) noexcept nogil:
    cdef Text t
    t.n = 0
    add_decimal(&t, h.version)
    add_list(&t, &h.ciphers)
    add_list(&t, &h.extensions)
    keep_md5(conn, d, field, &t)


# ---- JA4 -----------------------------------------------------------------------------------------------------------

cdef void keep_ja4(Conn* conn, Draft* d, int field, const Hello* h, uint8_t transport) noexcept nogil:
    """``transport``: t for TCP, q for QUIC, d for DTLS."""
    cdef Text t
    cdef Text rest
    cdef Numbers sorted_ones
    t.n = 0
    add_byte(&t, transport)
    add_version(&t, h.best if h.best else h.version)
    add_byte(&t, c'd' if h.names_host else c'i')
    add_two_digits(&t, count(&h.ciphers))
    add_two_digits(&t, count(&h.extensions))
    add_alpn(&t, h.alpn)
    add_byte(&t, c'_')
    sort_into(&sorted_ones, &h.ciphers, False)
    rest.n = 0
    add_hex_list(&rest, &sorted_ones)
    add_digest(conn, &t, &rest)
    add_byte(&t, c'_')
    sort_into(&sorted_ones, &h.extensions, True)
    rest.n = 0
    add_hex_list(&rest, &sorted_ones)
    if h.signatures.n and rest.n:
        add_byte(&rest, c'_')
        add_hex_list(&rest, &h.signatures)
    add_digest(conn, &t, &rest)
    keep_text(d, field, span(t.bytes, t.n))


cdef uint32_t count(const Numbers* list) noexcept nogil:
    cdef uint32_t i, n = 0
    for i in range(list.n):
        n += not is_grease(list.items[i])
    return n


cdef void add_two_digits(Text* t, uint32_t number) noexcept nogil:
    if number > 99:
        number = 99
    add_byte(t, <uint8_t>(c'0' + number // 10))
    add_byte(t, <uint8_t>(c'0' + number % 10))


cdef void add_version(Text* t, uint16_t version) noexcept nogil:
    cdef const char* name = b"00"
    if version == 0x0304:
        name = b"13"
    elif version == 0x0303:
        name = b"12"
    elif version == 0x0302:
        name = b"11"
    elif version == 0x0301:
        name = b"10"
    elif version == 0x0300:
        name = b"s3"
    elif version == 0x0002:
        name = b"s2"
    elif version == 0xfeff:
        name = b"d1"
    elif version == 0xfefd:
        name = b"d2"
    elif version == 0xfefc:
        name = b"d3"
    add_byte(t, name[0])
    add_byte(t, name[1])


cdef inline bint is_alnum(uint8_t byte) noexcept nogil:
    return c'0' <= byte <= c'9' or c'a' <= (byte | 0x20) <= c'z'


cdef void add_alpn(Text* t, Span name) noexcept nogil:
    """First and last character; where one is no letter or digit, the first and last of its hex digits."""
    cdef const char* digits = b"0123456789abcdef"
    cdef uint8_t first = byte_at(name, 0), last = byte_at(name, name.n - 1 if name.n else 0)
    if name.n == 0:
        first = last = c'0'
    elif not is_alnum(first) or not is_alnum(last):
        first, last = digits[first >> 4], digits[last & 15]
    add_byte(t, first)
    add_byte(t, last)


cdef void sort_into(Numbers* out, const Numbers* list, bint extensions) noexcept nogil:
    """Ascending, without GREASE; of extensions, without those for the host's name and ALPN."""
    cdef uint32_t i, at
    cdef uint16_t number
    out.n = 0
    for i in range(list.n):
        number = list.items[i]
        if is_grease(number) or (extensions and number in (EXT_SERVER_NAME, EXT_ALPN)):
            continue
        at = out.n
        while at and out.items[at - 1] > number:
            out.items[at] = out.items[at - 1]
            at -= 1
        out.items[at] = number
        out.n += 1


cdef void add_hex_list(Text* t, const Numbers* list) noexcept nogil:
    """Four hex digits each, with commas between."""
    cdef const char* digits = b"0123456789abcdef"
    cdef uint32_t i
    cdef int shift
    cdef bint first = True
    for i in range(list.n):
        if is_grease(list.items[i]):
            continue
        if not first:
            add_byte(t, c',')
        first = False
        for shift in range(12, -4, -4):
            add_byte(t, digits[list.items[i] >> shift & 15])


cdef void add_digest(Conn* conn, Text* t, const Text* rest) noexcept nogil:
    cdef uint8_t digest[64]
    memset(digest, c'0', 64)
    if rest.n:
        ask(conn, b"sha256_hex", span(rest.bytes, rest.n), digest, 64)
    memcpy(t.bytes + t.n, digest, DIGEST)
    t.n += DIGEST
