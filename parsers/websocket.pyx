"""WebSocket frames, behind the upgrade that HTTP has logged (RFC 6455, 5).

Frames are stepped over by their heads, so that the flow is known to hold what it should; payload is not read.  Left
out on purpose: decompression, and protocols inside.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport Cursor, left, pass_over, take_rest, u8, u16, u64
from cext.parser cimport ALL, Conn, Match, Parser, Verdict, skip, weird

from cext.parser import register
from parsers.shared.upgrades import WEBSOCKET_SCHEMA

cdef enum:
    MASKED = 0x80
    RESERVED_OPCODES = 0xf8f8      # 3 to 7 and 11 to 15, one bit each (RFC 6455, 5.2)


cdef class WebsocketParser(Parser):
    """WebSocket frames."""

    cdef bint odd

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """Never: only HTTP knows where frames begin."""
        return Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        while not conn.taps[is_orig].skipping and self.frame(conn, is_orig, c):
            pass
        return Verdict.MORE

    cdef bint frame(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """One frame.  False when its head is not whole yet."""
        cdef Cursor head = c[0]
        cdef uint8_t first = u8(&head), second = u8(&head)
        cdef uint64_t size = second & 0x7f
        if size == 126:
            size = u16(&head)
        elif size == 127:
            size = u64(&head)
        if head.short:
            return False
        if size >> 63:             # the upper bit is zero (RFC 6455, 5.2): the framing is lost
            weird(conn, b"websocket_bad_length")
            skip(conn, is_orig, ALL)
            take_rest(c)
            return False
        if (RESERVED_OPCODES >> (first & 15)) & 1 and not self.odd:
            self.odd = True
            weird(conn, b"websocket_reserved_opcode")
        if is_orig != (second & MASKED != 0) and not self.odd:
            self.odd = True
            weird(conn, b"websocket_wrong_mask")
        if second & MASKED:
            size += 4
        c[0] = head
        if size <= left(&head):
            pass_over(c, <uint32_t>size)
        else:
            skip(conn, is_orig, size - left(&head))
            take_rest(c)
        return left(c) > 0

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        return Verdict.DONE


register(WebsocketParser, name="websocket", schema=WEBSOCKET_SCHEMA, transport="tcp", idle_seconds=86400)
