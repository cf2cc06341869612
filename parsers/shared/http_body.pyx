"""What is told of a body, of a request or an answer (RFC 9110, 6.4 and 8.4).

The first bytes tell its kind, the last ones of a gzip its unpacked length; all between is swallowed unseen, unless its
hash was asked for.  Codings are taken off only from what is looked at.

    bytes ─┬─ the first 512 ──▶ kind          ─┬─ the last 4 of a gzip ──▶ length
           └─ all, when asked for ──▶ SHA-256  └─ else swallowed
"""
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy

from cext.cursor cimport byte_at, equals_nocase, part
from cext.owned cimport disown, own
from cext.parser cimport is_behind, spare
from cext.record cimport keep_text, lend_item, put_number
from cext.types cimport span
from parsers.shared.http_record cimport (ORIG_MIME_TYPES, REQUEST_BODY_LEN, REQUEST_ENCODED_LEN, REQUEST_SHA256,
                                         RESP_MIME_TYPES, RESPONSE_BODY_LEN, RESPONSE_ENCODED_LEN, RESPONSE_SHA256)
from parsers.shared.mime cimport mime_of

cdef enum:
    LOOK = 512                     # bytes that the kind is told by
    TAIL = 4                       # bytes of a gzip's end that tell its length
    SMALLEST_GZIP = 18             # head and end (RFC 1952)
    MOST_PACKED = 1100             # deflate packs at most 1,032 to 1

NAMES = {IDENTITY: "", GZIP: "gzip", DEFLATE: "deflate", BROTLI: "br", ZSTD: "zstd", UNKNOWN_CODING: "?"}


cdef void begin_body(Body* b, bint whole) noexcept nogil:
    free_body(b)
    b.coding, b.whole, b.holed, b.look, b.seen, b.tail_n = IDENTITY, whole, False, LOOK, 0, 0
    b.kind = span(NULL, 0)


cdef void set_coding(Body* b, Span said) noexcept nogil:
    """By a Content-Encoding header; codings one over another are not taken off."""
    cdef Coding coding = coding_of(said)
    if coding != IDENTITY:
        b.coding = coding if b.coding == IDENTITY else UNKNOWN_CODING


cdef Coding coding_of(Span said) noexcept nogil:
    if equals_nocase(said, b"identity", 8):
        return IDENTITY
    if equals_nocase(said, b"gzip", 4) or equals_nocase(said, b"x-gzip", 6):
        return GZIP
    if equals_nocase(said, b"deflate", 7):
        return DEFLATE
    if equals_nocase(said, b"br", 2):
        return BROTLI
    return ZSTD if equals_nocase(said, b"zstd", 4) else UNKNOWN_CODING


cdef void expect(Body* b, uint64_t n) noexcept nogil:
    """The whole body has ``n`` bytes."""
    if n < b.look:
        b.look = <uint16_t>n


cdef uint64_t wanted(Conn* conn, Body* b, uint64_t run) noexcept nogil:
    """How many of the next ``run`` bytes are to be taken; 0: they may be skipped, as far as to_skip says.

    While the sensor is behind, no more of a body is looked at.
    """
    if is_behind(conn) and (b.look or (b.whole and not b.holed)):
        end_look(b)
        spoil(b)
        b.whole = False
        spare(conn)
    if b.whole or (b.coding == GZIP and (run <= TAIL or run >> 62)):
        return run
    return min(<uint64_t>b.look, run)


cdef uint64_t to_skip(const Body* b, uint64_t run) noexcept nogil:
    return run - TAIL if b.coding == GZIP else run


cdef void take_body(Body* b, Span piece) noexcept nogil:
    cdef uint32_t i = piece.n - TAIL if piece.n > TAIL else 0
    b.seen += piece.n
    if b.coding == GZIP:
        while i < piece.n:
            b.tail[0], b.tail[1], b.tail[2], b.tail[3] = b.tail[1], b.tail[2], b.tail[3], byte_at(piece, i)
            b.tail_n = min(b.tail_n + 1, TAIL)
            i += 1
    if b.whole and not b.holed and piece.n:
        read_on(b, piece)
    if b.look:
        look_at(b, part(piece, 0, b.look))


cdef void pass_body(Body* b, uint64_t n) noexcept nogil:
    """Bytes that were skipped."""
    b.seen += n
    b.tail_n = 0


cdef void miss_body(Body* b, uint64_t n) noexcept nogil:
    """Bytes that were transferred, but not seen."""
    pass_body(b, n)
    spoil(b)
    end_look(b)


cdef void look_at(Body* b, Span piece) noexcept nogil:
    """Trick "first piece": a head that comes at once is not copied."""
    if b.head == NULL and piece.n == b.look:
        b.look = 0
        b.kind = kind_of(b, piece)
        return
    if b.head == NULL:
        b.head = <uint8_t*>own(b.look)
        if b.head == NULL:
            b.look = 0
            return
    memcpy(b.head + b.n, piece.p, piece.n)
    b.n += piece.n
    b.look -= piece.n
    if b.look == 0:
        end_look(b)


cdef void end_look(Body* b) noexcept nogil:
    b.look = 0
    if b.n:
        b.kind = kind_of(b, span(b.head, b.n))
    disown(b.head)
    b.head, b.n = NULL, 0


cdef Span kind_of(Body* b, Span head) noexcept nogil:
    return mime_of(head) if b.coding == IDENTITY else kind_inside(b, head)


cdef Span kind_inside(Body* b, Span head) noexcept with gil:
    """The same of what is packed.  The words outlive all bytes, so only they are returned."""
    cdef bytes plain
    try:
        from parsers.shared.content_codings import first_bytes
        plain = first_bytes(NAMES[b.coding], (<const char*>head.p)[:head.n], LOOK)
        return mime_of(span(<const uint8_t*>(<const char*>plain), <uint32_t>len(plain))) if plain else span(NULL, 0)
    except Exception:              # no bytes of that coding, or memory is short
        return span(NULL, 0)


cdef void read_on(Body* b, Span piece) noexcept with gil:
    """More bytes for the hash; what cannot be unpacked has none."""
    try:
        if b.reader == NULL:
            from parsers.shared.content_codings import Hash
            reader = Hash(NAMES[b.coding])
            Py_INCREF(reader)
            b.reader = <void*>reader
        (<object>b.reader).feed((<const char*>piece.p)[:piece.n])
    except Exception:
        spoil(b)


cdef void keep_hash(Body* b, Draft* d, int field) noexcept with gil:
    cdef bytes text
    try:
        text = (<object>b.reader).finish().encode()
        keep_text(d, field, span(<const uint8_t*>(<const char*>text), <uint32_t>len(text)))
    except Exception:              # it ends too early
        return


cdef void tell_body(Body* b, Draft* d, bint asks, uint64_t seen, bint ended) noexcept nogil:
    """Puts what is known of the body into its record; ``seen`` are its bytes, those that are being skipped included."""
    end_look(b)
    put_number(d.record, REQUEST_BODY_LEN if asks else RESPONSE_BODY_LEN, unpacked(b, seen, ended))
    if b.coding != IDENTITY and seen:
        put_number(d.record, REQUEST_ENCODED_LEN if asks else RESPONSE_ENCODED_LEN, seen)
    if b.kind.n:
        lend_item(d, ORIG_MIME_TYPES if asks else RESP_MIME_TYPES, b.kind)
    if b.reader != NULL and ended and not b.holed:
        keep_hash(b, d, REQUEST_SHA256 if asks else RESPONSE_SHA256)
    free_body(b)


cdef uint64_t unpacked(const Body* b, uint64_t seen, bint ended) noexcept nogil:
    """What a body unpacks to, where gzip's end says so and that can be; else its length as transferred."""
    cdef uint64_t size
    if b.coding != GZIP or seen < SMALLEST_GZIP or not ended or b.tail_n < TAIL:
        return seen
    size = b.tail[0] | <uint64_t>b.tail[1] << 8 | <uint64_t>b.tail[2] << 16 | <uint64_t>b.tail[3] << 24
    return size if size <= seen * MOST_PACKED else seen


cdef void free_body(Body* b) noexcept nogil:
    """All that it holds."""
    disown(b.head)
    b.head, b.n = NULL, 0
    if b.reader != NULL:
        release(b)


cdef void spoil(Body* b) noexcept nogil:
    """It will have no hash: its decoder makes room for another's."""
    b.holed = True
    if b.reader != NULL:
        release(b)


cdef void release(Body* b) noexcept with gil:
    Py_DECREF(<object>b.reader)
    b.reader = NULL
