"""Schemas, and drafts that outlive a call.

In: declarations, one line a field.  Out: the Layout that encoders walk, and the field list that JSON Schema and the
manual are rendered from.  Records themselves need no code: see record.pxd.
"""
from typing import NamedTuple

import msgpack

from cext.buffer cimport WIDE
from cext.pool cimport give_block, take_block
from cext.text cimport whole_text
from cext.wire cimport popcount
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strlen

cdef uint32_t most_open = 1024     # drafts that have a room each; beyond, those that wait are folded

KINDS = ("time", "interval", "real", "count", "int", "bool", "text", "addr", "port", "vector of text",
         "vector of count")

cdef uint64_t kept = 0             # bytes that drafts hold, for the process's memory budget
cdef uint32_t rooms = 0            # of open drafts


class FieldDoc(NamedTuple):
    """What a field means, for people and for renderers."""

    name: str
    kind: str
    doc: str
    max: int
    secret: bool
    source: str                    # where its meaning stands: an RFC and section, or who measured it


cdef class Schema:
    """A kind of record.  Each method declares one field and returns its slot number.

    >>> HTTP = Schema("http", "HTTP requests and their answers.")
    >>> METHOD = HTTP.text("method", "Verb of the request.", source="RFC 9110, 9")
    """

    registry = {}                  # name -> Schema, in the order of declaration

    def __init__(self, str name, str doc):
        if name and name in Schema.registry:
            raise ValueError(f"there is a schema {name!r} already")
        self.name, self.doc, self.fields, self.alive = name, doc, [], []
        self.layout.id = len(Schema.registry)
        self.layout.count = 0
        self.layout.secrets = 0
        self.keep_path(b'{"_path":"%s","ts":' % name.encode(), msgpack.packb("_path") + msgpack.packb(name))
        if name:                   # the nameless one is what all kinds have in common
            Schema.registry[name] = self

    cdef keep_path(self, bytes json_path, bytes msgpack_path):
        cdef bytes wide_json = json_path.ljust(WIDE)       # for copy_wide
        self.alive += [wide_json, msgpack_path]
        self.layout.json_path, self.layout.json_path_size = wide_json, <uint32_t>len(json_path)
        self.layout.msgpack_path, self.layout.msgpack_path_size = msgpack_path, <uint32_t>len(msgpack_path)
        self.layout.json_room = <uint32_t>len(json_path) + JSON_FRAME

    @property
    def id(self):
        """Number of the kind, from 0 in the order of declaration."""
        return self.layout.id

    cdef int declare(self, Kind kind, str name, str doc, uint32_t max, bint secret, str source) except -1:
        cdef int slot = self.layout.count
        cdef Field* field = &self.layout.fields[slot]
        cdef bytes json_key = b',"%s":' % name.encode(), msgpack_key = msgpack.packb(name)
        cdef bytes wide_json, wide_msgpack
        if slot == MOST_FIELDS:
            raise ValueError(f"schema {self.name!r} has more than {MOST_FIELDS} fields")
        if any(name == known.name for known in self.fields):
            raise ValueError(f"schema {self.name!r} has a field {name!r} already")
        wide_json, wide_msgpack = json_key.ljust(WIDE), msgpack_key.ljust(WIDE)      # for copy_wide
        self.alive += [wide_json, wide_msgpack]
        field.kind, field.secret, field.max = kind, secret, max
        field.json_key, field.json_key_size = wide_json, <uint32_t>len(json_key)
        field.msgpack_key, field.msgpack_key_size = wide_msgpack, <uint32_t>len(msgpack_key)
        self.layout.secrets |= <uint64_t>secret << slot
        self.layout.json_room += 2 * field.json_key_size + JSON_VALUE
        self.layout.count += 1
        self.fields.append(FieldDoc(name, KINDS[kind], doc, max, secret, source))
        return slot

    def time(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(TIME, name, doc, 0, secret, source)

    def interval(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(INTERVAL, name, doc, 0, secret, source)

    def real(self, str name, str doc, *, bint secret=False, str source=""):
        """A number with six decimals; put in units of 10⁻⁹, as an interval is."""
        return self.declare(REAL, name, doc, 0, secret, source)

    def count(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(COUNT, name, doc, 0, secret, source)

    def int(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(INT, name, doc, 0, secret, source)

    def bool(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(BOOL, name, doc, 0, secret, source)

    def text(self, str name, str doc, *, uint32_t max=DEFAULT_MAX, bint secret=False, str source=""):
        return self.declare(TEXT, name, doc, max, secret, source)

    def addr(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(ADDR, name, doc, 0, secret, source)

    def port(self, str name, str doc, *, bint secret=False, str source=""):
        return self.declare(PORT, name, doc, 0, secret, source)

    def texts(self, str name, str doc, *, uint32_t max=100, bint secret=False, str source=""):
        return self.declare(TEXTS, name, doc, max, secret, source)

    def counts(self, str name, str doc, *, uint32_t max=100, bint secret=False, str source=""):
        return self.declare(COUNTS, name, doc, max, secret, source)


cdef Draft* new_draft(Schema schema) noexcept nogil:
    """An empty draft, or NULL when memory is out."""
    global kept
    cdef Draft* d = <Draft*>take_block(sizeof(Draft))
    if d == NULL or not give_room(d):
        give_block(d, sizeof(Draft))
        return NULL
    d.layout = &schema.layout
    d.record.present = 0
    d.record.cut = 0
    d.record.ts = 0
    d.folded = NULL
    d.more = NULL
    d.after = NULL
    d.mark = d.round = 0
    d.used = d.kept_more = 0
    kept += sizeof(Draft)
    return d


cdef void free_draft(Draft* d) noexcept nogil:
    global kept
    cdef Chunk* chunk
    if d == NULL:
        return
    while d.more != NULL:
        chunk = d.more
        d.more = chunk.after
        free(chunk)
    kept -= sizeof(Draft) + d.kept_more
    if d.folded == NULL:
        drop_room(d)
    else:
        drop_folded(d)
    give_block(d, sizeof(Draft))


cdef bint give_room(Draft* d) noexcept nogil:
    """A record to fill.  False: memory is out."""
    global kept, rooms
    cdef Room* room = <Room*>take_block(sizeof(Room))
    if room == NULL:
        return False
    d.record = &room.record
    kept += sizeof(Room)
    rooms += 1
    return True


cdef void drop_room(Draft* d) noexcept nogil:
    global kept, rooms
    give_block(d.record, sizeof(Room))
    d.record = NULL
    kept -= sizeof(Room)
    rooms -= 1


cdef inline uint8_t* own_bytes(const Draft* d) noexcept nogil:
    return (<Room*>d.record).own


# ---- waiting --------------------------------------------------------------------------------------------------------
# Trick "folded drafts": of a million requests without an answer each takes 400 bytes instead of 2,100.

cdef inline size_t folded_size(uint64_t present, uint32_t used) noexcept nogil:
    return sizeof(Folded) + popcount(present) * sizeof(Slot) + used


cdef void drop_folded(Draft* d) noexcept nogil:
    global kept
    kept -= folded_size(d.folded.present, d.used)
    free(d.folded)
    d.folded = NULL


cdef void fold(Draft* d) noexcept nogil:
    """Of a draft that waits only its fields and bytes are kept, where many are open; ``unfold`` comes before the next
    look at its record."""
    global kept
    cdef Record* r = d.record
    cdef Folded* f
    cdef uint64_t present
    cdef uint8_t* own
    cdef int at = 0
    if rooms <= most_open or d.folded != NULL:
        return
    f = <Folded*>malloc(folded_size(r.present, d.used))
    if f == NULL:
        return
    kept += folded_size(r.present, d.used)
    own = <uint8_t*>&f.slots[popcount(r.present)]
    memcpy(own, own_bytes(d), d.used)
    f.present, f.cut, f.ts = r.present, r.cut, r.ts
    present = r.present
    while present:
        f.slots[at] = r.slots[lowest_bit(present)]
        move_slot(d, lowest_bit(present), &f.slots[at], own_bytes(d), own)
        present &= present - 1
        at += 1
    drop_room(d)
    d.folded = f


cdef bint unfold(Draft* d) noexcept nogil:
    """Open again, if it was folded.  False: memory is out, and it stays so."""
    cdef Folded* f = d.folded
    cdef uint64_t present
    cdef const uint8_t* own
    cdef int at = 0, field
    if f == NULL:
        return True
    if not give_room(d):
        return False
    own = <const uint8_t*>&f.slots[popcount(f.present)]
    memcpy(own_bytes(d), own, d.used)
    d.record.present, d.record.cut, d.record.ts = f.present, f.cut, f.ts
    present = f.present
    while present:
        field = lowest_bit(present)
        d.record.slots[field] = f.slots[at]
        move_slot(d, field, &d.record.slots[field], own, own_bytes(d))
        present &= present - 1
        at += 1
    drop_folded(d)
    return True


cdef void move_slot(const Draft* d, int field, Slot* slot, const uint8_t* own, const uint8_t* to) noexcept nogil:
    """What the slot points at among the draft's ``own`` bytes is at ``to`` now, and the items of a vector, too."""
    cdef Span* items
    cdef uint64_t i
    slot.p = moved(d, slot.p, own, to)
    if d.layout.fields[field].kind == TEXTS:
        items = <Span*>slot.p
        for i in range(slot.number):
            items[i].p = moved(d, items[i].p, own, to)


cdef inline const uint8_t* moved(const Draft* d, const uint8_t* p, const uint8_t* own,
                                 const uint8_t* to) noexcept nogil:
    cdef size_t at = <size_t>p - <size_t>own
    return to + at if at < d.used else p


cdef void queue_draft(Drafts* queue, Draft* d) noexcept nogil:
    """At the end."""
    if queue.last != NULL:
        queue.last.after = d
    else:
        queue.first = d
    queue.last = d
    queue.n += 1


cdef void unqueue_draft(Drafts* queue, Draft* d) noexcept nogil:
    """Out of the queue, which must hold it; the first is taken without a search."""
    cdef Draft* before = NULL
    if queue.first == d:
        queue.first = d.after
    else:
        before = queue.first
        while before.after != d:
            before = before.after
        before.after = d.after
    if queue.last == d:
        queue.last = before
    d.after = NULL
    queue.n -= 1


cdef uint8_t* keep_bytes(Draft* d, uint32_t n) noexcept nogil:
    """``n`` writable bytes, aligned for a pointer, that live as long as the draft; or NULL."""
    global kept
    cdef Chunk* chunk
    cdef uint32_t rounded = (n + 7) & ~7u
    if n < DRAFT_INLINE and rounded <= DRAFT_INLINE - d.used:
        d.used += rounded
        return own_bytes(d) + d.used - rounded
    if n > DRAFT_MOST - d.kept_more:
        return NULL
    chunk = <Chunk*>malloc(sizeof(Chunk) + n)
    if chunk == NULL:
        return NULL
    d.kept_more += n
    kept += n
    chunk.after, chunk.room = d.more, n
    d.more = chunk
    return chunk.bytes


cdef bint grow_in_place(Draft* d, const uint8_t* p, uint32_t had, uint32_t n) noexcept nogil:
    """True when what was kept last is at ``p``, and may now be ``n`` bytes long where it is."""
    cdef size_t at
    if d.more != NULL and p == d.more.bytes:
        return n <= d.more.room
    at = <size_t>p - <size_t>own_bytes(d)
    if at >= DRAFT_INLINE or at + ((had + 7) & ~7u) != d.used or n > ((DRAFT_INLINE - at) & ~<size_t>7):
        return False
    d.used = <uint32_t>at + ((n + 7) & ~7u)
    return True


cdef void keep_text(Draft* d, int field, Span s) noexcept nogil:
    """A copy of at most the field's max; the rest is lost, and the field named in ``_cut``.

    A text that is nowhere (get_text of a field that is not set) sets nothing; an empty one does.
    """
    cdef uint32_t n = whole_text(s.p, s.n, d.layout.fields[field].max)
    cdef uint8_t* p
    if s.p == NULL:
        return
    if n < s.n:
        d.record.cut |= <uint64_t>1 << field
    p = keep_bytes(d, n)
    if p == NULL:
        d.record.cut |= <uint64_t>1 << field
        return
    copy_span(p, span(s.p, n))
    d.record.slots[field].p = p
    d.record.slots[field].number = n
    d.record.present |= <uint64_t>1 << field


cdef void keep_more(Draft* d, int field, Span s, const char* between) noexcept nogil:
    """``s`` behind what the field holds already, with ``between`` in the middle; bounded by the field's max."""
    cdef Slot old = d.record.slots[field]
    cdef uint32_t had, gap = <uint32_t>strlen(between), room, n
    cdef uint8_t* p
    if not (d.record.present >> field) & 1:
        keep_text(d, field, s)
        return
    had = <uint32_t>old.number
    room = d.layout.fields[field].max
    if had + gap >= room:
        d.record.cut |= <uint64_t>1 << field
        return
    n = whole_text(s.p, s.n, room - had - gap)
    if n < s.n:
        d.record.cut |= <uint64_t>1 << field
    if grow_in_place(d, old.p, had, had + gap + n):
        p = <uint8_t*>old.p
    else:                          # twice the room, so that many small pieces cost little
        p = keep_bytes(d, min(2 * (had + gap + n), room))
        if p == NULL:
            d.record.cut |= <uint64_t>1 << field
            return
        memcpy(p, old.p, had)
    memcpy(p + had, between, gap)
    copy_span(p + had + gap, span(s.p, n))
    d.record.slots[field].p = p
    d.record.slots[field].number = had + gap + n


cdef void* vector_room(Draft* d, int field, size_t size) noexcept nogil:
    """The items of a vector with room for one more, which doubles as it grows; NULL when it is full or memory is."""
    cdef uint64_t n = d.record.slots[field].number if is_set(d.record, field) else 0
    cdef const uint8_t* items = d.record.slots[field].p
    cdef uint8_t* more
    if n == d.layout.fields[field].max:
        d.record.cut |= <uint64_t>1 << field
        return NULL
    if n and (n < FIRST_ITEMS or n & (n - 1)):
        return <void*>items
    more = keep_bytes(d, <uint32_t>((2 * n if n else FIRST_ITEMS) * size))
    if more != NULL and n:
        memcpy(more, items, n * size)
    return more


cdef bint lend_another(Draft* d, int field, Span s) noexcept nogil:
    """What lend_item does, where the vector may have to grow."""
    cdef uint64_t n = d.record.slots[field].number if is_set(d.record, field) else 0
    cdef Span* items = <Span*>vector_room(d, field, sizeof(Span))
    if items == NULL:
        d.record.cut |= <uint64_t>1 << field
        return False
    items[n] = s
    put_texts(d.record, field, items, <uint32_t>(n + 1))
    return True


cdef bint keep_item(Draft* d, int field, Span s) noexcept nogil:
    """The same with a copy of the text."""
    cdef bint full = is_set(d.record, field) and d.record.slots[field].number == d.layout.fields[field].max
    cdef uint8_t* text = NULL if full else keep_bytes(d, s.n)
    if text == NULL:
        d.record.cut |= <uint64_t>1 << field
        return False
    copy_span(text, s)
    return lend_item(d, field, span(text, s.n))


cdef bint keep_count(Draft* d, int field, uint64_t value) noexcept nogil:
    """Adds a number to a vector.  False: it is full, or memory is."""
    cdef uint64_t n = d.record.slots[field].number if is_set(d.record, field) else 0
    cdef uint64_t* items = <uint64_t*>vector_room(d, field, sizeof(uint64_t))
    if items == NULL:
        return False
    items[n] = value
    put_counts(d.record, field, items, <uint32_t>(n + 1))
    return True


cdef uint64_t draft_bytes() noexcept nogil:
    """Bytes that all drafts of this process hold."""
    return kept


def set_most_open(n):
    """Sets from how many open drafts on those that wait are folded; gives the number before."""
    global most_open
    before, most_open = most_open, n
    return before


cdef list fill(Record* r, Schema schema, dict fields):
    """Sets a record's fields from a dict.  What is returned must live until the record is encoded."""
    cdef int slot
    cdef list kept = []
    clear(r)
    for slot, field in enumerate(schema.fields):
        value = fields.get(field.name)
        if value is None:
            continue
        if field.kind == "text":
            put_text(r, slot, keep_value(kept, value))
        elif field.kind == "vector of text":
            put_vector(r, slot, kept, value)
        elif field.kind in ("time", "interval"):
            put_number(r, slot, <uint64_t><int64_t>round(value * 1e9))
        elif field.kind == "int":
            put_number(r, slot, <uint64_t><int64_t>value)
        else:
            put_number(r, slot, <uint64_t>value)
    return kept


cdef Span keep_value(list kept, value) except *:
    cdef bytes text = value.encode() if isinstance(value, str) else bytes(value)
    kept.append(text)
    return span(<const uint8_t*>(<const char*>text), <uint32_t>len(text))


cdef put_vector(Record* r, int slot, list kept, values):
    cdef bytearray items = bytearray(len(values) * sizeof(Span))
    cdef Span* spans = <Span*>(<char*>items)
    cdef uint32_t i
    for i, value in enumerate(values):
        spans[i] = keep_value(kept, value)
    kept.append(items)
    put_texts(r, slot, spans, <uint32_t>len(values))
