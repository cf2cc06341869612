/* SHA-1 (FIPS 180-4, 6.1) of at most 55 bytes, which fit one block: Community IDs, of which each flow has one.
   OpenSSL's, through Python, takes the interpreter's lock and 1.5 us a flow; this takes 0.2. */
#ifndef CLOUDMRI_SHA1_H
#define CLOUDMRI_SHA1_H
#include <stdint.h>
#include <string.h>

#define SHA1_MOST 55

static inline uint32_t turned_left(uint32_t v, int n) { return v << n | v >> (32 - n); }

/* A round renames its variables; after five each has its own name again. */
#define CHOOSE(x, y, z) (z ^ (x & (y ^ z)))
#define PARITY(x, y, z) (x ^ y ^ z)
#define MAJORITY(x, y, z) ((x & y) | (z & (x | y)))
#define ROUND(f, k, a, b, c, d, e, t) e += turned_left(a, 5) + f(b, c, d) + k + w[t]; b = turned_left(b, 30);
#define FIVE_ROUNDS(f, k) { ROUND(f, k, a, b, c, d, e, t) ROUND(f, k, e, a, b, c, d, t + 1) ROUND(f, k, d, e, a, b, c, t + 2) \
                            ROUND(f, k, c, d, e, a, b, t + 3) ROUND(f, k, b, c, d, e, a, t + 4) }

static inline void sha1_short(const uint8_t *p, size_t n, uint8_t *digest) {
    uint32_t w[80], h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t block[64] = {0};
    memcpy(block, p, n);
    block[n] = 0x80;                                                           /* then zeros, and the length in bits */
    block[62] = (uint8_t)(n >> 5); block[63] = (uint8_t)(n << 3);
    for (int t = 0; t < 16; t++) {
        memcpy(&w[t], block + 4 * t, 4);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        w[t] = __builtin_bswap32(w[t]);
#endif
    }
    for (int t = 16; t < 80; t++) w[t] = turned_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 20; t += 5) FIVE_ROUNDS(CHOOSE, 0x5a827999)
    for (int t = 20; t < 40; t += 5) FIVE_ROUNDS(PARITY, 0x6ed9eba1)
    for (int t = 40; t < 60; t += 5) FIVE_ROUNDS(MAJORITY, 0x8f1bbcdc)
    for (int t = 60; t < 80; t += 5) FIVE_ROUNDS(PARITY, 0xca62c1d6)
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* RFC 4648, section 4: 4 characters for 3 bytes; the end of what was written. */
static inline uint8_t *put_base64(uint8_t *out, const uint8_t *p, size_t n) {
    static const char DIGITS[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        *out++ = (uint8_t)DIGITS[v >> 18];
        *out++ = (uint8_t)DIGITS[v >> 12 & 63];
        *out++ = i + 1 < n ? (uint8_t)DIGITS[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? (uint8_t)DIGITS[v & 63] : '=';
    }
    return out;
}
#endif
