"""Record → one msgpack map with the keys and values of the JSON line.

Text is a msgpack string under the same rule; times and intervals are the float64 that the JSON number reads as.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from cext.buffer cimport WIDE, append, append_byte, append_wide, reserve
from cext.record cimport ADDR, BOOL, COUNT, COUNTS, INT, INTERVAL, PORT, REAL, TEXT, TIME, Field, Slot
from cext.text cimport LONGEST_ADDR, put_address, put_text_rule, whole_text
from cext.types cimport Addr, Span

cdef enum:                         # https://github.com/msgpack/msgpack/blob/master/spec.md
    FIXMAP = 0x80
    FIXARRAY = 0x90
    FIXSTR = 0xa0
    FALSE = 0xc2
    TRUE = 0xc3
    FLOAT64 = 0xcb
    UINT8 = 0xcc
    UINT16 = 0xcd
    UINT32 = 0xce
    UINT64 = 0xcf
    INT64 = 0xd3
    STR8 = 0xd9
    STR32 = 0xdb
    ARRAY16 = 0xdc
    MAP16 = 0xde
    LARGEST_HEAD = 9


cdef inline void put_head(Buffer* out, uint8_t kind, uint64_t value, int size) noexcept nogil:
    """A type byte and ``size`` big-endian bytes; room is there."""
    append_byte(out, kind)
    while size:
        size -= 1
        append_byte(out, <uint8_t>(value >> (8 * size)))


cdef void put_count(Buffer* out, uint64_t v) noexcept nogil:
    if v < 128:
        append_byte(out, <uint8_t>v)
    elif v < 256:
        put_head(out, UINT8, v, 1)
    elif v < 65536:
        put_head(out, UINT16, v, 2)
    elif v >> 32 == 0:
        put_head(out, UINT32, v, 4)
    else:
        put_head(out, UINT64, v, 8)


cdef void put_float(Buffer* out, double v) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &v, 8)
    put_head(out, FLOAT64, bits, 8)


cdef bint put_string(Buffer* out, Record* r, int i, uint32_t max, const uint8_t* p, uint32_t n) noexcept nogil:
    """The text grows by at most four times, so its head is written behind it and moved: one pass over the bytes."""
    cdef uint32_t size = whole_text(p, n, max)
    cdef uint8_t* start
    cdef size_t written
    if size < n:
        r.cut |= <uint64_t>1 << i
    if not reserve(out, 4 * <size_t>size + LARGEST_HEAD):
        return False
    start = out.p + out.n + 5
    written = put_text_rule(start, p, size) - start
    if written < 32:
        put_head(out, <uint8_t>(FIXSTR | written), 0, 0)
    elif written < 256:
        put_head(out, STR8, written, 1)
    else:
        put_head(out, STR32, written, 4)
    move_back(out, start, written)
    return True


cdef inline void move_back(Buffer* out, const uint8_t* start, size_t n) noexcept nogil:
    cdef size_t i
    cdef uint8_t* to = out.p + out.n
    if to != start:
        for i in range(n):
            to[i] = start[i]
    out.n += n


cdef bint put_value(Buffer* out, const Field* field, Record* r, int i) noexcept nogil:
    cdef Slot slot = r.slots[i]
    cdef uint8_t text[LONGEST_ADDR]
    cdef uint8_t size
    if field.kind == TEXT:
        return put_string(out, r, i, field.max, slot.p, <uint32_t>slot.number)
    if field.kind == COUNT or field.kind == PORT:
        put_count(out, slot.number)
    elif field.kind == ADDR:
        size = <uint8_t>(put_address(text, <const Addr*>slot.p) - text)
        if size < 32:
            put_head(out, <uint8_t>(FIXSTR | size), 0, 0)
        else:
            put_head(out, STR8, size, 1)
        append(out, text, size)
    elif field.kind == TIME or field.kind == INTERVAL or field.kind == REAL:
        put_float(out, <double>(<int64_t>slot.number // 1000) / 1e6)
    elif field.kind == BOOL:
        append_byte(out, TRUE if slot.number else FALSE)
    elif field.kind == INT:
        put_head(out, INT64, slot.number, 8)
    else:
        return put_vector(out, field, r, i)
    return True


cdef bint put_vector(Buffer* out, const Field* field, Record* r, int i) noexcept nogil:
    cdef uint64_t n = r.slots[i].number, at
    cdef const Span* texts = <const Span*>r.slots[i].p
    cdef const uint64_t* counts = <const uint64_t*>r.slots[i].p
    if n > field.max:
        n = field.max
        r.cut |= <uint64_t>1 << i
    put_head(out, ARRAY16, n, 2)
    for at in range(n):
        if not reserve(out, LARGEST_HEAD):
            return False
        if field.kind == COUNTS:
            put_count(out, counts[at])
        elif not put_string(out, r, i, texts[at].n, texts[at].p, texts[at].n):
            return False
    return True


cdef bint msgpack_fields(Buffer* out, const Layout* layout, Record* r, bint secrets, uint32_t* count) noexcept nogil:
    """Key and value of each field that is set; ``count`` grows by their number."""
    cdef uint64_t present = r.present if secrets else r.present & ~layout.secrets
    cdef const Field* field
    cdef int i = 0
    while present:
        if present & 1:
            field = &layout.fields[i]
            if not reserve(out, field.msgpack_key_size + LONGEST_ADDR + LARGEST_HEAD + WIDE):
                return False
            append_wide(out, field.msgpack_key, field.msgpack_key_size)
            if not put_value(out, field, r, i):
                return False
            count[0] += 1
        present >>= 1
        i += 1
    return True


cdef bint msgpack_map(Buffer* out, const Layout* layout, Record* r, const Buffer* identity, uint32_t identity_count,
                      bint secrets) noexcept nogil:
    """The map, with ``identity`` behind the time.  Its number of keys is known last, so the head is a map 16."""
    cdef size_t before = out.n
    cdef uint32_t count = 2 + identity_count
    if not reserve(out, layout.msgpack_path_size + identity.n + 32):
        return False
    put_head(out, MAP16, 0, 2)
    append(out, layout.msgpack_path, layout.msgpack_path_size)
    append(out, b"\xa2ts", 3)
    put_float(out, <double>(r.ts // 1000) / 1e6)
    append(out, identity.p, identity.n)
    if not msgpack_fields(out, layout, r, secrets, &count) or not put_cut(out, layout, r, secrets, &count):
        out.n = before
        return False
    out.p[before + 1] = <uint8_t>(count >> 8)
    out.p[before + 2] = <uint8_t>count
    return True


cdef bint put_cut(Buffer* out, const Layout* layout, Record* r, bint secrets, uint32_t* count) noexcept nogil:
    cdef uint64_t cut = r.cut & (r.present if secrets else r.present & ~layout.secrets)
    cdef int i, n = 0
    if not cut:
        return True
    for i in range(layout.count):
        n += cut >> i & 1
    if not reserve(out, 16):
        return False
    append(out, b"\xa4_cut", 5)
    put_head(out, ARRAY16, n, 2)
    for i in range(layout.count):
        if cut >> i & 1:
            if not reserve(out, layout.fields[i].msgpack_key_size):
                return False
            append(out, layout.fields[i].msgpack_key, layout.fields[i].msgpack_key_size)
    count[0] += 1
    return True
