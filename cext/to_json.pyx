"""Record → one JSON line, valid whatever the wire held.

The keys were built when the fields were declared.  Secret fields are left out here and nowhere else.

Trick "running end": where the next byte goes is a local variable, handed on from call to call.  Kept in the buffer it
would be read anew behind each byte that is stored, for C lets a byte be any part of any struct.

Trick "room to come": behind the running end there is always room for all keys of the kind of record, and for all
numbers and addresses.  Only text asks for more, and so much that this stays.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cext.buffer cimport copy_wide, reserve
from cext.record cimport ADDR, BOOL, COUNT, COUNTS, INT, INTERVAL, PORT, REAL, TEXT, TIME, Field, Slot
from cext.text cimport LONGEST_NUMBER, put_address, put_decimal, put_json_text, put_seconds, whole_text
from cext.types cimport Addr, Span
from cext.wire cimport lowest_bit
from cext.words cimport is_word


cdef inline uint8_t* room(Buffer* out, uint8_t* end, const Layout* layout, size_t n) noexcept nogil:
    """``end``, with room for ``n`` bytes behind it and the room to come, perhaps elsewhere; NULL: memory is out."""
    n += layout.json_room
    if <size_t>(out.p + out.room - end) < n:
        out.n = end - out.p
        end = out.p + out.n if reserve(out, n) else NULL
    return end


cdef bint json_line(Buffer* out, const Layout* layout, Record* r, const Buffer* identity, bint secrets) noexcept nogil:
    """The line, with ``identity`` (fields as json_fields wrote them) behind the time.  False: memory is out."""
    cdef size_t before = out.n
    cdef uint8_t* end = room(out, out.p + out.n, layout, identity.n)
    if end != NULL:
        end = copy_wide(end, layout.json_path, layout.json_path_size)
        end = put_seconds(end, r.ts)
        if identity.n:
            memcpy(end, identity.p, identity.n)
        end = put_fields(out, end + identity.n, layout, r, secrets)
    if end != NULL and r.cut:
        end = put_cut(end, layout, r, secrets)
    if end == NULL:
        out.n = before
        return False
    end[0], end[1] = c'}', c'\n'
    out.n = end + 2 - out.p
    return True


cdef bint json_fields(Buffer* out, const Layout* layout, Record* r, bint secrets) noexcept nogil:
    """``,"key":value`` for each field that is set.  False: memory is out, and nothing was added."""
    cdef size_t before = out.n
    cdef uint8_t* end = put_fields(out, room(out, out.p + out.n, layout, 0), layout, r, secrets)
    out.n = end - out.p if end != NULL else before
    return end != NULL


cdef uint8_t* put_fields(Buffer* out, uint8_t* end, const Layout* layout, Record* r, bint secrets) noexcept nogil:
    cdef uint64_t present = r.present if secrets else r.present & ~layout.secrets
    cdef const Field* field
    cdef int i
    while present and end != NULL:
        i = lowest_bit(present)
        field = &layout.fields[i]
        end = copy_wide(end, field.json_key, field.json_key_size)
        end = put_value(out, end, layout, field, r, i)
        present &= present - 1
    return end


cdef inline uint8_t* put_value(Buffer* out, uint8_t* end, const Layout* layout, const Field* field, Record* r,
                               int i) noexcept nogil:
    cdef Slot slot = r.slots[i]
    if field.kind == TEXT:
        return put_string(out, end, layout, field, r, i, slot.p, <uint32_t>slot.number)
    elif field.kind == COUNT or field.kind == PORT:
        return put_decimal(end, slot.number)
    elif field.kind == TIME or field.kind == INTERVAL or field.kind == REAL:
        return put_seconds(end, <int64_t>slot.number)
    elif field.kind == BOOL:
        memcpy(end, b"true" if slot.number else b"fals", 4)
        end[4] = c'e'
        return end + (4 if slot.number else 5)
    elif field.kind == ADDR:
        end[0] = c'"'
        end = put_address(end + 1, <const Addr*>slot.p)
        end[0] = c'"'
        return end + 1
    elif field.kind == INT:
        if <int64_t>slot.number < 0:
            end[0] = c'-'
            return put_decimal(end + 1, <uint64_t>0 - slot.number)
        return put_decimal(end, slot.number)
    return put_vector(out, end, layout, field, r, i)


cdef inline uint8_t* put_string(Buffer* out, uint8_t* end, const Layout* layout, const Field* field, Record* r, int i,
                                const uint8_t* p, uint32_t n) noexcept nogil:
    if n > field.max:
        n = whole_text(p, n, field.max)
        r.cut |= <uint64_t>1 << i
    end = room(out, end, layout, 6 * <size_t>n)
    return put_quoted(end, p, n) if end != NULL else NULL


cdef inline uint8_t* put_quoted(uint8_t* end, const uint8_t* p, uint32_t n) noexcept nogil:
    end[0] = c'"'
    end = put_json_text(end + 1, p, n)
    end[0] = c'"'
    return end + 1


cdef uint8_t* put_vector(Buffer* out, uint8_t* end, const Layout* layout, const Field* field, Record* r,
                         int i) noexcept nogil:
    cdef uint64_t n = r.slots[i].number, at
    cdef const Span* texts = <const Span*>r.slots[i].p
    cdef const uint64_t* counts = <const uint64_t*>r.slots[i].p
    if n > field.max:
        n = field.max
        r.cut |= <uint64_t>1 << i
    end[0] = c'['
    end += 1
    for at in range(n):
        end = room(out, end, layout, LONGEST_NUMBER if field.kind == COUNTS else 6 * <size_t>texts[at].n + 3)
        if end == NULL:
            return NULL
        if field.kind == COUNTS:
            end = put_decimal(end, counts[at])
        elif is_word(texts[at].p):
            end = copy_wide(end, texts[at].p - 1, <size_t>texts[at].n + 2)
        else:
            end = put_quoted(end, texts[at].p, texts[at].n)
        end[0] = c','
        end += 1
    if n:
        end -= 1                   # the last comma
    end[0] = c']'
    return end + 1


cdef uint8_t* put_cut(uint8_t* end, const Layout* layout, Record* r, bint secrets) noexcept nogil:
    """``_cut`` names the fields that were longer than their max."""
    cdef uint64_t cut = r.cut & (r.present if secrets else r.present & ~layout.secrets)
    cdef const Field* field
    if not cut:
        return end
    memcpy(end, b',"_cut":[', 9)
    end += 9
    while cut:                     # the key as a name: its comma and its colon have changed places
        field = &layout.fields[lowest_bit(cut)]
        memcpy(end, field.json_key + 1, field.json_key_size - 2)
        end += field.json_key_size - 2
        cut &= cut - 1
        end[0] = c',' if cut else c']'
        end += 1
    return end
