"""DTLS 1.0 to 1.3 over UDP: the hellos and certificates of a handshake (RFC 4347, RFC 6347, RFC 9147).

Each datagram holds whole records, each record whole fragments of handshake messages.  A message is put together from
fragments that come in order; what comes again, or too early, is passed over: the sender repeats a flight that is lost.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from cext.buffer cimport Buffer, append
from cext.cursor cimport Cursor, Span, cursor, left, pass_over, peek, take, take_rest, u8, u16, u24, within
from cext.owned cimport disown, own_room
from cext.parser cimport Conn, Match, Reason, Verdict, weird
from parsers.shared.handshake cimport (CLIENT_HELLO, HELLO_VERIFY_REQUEST, LONGEST_HANDSHAKE, SERVER_HELLO, Handshake)

from cext.parser import register
from parsers.shared.handshake import SSL_SCHEMA

cdef enum:
    RECORD_HEADER = 13
    FRAGMENT_HEADER = 12
    UNIFIED = 0x20                 # first three bits 001: an encrypted record of DTLS 1.3 (RFC 9147, 4)
    UNIFIED_MASK = 0xe0

cdef enum ContentType:             # as in TLS
    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    ACK = 26                       # RFC 9147, 7


cdef struct Half:                  # what one side has sent
    Buffer message                 # the fragments so far
    uint32_t size                  # that it will have
    uint16_t number                # of the message that is due
    uint8_t kind
    bint encrypted


cdef class DtlsParser(Handshake):
    """DTLS handshakes."""

    cdef Half half[2]              # by "is it the client?"
    cdef bint client_is_resp
    cdef bint known

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """A record of epoch 0 with the first fragment of a hello."""
        cdef uint8_t kind = peek(&c, 13)
        if left(&c) < RECORD_HEADER + FRAGMENT_HEADER or peek(&c, 0) != HANDSHAKE or not is_version(c):
            return Match.NO
        if peek(&c, 3) or peek(&c, 4) or kind not in (CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST):
            return Match.NO
        pass_over(&c, 11)
        return Match.YES if left(&c) >= 2 + FRAGMENT_HEADER and u16(&c) >= FRAGMENT_HEADER else Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef bint client
        if not self.known:
            self.known = True
            self.client_is_resp = is_orig == (peek(c, 13) != CLIENT_HELLO)
        if not self.begin(conn, c'd', self.client_is_resp):
            return Verdict.DONE
        client = is_orig != self.client_is_resp
        while left(c):
            if peek(c, 0) & UNIFIED_MASK == UNIFIED:
                self.half[client].encrypted = True
                take_rest(c)
            elif not is_version(c[0]) or not self.record(conn, client, c):
                break              # STUN and media share the flow with DTLS (RFC 7983)
        if self.half[True].encrypted and self.half[False].encrypted:
            self.established = True
            self.log(conn)
            return Verdict.DONE
        return Verdict.MORE

    cdef bint record(self, Conn* conn, bint client, Cursor* c) noexcept nogil:
        """One record (RFC 6347, 4.1).  False when the datagram ends within it."""
        cdef uint8_t kind = u8(c)
        cdef uint16_t epoch
        cdef Cursor body
        pass_over(c, 2)
        epoch = u16(c)
        pass_over(c, 6)
        body = within(take(c, u16(c)))
        if c.short:
            return False
        if epoch:
            self.half[client].encrypted = True
        elif kind == HANDSHAKE:
            while left(&body) and self.fragment(conn, client, &body):
                pass
        elif kind == CHANGE_CIPHER_SPEC:
            self.change_cipher(client)
        elif kind == ALERT:
            self.alert(client, &body)
        return True

    cdef bint fragment(self, Conn* conn, bint client, Cursor* c) noexcept nogil:
        """One fragment of a message (RFC 6347, 4.2.2)."""
        cdef Half* half = &self.half[client]
        cdef uint8_t kind = u8(c)
        cdef uint32_t size = u24(c)
        cdef uint16_t number = u16(c)
        cdef uint32_t at = u24(c)
        cdef Span said = take(c, u24(c))
        cdef Cursor m
        if c.short:
            weird(conn, b"dtls_bad_fragment")
            return False
        if number != half.number and half.message.n == 0 and number > half.number and at == 0:
            half.number = number   # what was between is lost
        if number != half.number or at != half.message.n or size > LONGEST_HANDSHAKE or said.n > size - at:
            return True
        if at == 0:
            half.kind, half.size = kind, size
        if size != half.size or not own_room(&half.message, said.n):
            return True
        append(&half.message, said.p, said.n)
        if half.message.n == size:
            m = cursor(half.message.p, size)
            self.message(conn, client, half.kind, &m)
            half.message.n = 0
            half.number += 1
        return True

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        self.finish(conn)
        disown(self.half[0].message.p)
        disown(self.half[1].message.p)
        self.half[0].message.p = self.half[1].message.p = NULL


cdef bint is_version(Cursor c) noexcept nogil:
    """A record's head with a version of DTLS: 1.0, 1.2, or that of OpenSSL before it was a standard."""
    return 20 <= peek(&c, 0) <= 26 and ((peek(&c, 1) == 0xfe and peek(&c, 2) >= 0xfc)
                                        or (peek(&c, 1) == 1 and peek(&c, 2) == 0))


register(DtlsParser, name="dtls", schema=SSL_SCHEMA, transport="udp", ports=(443, 853, 4433, 5684), late=True)
