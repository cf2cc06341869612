/* Text that needs no escape in JSON, copied many bytes at a time.  Vectors of the compiler's own: SSE2 on x86-64, NEON on
   arm64, which every such processor has. */
#ifndef CLOUDMRI_PLAIN_H
#define CLOUDMRI_PLAIN_H
#include <stdint.h>
#include <string.h>

#define EVERY(b) (0x0101010101010101ULL * (b))

/* Eight bytes that need no escape in JSON: none below 0x20, none above 0x7f, no quote, no backslash. */
static inline int plain8(uint64_t v) {
    uint64_t quote = v ^ EVERY('"'), slash = v ^ EVERY('\\');
    return !((v | (v - EVERY(0x20)) | (quote - EVERY(1)) | (slash - EVERY(1))) & EVERY(0x80));
}

/* Sixteen bytes that need none.  As signed numbers all that are not ASCII are below 0x20, too. */
static inline int plain16(const uint8_t *p) {
    typedef signed char Signed16 __attribute__((vector_size(16)));
    Signed16 v;
    uint64_t bad[2];
    memcpy(&v, p, 16);
    v = (v < 0x20) | (v == '"') | (v == '\\');
    memcpy(bad, &v, 16);
    return !(bad[0] | bad[1]);
}

static inline uint64_t load4(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

/* Nearly all text is plain: it goes 16, 8, 4 or 1 bytes at a time, and the last of them go with some before them once more
   ("overlap"), so that no loop over single bytes is entered.  How many bytes were copied: all, or those before the first
   that may need an escape. */
static inline size_t put_plain(uint8_t *out, const uint8_t *p, size_t n) {
    size_t at = 0;
    if (n >= 16) {
        for (; at + 16 <= n; at += 16) {
            if (!plain16(p + at)) return at;
            memcpy(out + at, p + at, 16);
        }
        if (at == n) return n;
        if (!plain16(p + n - 16)) return at;
        memcpy(out + n - 16, p + n - 16, 16);
        return n;
    }
    if (n >= 8) {
        if (!plain8(load8(p)) || !plain8(load8(p + n - 8))) return 0;
        memcpy(out, p, 8); memcpy(out + n - 8, p + n - 8, 8);
        return n;
    }
    if (n >= 4) {
        if (!plain8(load4(p) | load4(p + n - 4) << 32)) return 0;
        memcpy(out, p, 4); memcpy(out + n - 4, p + n - 4, 4);
        return n;
    }
    if (n == 0 || !plain8(EVERY(' ') << 24 | p[0] | p[n >> 1] << 8 | p[n - 1] << 16)) return 0;
    out[0] = p[0]; out[n >> 1] = p[n >> 1]; out[n - 1] = p[n - 1];
    return n;
}
#endif
