"""TLS and SSL 3 over TCP: records that carry a handshake (RFC 5246, RFC 8446).

One ``ssl`` record a connection, written when both sides have begun to encrypt, or at the end.  Application data is
skipped record by record, and not read any more once the record is written.  Of SSL 2 the two hellos are read.  Left out
on purpose: decryption.

    each side   RECORD ── handshake messages, across records, in a bounded buffer
                       ── change_cipher_spec, or in TLS 1.3 the first application data ──▶ ENCRYPTED
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from cext.buffer cimport Buffer, append
from cext.cursor cimport (Cursor, Span, cursor, left, pass_over, peek, take, take_rest, u8, u16, u24, within)
from cext.owned cimport disown, own_room
from cext.parser cimport Conn, Match, Reason, Verdict, need, skip, weird
from parsers.shared.handshake cimport CLIENT_HELLO, HANDSHAKE_HEADER, LONGEST_HANDSHAKE, SERVER_HELLO, Handshake

from cext.parser import register
from parsers.shared.handshake import SSL_SCHEMA

cdef enum:
    RECORD_HEADER = 5
    LONGEST_RECORD = 18432         # 2^14 + 2,048 (RFC 5246, 6.2.3)
    SSL2 = 0x0002
    OLD_SERVER_HELLO = 4           # of SSL 2
    OLD_HELLO_HEAD = 11

cdef enum ContentType:             # RFC 8446, 5.1
    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24

cdef enum:
    TLS13_DRAFTS = 0x7f            # upper byte of the drafts' version
    TLS13_EXPERIMENT = 0x7e        # … and of those that Google tried out


cdef struct Half:                  # what one side has sent
    Buffer handshake               # a message that spans records
    uint32_t pass_over             # bytes of a message that is too long to read
    bint encrypted
    bint app_data


cdef class TlsParser(Handshake):
    """TLS and SSL 3 handshakes."""

    cdef Half half[2]              # by "is it the client?"
    cdef bint client_is_resp
    cdef bint known                # which side is the client
    cdef bint old                  # the client offers SSL 2 and nothing newer

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """A handshake record of version 3.x that begins with a hello, or a client hello in the format of SSL 2."""
        cdef uint32_t size = <uint32_t>peek(&c, 3) << 8 | peek(&c, 4)
        if is_old_hello(c):
            return Match.YES
        if left(&c) < OLD_HELLO_HEAD and peek(&c, 0) & 0x80 and (left(&c) < 3 or peek(&c, 2) == CLIENT_HELLO):
            return Match.MAYBE
        if left(&c) < RECORD_HEADER + HANDSHAKE_HEADER + 2:
            return Match.MAYBE if peek(&c, 0) == HANDSHAKE and peek(&c, 1) in (0, 3) else Match.NO
        if peek(&c, 0) != HANDSHAKE or peek(&c, 1) != 3 or peek(&c, 2) > 4:
            return Match.NO
        if size <= HANDSHAKE_HEADER or size > LONGEST_RECORD:
            return Match.NO
        if peek(&c, 5) not in (CLIENT_HELLO, SERVER_HELLO) or peek(&c, 6):
            return Match.NO        # no hello is longer than 65,535 bytes
        return Match.YES if peek(&c, 9) in (3, TLS13_DRAFTS, TLS13_EXPERIMENT) else Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef Verdict verdict = Verdict.MORE
        if not self.known:
            self.known = True
            self.client_is_resp = is_orig == (peek(c, 5) == SERVER_HELLO and peek(c, 0) == HANDSHAKE)
        if not self.begin(conn, c't', self.client_is_resp):
            return Verdict.DONE
        if self.history_size == 0 and is_old_hello(c[0]):
            return self.old_hello(conn, is_orig, c)
        if self.old:
            return self.old_answer(conn, is_orig, c)
        while verdict == Verdict.MORE and not conn.taps[is_orig].skipping and self.record(conn, is_orig, c, &verdict):
            pass
        return verdict

    # ---- SSL 2 -----------------------------------------------------------------------------------------------------

    cdef Verdict old_hello(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """A client hello in the format of SSL 2, which may offer SSL 3 or TLS (RFC 5246, E.2): only that it was one."""
        cdef uint32_t size = old_size(c)
        if left(c) < size:
            need(conn, is_orig, size)
            return Verdict.MORE
        self.old = peek(c, 3) == 0
        pass_over(c, size)
        self.note(True, c'c')
        return Verdict.MORE

    cdef Verdict old_answer(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """The server's hello; what the client says next is not read.  Behind it nothing tells how it went on."""
        cdef Cursor m
        if is_orig != self.client_is_resp:
            take_rest(c)
            return Verdict.MORE
        if left(c) < 3:
            return Verdict.MORE
        if not peek(c, 0) & 0x80 or peek(c, 2) != OLD_SERVER_HELLO:
            return Verdict.DONE    # an error message, or nothing of SSL
        if left(c) < old_size(c):
            need(conn, is_orig, old_size(c))
            return Verdict.MORE
        m = within(take(c, old_size(c)))
        pass_over(&m, 3)
        self.old_server_hello(conn, &m)
        return Verdict.DONE

    # ---- records ---------------------------------------------------------------------------------------------------

    cdef bint record(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        """One record (RFC 8446, 5.1).  False when it is not whole yet."""
        cdef bint client = is_orig != self.client_is_resp
        cdef Half* half = &self.half[client]
        cdef Cursor head = c[0]
        cdef uint8_t kind = u8(&head)
        cdef uint16_t version = u16(&head)
        cdef uint32_t size = u16(&head)
        if head.short:
            return False
        if version >> 8 != 3 or kind < CHANGE_CIPHER_SPEC or kind > HEARTBEAT or size > LONGEST_RECORD:
            weird(conn, b"ssl_bad_record")
            verdict[0] = Verdict.REJECT
            return True
        if kind == APPLICATION_DATA or half.encrypted:
            return self.pass_encrypted(conn, is_orig, client, kind, size, c, verdict)
        if left(&head) < size:
            need(conn, is_orig, RECORD_HEADER + size)
            return False
        pass_over(c, RECORD_HEADER)
        head = within(take(c, size))
        if kind == HANDSHAKE:
            verdict[0] = self.handshake_bytes(conn, client, take_rest(&head))
        elif kind == CHANGE_CIPHER_SPEC:
            self.change_cipher(client)
            half.encrypted = not self.is_13()
        elif kind == ALERT:
            self.alert(client, &head)
        elif kind == HEARTBEAT:
            self.note(client, c'b')
        return True

    cdef bint pass_encrypted(self, Conn* conn, bint is_orig, bint client, uint8_t kind, uint32_t size, Cursor* c,
                             Verdict* verdict) noexcept nogil:
        """Only the head of an encrypted record is of use: it may tell that the handshake is over."""
        if kind == APPLICATION_DATA:
            self.half[client].app_data = True
            if self.is_13():
                self.half[client].encrypted = True
        if self.half[True].encrypted and self.half[False].encrypted and self.over():
            self.established = True
            self.log(conn)
            verdict[0] = Verdict.DONE
            return True
        if left(c) >= RECORD_HEADER + size:
            pass_over(c, RECORD_HEADER + size)
        else:
            skip(conn, is_orig, RECORD_HEADER + size - left(c))
            take_rest(c)
        return True

    cdef bint over(self) noexcept nogil:
        """In TLS 1.3 the client's first encrypted record ends the handshake; before, any behind both cipher changes."""
        return not self.is_13() or self.half[True].app_data

    # ---- handshake messages ----------------------------------------------------------------------------------------

    cdef Verdict handshake_bytes(self, Conn* conn, bint client, Span s) noexcept nogil:
        """Messages across records: read in place where one record holds them, else collected up to a bound."""
        cdef Half* half = &self.half[client]
        cdef Cursor c = within(s)
        cdef uint32_t used
        if half.pass_over:
            used = half.pass_over if half.pass_over < s.n else s.n
            pass_over(&c, used)
            half.pass_over -= used
        if half.handshake.n == 0:
            self.messages(conn, client, &c)
            return self.collect(half, take_rest(&c))
        if self.collect(half, take_rest(&c)) != Verdict.MORE:
            return Verdict.REJECT
        c = cursor(half.handshake.p, <uint32_t>half.handshake.n)
        self.messages(conn, client, &c)
        used = left(&c)
        memmove(half.handshake.p, c.p, used)
        half.handshake.n = used
        return Verdict.MORE

    cdef Verdict collect(self, Half* half, Span s) noexcept nogil:
        if s.n == 0:
            return Verdict.MORE
        if half.handshake.n + s.n > LONGEST_HANDSHAKE + LONGEST_RECORD or not own_room(&half.handshake, s.n):
            return Verdict.REJECT
        append(&half.handshake, s.p, s.n)
        return Verdict.MORE

    cdef void messages(self, Conn* conn, bint client, Cursor* c) noexcept nogil:
        """All whole messages; the cursor stops at the first that is not."""
        cdef Cursor head
        cdef uint8_t kind
        cdef uint32_t size
        while left(c) >= HANDSHAKE_HEADER:
            head = c[0]
            kind, size = u8(&head), u24(&head)
            if size > LONGEST_HANDSHAKE:
                self.note_message(client, kind)
                self.half[client].pass_over = size - (left(&head) if left(&head) < size else size)
                pass_over(c, HANDSHAKE_HEADER + size - self.half[client].pass_over)
                continue
            if left(&head) < size:
                return
            pass_over(c, HANDSHAKE_HEADER)
            head = within(take(c, size))
            self.message(conn, client, kind, &head)

    # ---- loss and end ----------------------------------------------------------------------------------------------

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """Records cannot be found again inside of ciphertext: what is known is written."""
        return Verdict.DONE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        self.finish(conn)
        disown(self.half[0].handshake.p)
        disown(self.half[1].handshake.p)
        self.half[0].handshake.p = self.half[1].handshake.p = NULL


cdef uint32_t old_size(const Cursor* c) noexcept nogil:
    """Bytes of a message of SSL 2, its two of length included."""
    return 2 + ((<uint32_t>peek(c, 0) & 0x7f) << 8 | peek(c, 1))


cdef bint is_old_hello(Cursor c) noexcept nogil:
    """A length with the upper bit set, message type 1, version 2 or 3.x, and a list of three-byte ciphers, a session id
    and a challenge that fill the message."""
    cdef uint32_t size = old_size(&c)
    cdef uint8_t first = peek(&c, 0), kind
    cdef uint16_t version, ciphers, session, challenge
    pass_over(&c, 2)
    kind, version, ciphers, session, challenge = u8(&c), u16(&c), u16(&c), u16(&c), u16(&c)
    return (not c.short and first & 0x80 and kind == CLIENT_HELLO and (version == SSL2 or 0x300 <= version <= 0x303)
            and ciphers and ciphers % 3 == 0 and size == OLD_HELLO_HEAD + <uint32_t>ciphers + session + challenge)


register(TlsParser, name="ssl", schema=SSL_SCHEMA, transport="tcp",
         ports=(443, 563, 585, 614, 636, 989, 990, 992, 993, 995, 5223), late=True)
