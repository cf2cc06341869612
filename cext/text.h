/* The rule that makes any wire bytes valid UTF-8, and can be undone:
     valid UTF-8 passes; any other byte becomes the four characters \xHH;
     a backslash that stands before x and two hex digits becomes \x5c.
   put_text writes that; put_json_text writes it between the quotes of a JSON string. */
#ifndef CLOUDMRI_TEXT_H
#define CLOUDMRI_TEXT_H
#include <stdint.h>
#include <string.h>
#include "digits.h"
#include "plain.h"

/* Length of the valid UTF-8 sequence at p (RFC 3629, section 4), or 0. */
static inline int utf8_length(const uint8_t *p, size_t left) {
    uint8_t a = p[0];
    if (a < 0x80) return 1;
    if (a < 0xc2 || a > 0xf4 || left < 2) return 0;
    uint8_t low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80, high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    if (a < 0xe0) return 2;
    if (left < 3 || (p[2] & 0xc0) != 0x80) return 0;
    if (a < 0xf0) return 3;
    return left < 4 || (p[3] & 0xc0) != 0x80 ? 0 : 4;
}

static inline int is_hex(uint8_t c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f'); }

static inline int looks_escaped(const uint8_t *p, size_t left) {
    return left >= 4 && p[0] == '\\' && p[1] == 'x' && is_hex(p[2]) && is_hex(p[3]);
}

static inline uint8_t *put_hex_byte(uint8_t *out, uint8_t c) {
    out[0] = 'x'; out[1] = (uint8_t)HEX_DIGITS[c >> 4]; out[2] = (uint8_t)HEX_DIGITS[c & 15];
    return out + 3;
}

/* At most 4 bytes out for one in. */
static inline uint8_t *put_text_rule(uint8_t *out, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    while (p < end) {
        int k = looks_escaped(p, (size_t)(end - p)) ? 0 : utf8_length(p, (size_t)(end - p));
        if (k == 0) { *out++ = '\\'; out = put_hex_byte(out, *p++); }
        else while (k--) *out++ = *p++;
    }
    return out;
}

/* What put_json_text does, of text that may not be plain. */
__attribute__((noinline)) static uint8_t *put_escaped(uint8_t *out, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    while (p < end) {
        while (end - p >= 8 && plain8(load8(p))) { memcpy(out, p, 8); out += 8; p += 8; }
        if (p == end) return out;
        uint8_t c = *p;
        if (c == '\\' || c == '"') {
            *out++ = '\\';
            if (looks_escaped(p, (size_t)(end - p))) { *out++ = '\\'; out = put_hex_byte(out, c); }
            else *out++ = c;
            p++;
        } else if (c < 0x20) {
            const char *names = "btn\0fr";                                     /* RFC 8259, section 7 */
            *out++ = '\\';
            if (c >= 8 && c <= 13 && c != 11) *out++ = (uint8_t)names[c - 8];
            else { memcpy(out, "u00", 3); put_hex_byte(out + 2, c); out[2] = '0'; out += 5; }
            p++;
        } else {
            int k = utf8_length(p, (size_t)(end - p));
            if (k == 0) { *out++ = '\\'; *out++ = '\\'; out = put_hex_byte(out, *p++); }
            else while (k--) *out++ = *p++;
        }
    }
    return out;
}

/* At most 6 bytes out for one in. */
static inline uint8_t *put_json_text(uint8_t *out, const uint8_t *p, size_t n) {
    size_t plain = put_plain(out, p, n);
    return plain == n ? out + n : put_escaped(out + plain, p + plain, n - plain);
}
#endif
