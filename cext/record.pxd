"""Records: what a line says, declared once.

``Schema`` is the declaration and the Python face, ``Layout`` its C face, ``Record`` one filled-in line that borrows
its bytes, ``Draft`` one that keeps copies for things that finish later.  A draft that waits can be folded, and takes
no more memory then than it needs.
"""
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cext.types cimport Addr, Span, Time, copy_span, span
from cext.wire cimport lowest_bit

cdef enum:
    MOST_FIELDS = 64               # one bit each in Record.present
    DEFAULT_MAX = 1024             # bytes of a text field; longer ones are cut and named in _cut
    DRAFT_MOST = 262144            # … and the most that it gets
    DRAFT_INLINE = 1000            # bytes a draft keeps before it asks for more memory
    FIRST_ITEMS = 8                # room of a vector when it begins; it doubles
    JSON_FRAME = 128               # bytes of a JSON line besides path and fields: time, _cut, end; WIDE to write over
    JSON_VALUE = 64                # … of a field besides its key, its name in _cut, and text

cdef enum Kind:
    TIME, INTERVAL, REAL, COUNT, INT, BOOL, TEXT, ADDR, PORT, TEXTS, COUNTS


cdef struct Field:
    Kind kind
    bint secret
    uint32_t max                   # bytes of text, items of a vector
    const char* json_key           # ,"name":
    uint32_t json_key_size
    const char* msgpack_key        # the name as a msgpack string
    uint32_t msgpack_key_size


cdef struct Layout:
    int id
    int count
    uint64_t secrets               # bit mask of the secret fields
    const char* json_path          # {"_path":"http","ts":
    uint32_t json_path_size
    uint32_t json_room             # bytes of a line besides its texts, at most
    const char* msgpack_path
    uint32_t msgpack_path_size
    Field fields[MOST_FIELDS]


cdef struct Slot:                  # text: p and number = bytes; vectors: p and number = items; else the number alone
    const uint8_t* p
    uint64_t number


cdef struct Record:
    uint64_t present               # bit i: slot i is set; unset fields are simply absent
    uint64_t cut                   # bit i: field i was longer than its max
    Time ts
    Slot slots[MOST_FIELDS]


cdef struct Chunk:
    Chunk* after
    uint64_t room                  # bytes below
    uint8_t bytes[8]


cdef struct Room:                  # what an open draft is written in
    Record record
    uint8_t own[DRAFT_INLINE]


cdef struct Folded:                # what is kept of it while it waits
    uint64_t present
    uint64_t cut
    Time ts
    Slot slots[1]                  # those that are set, in order; behind them the bytes


cdef struct Draft:
    Record* record                 # in its room; NULL while it is folded
    Folded* folded                 # NULL while it is open
    const Layout* layout
    Draft* after                   # the next in its queue
    uint32_t mark                  # for the owner
    uint32_t round                 # for the owner
    void* extra                    # for the owner, who frees it
    Chunk* more                    # kept bytes that did not fit in its room
    uint32_t used                  # bytes of its room
    uint32_t kept_more             # bytes in chunks


cdef struct Drafts:                # a queue; all zero when empty
    Draft* first                   # the oldest
    Draft* last
    uint32_t n


@final
cdef class Schema:
    cdef readonly str name
    cdef readonly str doc
    cdef readonly list fields      # of FieldDoc, in slot order
    cdef list alive                # the bytes that Layout points into
    cdef Layout layout
    cdef keep_path(self, bytes json_path, bytes msgpack_path)
    cdef int declare(self, Kind kind, str name, str doc, uint32_t max, bint secret, str source) except -1


cdef inline void clear(Record* r) noexcept nogil:
    r.present = 0
    r.cut = 0


cdef inline bint is_set(const Record* r, int field) noexcept nogil:
    return (r.present >> field) & 1


cdef inline void put_number(Record* r, int field, uint64_t value) noexcept nogil:
    """A count, port, bool, int (as two's complement), time or interval (in ns)."""
    r.slots[field].number = value
    r.present |= <uint64_t>1 << field


cdef inline void put_text(Record* r, int field, Span s) noexcept nogil:
    """Borrowed: the bytes must live until the record is emitted."""
    r.slots[field].p = s.p
    r.slots[field].number = s.n
    r.present |= <uint64_t>1 << field


cdef inline void put_word(Record* r, int field, const char* word, uint32_t n) noexcept nogil:
    """A word of our own, such as a name from a table."""
    r.slots[field].p = <const uint8_t*>word
    r.slots[field].number = n
    r.present |= <uint64_t>1 << field


cdef inline void put_addr(Record* r, int field, const Addr* a) noexcept nogil:
    r.slots[field].p = &a.b[0]
    r.present |= <uint64_t>1 << field


cdef inline void put_texts(Record* r, int field, const Span* items, uint32_t n) noexcept nogil:
    r.slots[field].p = <const uint8_t*>items
    r.slots[field].number = n
    r.present |= <uint64_t>1 << field


cdef inline void put_counts(Record* r, int field, const uint64_t* items, uint32_t n) noexcept nogil:
    r.slots[field].p = <const uint8_t*>items
    r.slots[field].number = n
    r.present |= <uint64_t>1 << field


cdef inline Span get_text(const Record* r, int field) noexcept nogil:
    """What a text field holds; nowhere, and empty, when it is not set."""
    return span(r.slots[field].p, <uint32_t>r.slots[field].number) if is_set(r, field) else span(NULL, 0)


cdef inline void borrow_fields(Record* r, const Record* lender) noexcept nogil:
    """The fields that another record of the kind has set; its bytes must live until this one is emitted."""
    cdef uint64_t present = lender.present
    while present:
        r.slots[lowest_bit(present)] = lender.slots[lowest_bit(present)]
        present &= present - 1
    r.present |= lender.present
    r.cut |= lender.cut


cdef inline void unset(Record* r, int field) noexcept nogil:
    r.present &= ~(<uint64_t>1 << field)


cdef inline bint lend_item(Draft* d, int field, Span s) noexcept nogil:
    """Adds a text that outlives the draft to a vector.  False: it is full, or memory is."""
    cdef uint64_t n = d.record.slots[field].number
    if not is_set(d.record, field) or (n >= FIRST_ITEMS and n & (n - 1) == 0) or n == d.layout.fields[field].max:
        return lend_another(d, field, s)   # it may have to grow
    (<Span*>d.record.slots[field].p)[n] = s
    d.record.slots[field].number = n + 1
    return True


cdef Draft* new_draft(Schema schema) noexcept nogil
cdef void free_draft(Draft* d) noexcept nogil
cdef void fold(Draft* d) noexcept nogil
cdef bint unfold(Draft* d) noexcept nogil
cdef void queue_draft(Drafts* queue, Draft* d) noexcept nogil
cdef void unqueue_draft(Drafts* queue, Draft* d) noexcept nogil
cdef void keep_text(Draft* d, int field, Span s) noexcept nogil
cdef void keep_more(Draft* d, int field, Span s, const char* between) noexcept nogil
cdef bint lend_another(Draft* d, int field, Span s) noexcept nogil
cdef bint keep_item(Draft* d, int field, Span s) noexcept nogil
cdef bint keep_count(Draft* d, int field, uint64_t value) noexcept nogil
cdef uint8_t* keep_bytes(Draft* d, uint32_t n) noexcept nogil
cdef uint64_t draft_bytes() noexcept nogil
cdef list fill(Record* r, Schema schema, dict fields)
