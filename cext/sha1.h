/* SHA-1 (FIPS 180-4, 6.1) of at most 55 bytes, which fit one block: Community IDs, of which each flow has one.
   OpenSSL's, through Python, takes the interpreter's lock and 1.5 us a flow; this takes 0.2, and a tenth of that where the
   processor has instructions for it. */
#ifndef CLOUDMRI_SHA1_H
#define CLOUDMRI_SHA1_H
#include <stdint.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define SHA1_BEGIN 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0

static inline uint32_t turned_left(uint32_t v, int n) { return v << n | v >> (32 - n); }

/* A round renames its variables; after five each has its own name again. */
#define CHOOSE(x, y, z) (z ^ (x & (y ^ z)))
#define PARITY(x, y, z) (x ^ y ^ z)
#define MAJORITY(x, y, z) ((x & y) | (z & (x | y)))
#define ROUND(f, k, a, b, c, d, e, t) e += turned_left(a, 5) + f(b, c, d) + k + w[t]; b = turned_left(b, 30);
#define FIVE_ROUNDS(f, k) { ROUND(f, k, a, b, c, d, e, t) ROUND(f, k, e, a, b, c, d, t + 1) ROUND(f, k, d, e, a, b, c, t + 2) \
                            ROUND(f, k, c, d, e, a, b, t + 3) ROUND(f, k, b, c, d, e, a, t + 4) }

static inline void sha1_plain(const uint8_t *block, uint8_t *digest) {
    uint32_t w[80], h[5] = {SHA1_BEGIN};
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

#ifdef __x86_64__
/* Four rounds an instruction.  Words stand in vectors with the first in the highest place. */
__attribute__((target("sha,sse4.1"))) static inline void sha1_by_instructions(const uint8_t *block, uint8_t *digest) {
    const uint32_t h[5] = {SHA1_BEGIN};
    const __m128i turn = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    const __m128i begin = _mm_set_epi32((int)h[0], (int)h[1], (int)h[2], (int)h[3]), last = _mm_set_epi32((int)h[4], 0, 0, 0);
    __m128i w[20], now = begin, before = begin, next;
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + i), turn);
    for (int i = 4; i < 20; i++)
        w[i] = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w[i - 4], w[i - 3]), w[i - 2]), w[i - 1]);
#define TWENTY_ROUNDS(kind) for (int i = 5 * kind; i < 5 * kind + 5; i++) { \
        next = i ? _mm_sha1nexte_epu32(before, w[i]) : _mm_add_epi32(last, w[i]); \
        before = now; now = _mm_sha1rnds4_epu32(now, next, kind); }
    TWENTY_ROUNDS(0) TWENTY_ROUNDS(1) TWENTY_ROUNDS(2) TWENTY_ROUNDS(3)
    next = _mm_shuffle_epi8(_mm_sha1nexte_epu32(before, last), turn);
    _mm_storeu_si128((__m128i *)digest, _mm_shuffle_epi8(_mm_add_epi32(now, begin), turn));
    memcpy(digest + 16, &next, 4);
}
#endif

static inline void sha1_short(const uint8_t *p, size_t n, uint8_t *digest) {
    uint8_t block[64] = {0};
    memcpy(block, p, n);
    block[n] = 0x80;                                                           /* then zeros, and the length in bits */
    block[62] = (uint8_t)(n >> 5); block[63] = (uint8_t)(n << 3);
#ifdef __x86_64__
    if (__builtin_cpu_supports("sha") && __builtin_cpu_supports("sse4.1")) { sha1_by_instructions(block, digest); return; }
#endif
    sha1_plain(block, digest);
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
