"""Ciphers and MACs of SSH as far as sizes go (RFC 4253, 6; RFC 5647; OpenSSH's PROTOCOL and PROTOCOL.chacha20poly1305).

Every implementation that was tried pads as little as it may, so that the size of a packet tells that of its message.
"""
from cext.cursor cimport equals, part

cdef enum:
    LEAST_PADDING = 4              # RFC 4253, 6


cdef bint begins(Span s, const char* text, uint32_t n) noexcept nogil:
    return equals(part(s, 0, n), text, n)


cdef bint ends(Span s, const char* text, uint32_t n) noexcept nogil:
    return s.n >= n and equals(part(s, s.n - n, n), text, n)


cdef Suite suite_of(Span cipher, Span mac) noexcept nogil:
    cdef Suite s
    s.block, s.tag, s.length_apart = 0, 0, True
    if equals(cipher, b"chacha20-poly1305@openssh.com", 29):
        s.block, s.tag = 8, 16
        return s
    if begins(cipher, b"aes", 3) and ends(cipher, b"-gcm@openssh.com", 16):
        s.block, s.tag = 16, 16
        return s
    s.tag = mac_size(mac)
    s.length_apart = ends(mac, b"-etm@openssh.com", 16)
    if s.tag:
        s.block = block_size(cipher)
    return s


cdef uint32_t block_size(Span cipher) noexcept nogil:
    if begins(cipher, b"aes", 3) or begins(cipher, b"rijndael", 8) or begins(cipher, b"twofish", 7) or (
            begins(cipher, b"serpent", 7) or begins(cipher, b"camellia", 8)):
        return 16
    if begins(cipher, b"3des", 4) or begins(cipher, b"blowfish", 8) or begins(cipher, b"cast128", 7) or (
            begins(cipher, b"arcfour", 7)):
        return 8
    return 0


cdef uint32_t mac_size(Span mac) noexcept nogil:
    if begins(mac, b"hmac-sha2-256", 13):
        return 32
    if begins(mac, b"hmac-sha2-512", 13):
        return 64
    if begins(mac, b"hmac-sha1-96", 12) or begins(mac, b"hmac-md5-96", 11):
        return 12
    if begins(mac, b"hmac-sha1", 9) or begins(mac, b"hmac-ripemd160", 14):
        return 20
    if begins(mac, b"hmac-md5", 8) or begins(mac, b"umac-128", 8):
        return 16
    return 8 if begins(mac, b"umac-64", 7) else 0


cdef uint32_t wire_size(const Suite* s, uint32_t payload, uint32_t least) noexcept nogil:
    """Bytes of a packet with a message of that size; ``least``: what an implementation pads to at least."""
    cdef uint32_t n = 1 + payload + LEAST_PADDING + (0 if s.length_apart else 4)
    n = (n + s.block - 1) // s.block * s.block
    if n < least:
        n = least
    return n + s.tag + (4 if s.length_apart else 0)
