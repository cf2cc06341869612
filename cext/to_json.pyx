"""Record → one JSON line, valid whatever the wire held.

The keys were built when the fields were declared.  Secret fields are left out here and nowhere else.
"""
from libc.stdint cimport int64_t, uint64_t

from cext.buffer cimport WIDE, append, append_byte, append_wide, reserve
from cext.record cimport ADDR, BOOL, COUNT, COUNTS, INT, INTERVAL, PORT, REAL, TEXT, TIME, Field, Slot
from cext.text cimport LONGEST_ADDR, LONGEST_NUMBER, put_address, put_decimal, put_json_text, put_seconds, whole_text
from cext.types cimport Addr, Span
from cext.wire cimport lowest_bit


cdef bint json_line(Buffer* out, const Layout* layout, Record* r, const Buffer* identity, bint secrets) noexcept nogil:
    """The line, with ``identity`` (fields as json_fields wrote them) behind the time.  False: memory is out."""
    cdef size_t before = out.n
    if not reserve(out, layout.json_path_size + LONGEST_NUMBER + identity.n + 16):
        return False
    append(out, layout.json_path, layout.json_path_size)
    append(out, b',"ts":', 6)
    out.n = put_seconds(out.p + out.n, r.ts) - out.p
    append(out, identity.p, identity.n)
    if not json_fields(out, layout, r, secrets) or not put_cut(out, layout, r, secrets) or not reserve(out, 2):
        out.n = before
        return False
    append(out, b"}\n", 2)
    return True


cdef bint json_fields(Buffer* out, const Layout* layout, Record* r, bint secrets) noexcept nogil:
    """``,"key":value`` for each field that is set."""
    cdef uint64_t present = r.present if secrets else r.present & ~layout.secrets
    cdef const Field* field
    cdef int i
    while present:
        i = lowest_bit(present)
        field = &layout.fields[i]
        if not reserve(out, field.json_key_size + LONGEST_ADDR + WIDE):
            return False
        append_wide(out, field.json_key, field.json_key_size)
        if not put_value(out, field, r, i):
            return False
        present &= present - 1
    return True


cdef bint put_value(Buffer* out, const Field* field, Record* r, int i) noexcept nogil:
    """One value; room for a number or an address is there."""
    cdef Slot slot = r.slots[i]
    cdef uint8_t* at = out.p + out.n
    if field.kind == TEXT:
        return put_string(out, field, r, i, slot.p, <uint32_t>slot.number)
    if field.kind == COUNT or field.kind == PORT:
        at = put_decimal(at, slot.number)
    elif field.kind == ADDR:
        at[0] = c'"'
        at = put_address(at + 1, <const Addr*>slot.p)
        at[0] = c'"'
        at += 1
    elif field.kind == TIME or field.kind == INTERVAL or field.kind == REAL:
        at = put_seconds(at, <int64_t>slot.number)
    elif field.kind == BOOL:
        append(out, b"true" if slot.number else b"false", 4 if slot.number else 5)
        return True
    elif field.kind == INT:
        if <int64_t>slot.number < 0:
            at[0] = c'-'
            at = put_decimal(at + 1, <uint64_t>0 - slot.number)
        else:
            at = put_decimal(at, slot.number)
    else:
        return put_vector(out, field, r, i)
    out.n = at - out.p
    return True


cdef bint put_string(Buffer* out, const Field* field, Record* r, int i, const uint8_t* p, uint32_t n) noexcept nogil:
    cdef uint32_t size = whole_text(p, n, field.max if field.kind == TEXT else n)
    cdef uint8_t* at
    if size < n:
        r.cut |= <uint64_t>1 << i
    if not reserve(out, 6 * <size_t>size + 2):
        return False
    at = out.p + out.n
    at[0] = c'"'
    at = put_json_text(at + 1, p, size)
    at[0] = c'"'
    out.n = at + 1 - out.p
    return True


cdef bint put_vector(Buffer* out, const Field* field, Record* r, int i) noexcept nogil:
    cdef uint64_t n = r.slots[i].number, at
    cdef const Span* texts = <const Span*>r.slots[i].p
    cdef const uint64_t* counts = <const uint64_t*>r.slots[i].p
    if n > field.max:
        n = field.max
        r.cut |= <uint64_t>1 << i
    append_byte(out, c'[')
    for at in range(n):
        if not reserve(out, LONGEST_NUMBER):
            return False
        if at:
            append_byte(out, c',')
        if field.kind == COUNTS:
            out.n = put_decimal(out.p + out.n, counts[at]) - out.p
        elif not put_string(out, field, r, i, texts[at].p, texts[at].n):
            return False
    if not reserve(out, 1):
        return False
    append_byte(out, c']')
    return True


cdef bint put_cut(Buffer* out, const Layout* layout, Record* r, bint secrets) noexcept nogil:
    """``_cut`` names the fields that were longer than their max."""
    cdef uint64_t cut = r.cut & (r.present if secrets else r.present & ~layout.secrets)
    cdef bint first = True
    cdef int i
    if not cut:
        return True
    if not reserve(out, 16):
        return False
    append(out, b',"_cut":[', 9)
    for i in range(layout.count):
        if cut >> i & 1:
            if not reserve(out, layout.fields[i].json_key_size + 2):
                return False
            if not first:
                append_byte(out, c',')
            append(out, layout.fields[i].json_key + 1, layout.fields[i].json_key_size - 2)
            first = False
    append_byte(out, c']')
    return True
