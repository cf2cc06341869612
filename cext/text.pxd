"""Numbers, addresses and wire text as characters; each call returns the end of what it wrote."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cext.types cimport Addr, is_v4

cdef enum:
    LONGEST_NUMBER = 28            # a time with sign and fraction
    LONGEST_ADDR = 39

cdef extern from "digits.h" nogil:
    uint8_t* put_decimal(uint8_t* out, uint64_t v)
    uint8_t* put_seconds(uint8_t* out, int64_t ns)
    uint8_t* put_ipv4(uint8_t* out, const uint8_t* a)
    uint8_t* put_ipv6(uint8_t* out, const uint8_t* a)
    uint8_t* put_ethernet(uint8_t* out, const uint8_t* a)

cdef extern from "text.h" nogil:
    uint8_t* put_text_rule(uint8_t* out, const uint8_t* p, size_t n)
    uint8_t* put_json_text(uint8_t* out, const uint8_t* p, size_t n)


cdef inline uint8_t* put_address(uint8_t* out, const Addr* a) noexcept nogil:
    return put_ipv4(out, a.b + 12) if is_v4(a) else put_ipv6(out, a.b)


cdef inline uint8_t* put_hex(uint8_t* out, const uint8_t* p, uint32_t n) noexcept nogil:
    """Two small digits a byte."""
    cdef const char* digits = b"0123456789abcdef"
    cdef uint32_t i
    for i in range(n):
        out[2 * i], out[2 * i + 1] = digits[p[i] >> 4], digits[p[i] & 15]
    return out + 2 * n


cdef inline uint32_t whole_text(const uint8_t* p, uint32_t n, uint32_t max) noexcept nogil:
    """The longest prefix of at most ``max`` bytes that splits no UTF-8 sequence."""
    cdef uint32_t at = max, back = 0
    if n <= max:
        return n
    while at and back < 3 and (p[at] & 0xc0) == 0x80:
        at -= 1
        back += 1
    return max if (p[at] & 0xc0) == 0x80 else at
