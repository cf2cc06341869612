/* Unaligned big-endian reads and writes, prefetch, a 64-bit mixer, a look for a bit, how it was built: what Cython says badly.
   memcpy of a fixed size compiles to one load on x86-64 and arm64, whatever the alignment. */
#ifndef CLOUDMRI_BYTES_H
#define CLOUDMRI_BYTES_H
#include <stdint.h>
#include <string.h>

static inline uint16_t be16(const uint8_t *p) { return (uint16_t)((p[0] << 8) | p[1]); }
static inline uint32_t be24(const uint8_t *p) { return ((uint32_t)p[0] << 16) | ((uint32_t)p[1] << 8) | p[2]; }
static inline uint32_t be32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v; }
static inline uint64_t be64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v; }
static inline void put_be64(uint8_t *p, uint64_t v) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, 8); }
static inline uint32_t le32(const uint8_t *p) { return __builtin_bswap32(be32(p)); }
static inline uint16_t le16(const uint8_t *p) { return __builtin_bswap16(be16(p)); }

/* The asm is empty: without it gcc takes a function that only fetches for one that does nothing, and never calls it. */
static inline void prefetch(const void *p) { __builtin_prefetch(p); __asm__ volatile("" : : "r"(p)); }

/* Number of the lowest bit that is set; there must be one. */
static inline int lowest_bit(uint64_t bits) { return __builtin_ctzll(bits); }

static inline int popcount(uint64_t bits) { return __builtin_popcountll(bits); }

/* Is the address sanitizer to see each block of memory? */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Folded 128-bit product: every input bit reaches every output bit in two instructions. */
static inline uint64_t mix64(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 r = (unsigned __int128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}
#endif
