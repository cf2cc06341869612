/* What is where in sixteen bytes, and from that how long the next line of a head is, and where its colon stands; and whether
   bytes may be text.  SSE2 on x86-64 and NEON on arm64, which every such processor has; elsewhere byte by byte. */
#ifndef CLOUDMRI_SCAN_H
#define CLOUDMRI_SCAN_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
typedef __m128i Sixteen;
static inline Sixteen load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline Sixteen same16(Sixteen v, char byte) { return _mm_cmpeq_epi8(v, _mm_set1_epi8(byte)); }
static inline Sixteen below16(Sixteen v, char byte) {
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8((char)(byte - 1))), v);
}
static inline Sixteen either16(Sixteen a, Sixteen b) { return _mm_or_si128(a, b); }
static inline uint64_t where(Sixteen same) { return (uint64_t)_mm_movemask_epi8(same); }        /* one bit a byte */
static inline size_t first(uint64_t bits) { return (size_t)__builtin_ctzll(bits); }
#elif defined(__aarch64__)
#include <arm_neon.h>
typedef uint8x16_t Sixteen;
static inline Sixteen load16(const uint8_t *p) { return vld1q_u8(p); }
static inline Sixteen same16(Sixteen v, char byte) { return vceqq_u8(v, vdupq_n_u8((uint8_t)byte)); }
static inline Sixteen below16(Sixteen v, char byte) { return vcltq_u8(v, vdupq_n_u8((uint8_t)byte)); }
static inline Sixteen either16(Sixteen a, Sixteen b) { return vorrq_u8(a, b); }
static inline uint64_t where(Sixteen same) {                                   /* one bit a byte, each four apart */
    uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(same), 4);
    return vget_lane_u64(vreinterpret_u64_u8(narrow), 0) & 0x8888888888888888ULL;
}
static inline size_t first(uint64_t bits) { return (size_t)__builtin_ctzll(bits) >> 2; }
#else
typedef struct { uint8_t b[16]; } Sixteen;
static inline Sixteen load16(const uint8_t *p) { Sixteen v; memcpy(v.b, p, 16); return v; }
static inline Sixteen same16(Sixteen v, char byte) {
    for (int i = 0; i < 16; i++) v.b[i] = v.b[i] == (uint8_t)byte;
    return v;
}
static inline Sixteen below16(Sixteen v, char byte) {
    for (int i = 0; i < 16; i++) v.b[i] = v.b[i] < (uint8_t)byte;
    return v;
}
static inline Sixteen either16(Sixteen a, Sixteen b) {
    for (int i = 0; i < 16; i++) a.b[i] |= b.b[i];
    return a;
}
static inline uint64_t where(Sixteen same) {
    uint64_t bits = 0;
    for (int i = 0; i < 16; i++) bits |= (uint64_t)same.b[i] << i;
    return bits;
}
static inline size_t first(uint64_t bits) { return (size_t)__builtin_ctzll(bits); }
#endif

/* Sixteen bytes; where there are fewer, NULs behind them. */
static inline Sixteen up_to16(const uint8_t *p, size_t n) {
    uint8_t rest[16];
    if (n >= 16) return load16(p);
    memset(rest, 0, 16); memcpy(rest, p, n);
    return load16(rest);
}

/* Where the first LF is among n bytes; n when there is none.  bare: a CR stands before it, and no LF behind that. */
static inline size_t find_line(const uint8_t *p, size_t n, int *bare) {
    *bare = 0;
    for (size_t at = 0; at < n; at += 16) {
        Sixteen v = up_to16(p + at, n - at);
        for (uint64_t ends = where(either16(same16(v, '\n'), same16(v, '\r'))); ends; ends &= ends - 1) {
            size_t end = at + first(ends);
            if (p[end] == '\n') return end;
            if (n - end > 1 && p[end + 1] == '\n') return end + 1;
            *bare = 1;
        }
    }
    return n;
}

/* Where the first colon is among n bytes, of which room can be read; n when there is none. */
static inline size_t find_colon(const uint8_t *p, size_t n, size_t room) {
    for (size_t at = 0; at < n; at += 16) {
        uint64_t colons = where(same16(up_to16(p + at, room - at), ':'));
        if (colons) return at + first(colons) < n ? at + first(colons) : n;
    }
    return n;
}

/* Is there no byte that text has not: none below a space but white space and escape?  What is beyond ASCII may be in any
   encoding. */
static inline int text_only(const uint8_t *p, size_t n) {
    for (size_t at = 0; at < n; at += 16)
        for (uint64_t low = where(below16(up_to16(p + at, n - at), ' ')); low; low &= low - 1) {
            size_t i = at + first(low);
            if (i < n && (uint8_t)(p[i] - '\t') > '\r' - '\t' && p[i] != 27) return 0;
        }
    return 1;
}
#endif
