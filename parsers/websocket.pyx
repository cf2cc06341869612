"""WebSocket frames, behind the upgrade that HTTP has logged (RFC 6455, 5).

What the messages of a side carry is one stream, in which the engine looks for a protocol: a tunnel carries TLS, SSH or
HTTP.  When it knows none, payload is stepped over by the heads of its frames.  Left out on purpose: decompression.

    each side   HEAD ── data of a stream that is looked at ──▶ PAYLOAD ── read to its end ──▶ HEAD
                     └─ control, or nothing to find ── skipped ──▶ HEAD
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport Cursor, byte_at, left, take, u8, u16, u64
from cext.parser cimport ALL, Conn, Match, Parser, Verdict, skip, unwrap, unwrap_lost, weird
from cext.types cimport Span, span

from cext.parser import register
from parsers.shared.upgrades import WEBSOCKET_SCHEMA

cdef enum:
    MASKED = 0x80
    COMPRESSED = 0x40              # RFC 7692, 6
    CONTROL = 0x08
    RESERVED_OPCODES = 0xf8f8      # 3 to 7 and 11 to 15, one bit each (RFC 6455, 5.2)
    PIECE = 4096                   # bytes that are unmasked at a time


cdef struct Payload:               # of the frame that a side is sending, where it is looked at
    uint64_t left
    uint8_t key[4]                 # zeros where it is not masked
    uint8_t at                     # in the key


cdef class WebsocketParser(Parser):
    """WebSocket frames."""

    cdef Payload payload[2]        # by is_orig
    cdef bint odd
    cdef bint opaque               # there is nothing to find inside

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """Never: only HTTP knows where frames begin."""
        return Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        while left(c) and not conn.taps[is_orig].skipping:
            if self.payload[is_orig].left:
                self.read_payload(conn, is_orig, c)
            elif not self.frame(conn, is_orig, c):
                break
        return Verdict.MORE

    cdef bint frame(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """The head of a frame.  False when it is not whole yet."""
        cdef Cursor head = c[0]
        cdef Payload* payload = &self.payload[is_orig]
        cdef uint8_t first = u8(&head), second = u8(&head)
        cdef uint64_t size = second & 0x7f
        cdef int i
        if size == 126:
            size = u16(&head)
        elif size == 127:
            size = u64(&head)
        for i in range(4):
            payload.key[i] = u8(&head) if second & MASKED else 0
        if head.short:
            return False
        c[0] = head
        if size >> 63:             # the upper bit is zero (RFC 6455, 5.2): the framing is lost
            weird(conn, b"websocket_bad_length")
            skip(conn, is_orig, ALL)
            return True
        self.look_odd(conn, is_orig, first, second)
        self.opaque |= first & COMPRESSED != 0
        if self.opaque or first & CONTROL:
            skip(conn, is_orig, size)
        else:
            payload.left, payload.at = size, 0
        return True

    cdef void look_odd(self, Conn* conn, bint is_orig, uint8_t first, uint8_t second) noexcept nogil:
        if (RESERVED_OPCODES >> (first & 15)) & 1 and not self.odd:
            self.odd = True
            weird(conn, b"websocket_reserved_opcode")
        if is_orig != (second & MASKED != 0) and not self.odd:
            self.odd = True
            weird(conn, b"websocket_wrong_mask")

    cdef void read_payload(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """Hands on what is there of a frame's payload; the rest of it is skipped when nobody wants more."""
        cdef Payload* payload = &self.payload[is_orig]
        cdef uint8_t plain[PIECE]
        cdef Span masked = take(c, <uint32_t>min(payload.left, <uint64_t>min(left(c), <uint32_t>PIECE)))
        cdef uint32_t i
        for i in range(masked.n):
            plain[i] = byte_at(masked, i) ^ payload.key[(payload.at + i) & 3]
        payload.at = (payload.at + masked.n) & 3
        payload.left -= masked.n
        if not unwrap(conn, is_orig, span(plain, masked.n)):
            self.opaque = True
            skip(conn, is_orig, payload.left)
            payload.left = 0

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """A hole inside of a payload leaves the frames where they are."""
        cdef Payload* payload = &self.payload[is_orig]
        if n > payload.left:
            return Verdict.DONE
        payload.at = (payload.at + n) & 3
        payload.left -= n
        self.opaque |= not unwrap_lost(conn, is_orig, n)
        return Verdict.MORE


register(WebsocketParser, name="websocket", schema=WEBSOCKET_SCHEMA, transport="tcp", idle_seconds=86400)
