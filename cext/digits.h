/* Numbers and addresses as text, two digits at a time.  Each function returns the end of what it wrote. */
#ifndef CLOUDMRI_DIGITS_H
#define CLOUDMRI_DIGITS_H
#include <stdint.h>
#include <string.h>

static const char TWO_DIGITS[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657"
    "5859606162636465666768697071727374757677787980818283848586878889909192939495969798" "99";
static const char HEX_DIGITS[17] = "0123456789abcdef";

static const uint64_t POWERS_OF_TEN[20] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000,
    10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000,
    10000000000000000000ULL};

static inline int digits_in(uint64_t v) {                                      /* bits times log10(2), or one more */
    int n = (64 - __builtin_clzll(v | 1)) * 1233 >> 12;
    return n + ((v | 1) >= POWERS_OF_TEN[n]);
}

static inline uint8_t *put_decimal(uint8_t *out, uint64_t v) {                 /* at most 20 bytes */
    if (v < 10) { *out = (uint8_t)('0' + v); return out + 1; }                 /* so are most */
    uint8_t *end = out + digits_in(v), *at = end;
    for (; v >= 100; v /= 100) { at -= 2; memcpy(at, TWO_DIGITS + 2 * (v % 100), 2); }
    if (v >= 10) memcpy(at - 2, TWO_DIGITS + 2 * v, 2);
    else at[-1] = (uint8_t)('0' + v);
    return end;
}

static inline uint8_t *put_seconds(uint8_t *out, int64_t ns) {                 /* 1362692526.939527; at most 28 bytes */
    uint64_t us = (uint64_t)(ns < 0 ? -ns : ns) / 1000, part = us % 1000000;
    if (ns < 0) *out++ = '-';
    out = put_decimal(out, us / 1000000);
    *out++ = '.';
    memcpy(out, TWO_DIGITS + 2 * (part / 10000), 2);
    memcpy(out + 2, TWO_DIGITS + 2 * (part / 100 % 100), 2);
    memcpy(out + 4, TWO_DIGITS + 2 * (part % 100), 2);
    return out + 6;
}

static inline uint8_t *put_octet(uint8_t *out, unsigned v) {                   /* of 0 to 255 */
    if (v < 10) { *out = (uint8_t)('0' + v); return out + 1; }
    if (v >= 100) { *out++ = (uint8_t)('0' + v / 100); v %= 100; }
    memcpy(out, TWO_DIGITS + 2 * v, 2);
    return out + 2;
}

static inline uint8_t *put_ipv4(uint8_t *out, const uint8_t *a) {              /* at most 15 bytes */
    out = put_octet(out, a[0]); *out++ = '.';
    out = put_octet(out, a[1]); *out++ = '.';
    out = put_octet(out, a[2]); *out++ = '.';
    return put_octet(out, a[3]);
}

/* An Ethernet address: 17 bytes. */
static inline uint8_t *put_ethernet(uint8_t *out, const uint8_t *a) {
    for (int i = 0; i < 6; i++) {
        out[3 * i] = (uint8_t)HEX_DIGITS[a[i] >> 4];
        out[3 * i + 1] = (uint8_t)HEX_DIGITS[a[i] & 15];
        if (i < 5) out[3 * i + 2] = ':';
    }
    return out + 17;
}

/* RFC 5952: no leading zeros, the first longest run of two or more zero groups becomes "::", lower case. */
static inline uint8_t *put_ipv6(uint8_t *out, const uint8_t *a) {              /* at most 39 bytes */
    int best = -1, best_n = 1;
    for (int i = 0, run = 0; i < 8; i++) {
        run = a[2 * i] || a[2 * i + 1] ? 0 : run + 1;
        if (run > best_n) { best_n = run; best = i - run + 1; }
    }
    for (int i = 0; i < 8; i++) {
        if (i == best) { *out++ = ':'; *out++ = ':'; i += best_n - 1; continue; }
        if (i && !(best >= 0 && i == best + best_n)) *out++ = ':';
        int v = a[2 * i] << 8 | a[2 * i + 1], started = 0;
        for (int shift = 12; shift >= 0; shift -= 4)
            if (started || v >> shift & 15 || shift == 0) { *out++ = (uint8_t)HEX_DIGITS[v >> shift & 15]; started = 1; }
    }
    return out;
}
#endif
