/* What is where in sixteen bytes, and from that the next line of a head in one pass: its end, its first colon, its first CR.
   SSE2 on x86-64 and NEON on arm64, which every such processor has; elsewhere byte by byte. */
#ifndef CLOUDMRI_SCAN_H
#define CLOUDMRI_SCAN_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
typedef __m128i Sixteen;
static inline Sixteen load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline uint64_t where(Sixteen v, char byte) {                           /* one bit a byte */
    return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(byte)));
}
static inline size_t first(uint64_t bits) { return (size_t)__builtin_ctzll(bits); }
#elif defined(__aarch64__)
#include <arm_neon.h>
typedef uint8x16_t Sixteen;
static inline Sixteen load16(const uint8_t *p) { return vld1q_u8(p); }
static inline uint64_t where(Sixteen v, char byte) {                           /* four bits a byte */
    uint16x8_t same = vreinterpretq_u16_u8(vceqq_u8(v, vdupq_n_u8((uint8_t)byte)));
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(same, 4)), 0);
}
static inline size_t first(uint64_t bits) { return (size_t)__builtin_ctzll(bits) >> 2; }
#else
typedef struct { uint8_t b[16]; } Sixteen;
static inline Sixteen load16(const uint8_t *p) { Sixteen v; memcpy(v.b, p, 16); return v; }
static inline uint64_t where(Sixteen v, char byte) {
    uint64_t bits = 0;
    for (int i = 0; i < 16; i++) bits |= (uint64_t)(v.b[i] == (uint8_t)byte) << i;
    return bits;
}
static inline size_t first(uint64_t bits) { return (size_t)__builtin_ctzll(bits); }
#endif

/* Where the first LF is among n bytes; n when there is none.  Likewise the first colon and the first CR, which may stand
   behind it; beyond n for none. */
static inline size_t find_line(const uint8_t *p, size_t n, size_t *colon, size_t *cr) {
    uint8_t rest[16];
    *colon = *cr = SIZE_MAX;
    for (size_t at = 0; at < n; at += 16) {
        const uint8_t *here = p + at;
        if (n - at < 16) {
            memset(rest, 0, 16); memcpy(rest, here, n - at);
            here = rest;
        }
        Sixteen v = load16(here);
        uint64_t lfs = where(v, '\n'), colons = where(v, ':'), crs = where(v, '\r');
        if (colons && *colon == SIZE_MAX) *colon = at + first(colons);
        if (crs && *cr == SIZE_MAX) *cr = at + first(crs);
        if (lfs) return at + first(lfs);
    }
    return n;
}

/* Is there no byte that text has not: none below a space but white space and escape?  What is beyond ASCII may be in any
   encoding. */
static inline int text_only(const uint8_t *p, size_t n) {
    typedef unsigned char Bytes16 __attribute__((vector_size(16)));
    Bytes16 bad = {0}, v;
    uint64_t halves[2];
    size_t at = 0;
    while (n >= 16 && at < n) {
        size_t from = at + 16 <= n ? at : n - 16;                              /* of the last some once more */
        memcpy(&v, p + from, 16);
        bad |= (Bytes16)(v < 0x20) & ~((Bytes16)((v - 9) < 5) | (Bytes16)(v == 27));
        at = from + 16;
    }
    memcpy(halves, &bad, 16);
    if (halves[0] | halves[1]) return 0;
    for (; at < n; at++)
        if (p[at] < 0x20 && (uint8_t)(p[at] - 9) > 4 && p[at] != 27) return 0;
    return 1;
}
#endif
