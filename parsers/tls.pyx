"""TLS and SSL 3: hellos, certificates, how far the handshake came (RFC 5246, RFC 8446).

One ``ssl`` record a connection, written when both sides have begun to encrypt, or at the end.  Application data is
skipped record by record, and not read any more once the record is written.  Left out on purpose: SSL 2, decryption.

    each side   RECORD ── handshake messages, across records, in a bounded buffer
                       ── change_cipher_spec, or in TLS 1.3 the first application data ──▶ ENCRYPTED
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove

from cext.buffer cimport Buffer, append, reserve
from cext.cursor cimport (Cursor, Span, byte_at, cursor, equals, left, part, pass_over, peek, span, take, take_rest, u8,
                          u16, u24, within)
from cext.parser cimport Conn, Match, Parser, Reason, Verdict, ask, emit_at, need, skip, weird
from cext.record cimport (Draft, Record, Schema, free_draft, is_set, keep_bytes, keep_text, new_draft, put_number,
                          put_text, put_texts)
from cext.types cimport Time
from parsers.shared.names cimport LONGEST_UNKNOWN, NameTable

from cext.parser import register
from parsers.shared.tls_names import ALERTS, CIPHERS, GROUPS, VERSIONS

cdef Schema SSL = Schema("ssl", "TLS and SSL handshakes.")
cdef int VERSION = SSL.text("version", "Protocol version that the server chose.", max=32)
cdef int CIPHER = SSL.text("cipher", "Cipher suite that the server chose.", max=64)
cdef int CURVE = SSL.text("curve", "Group of the key exchange, where it is an elliptic curve or a named one.", max=64)
cdef int SERVER_NAME = SSL.text("server_name", "Server name indication of the client.", max=256)
cdef int RESUMED = SSL.bool("resumed", "The session was resumed with keys of an earlier one.")
cdef int LAST_ALERT = SSL.text("last_alert", "Last alert that was sent in clear.", max=64)
cdef int NEXT_PROTOCOL = SSL.text("next_protocol", "Application protocol that the server chose (ALPN).", max=256)
cdef int ESTABLISHED = SSL.bool("established", "Both sides have finished the handshake.")
cdef int SSL_HISTORY = SSL.text("ssl_history", "Handshake messages in order, a letter each as in Zeek; upper case for "
                                "the client.", max=100)
cdef int CERT_CHAIN_FPS = SSL.texts("cert_chain_fps", "SHA-256 of the server's certificates, its own first.", max=16)
cdef int CLIENT_CERT_CHAIN_FPS = SSL.texts("client_cert_chain_fps", "SHA-256 of the client's certificates.", max=16)
cdef int CLIENT_ALPNS = SSL.texts("client_alpns", "Application protocols that the client offered (ALPN).", max=16)

cdef NameTable ciphers = NameTable(CIPHERS)
cdef NameTable groups = NameTable(GROUPS)
cdef NameTable alerts = NameTable(ALERTS)
cdef NameTable versions = NameTable(VERSIONS)

cdef enum:
    RECORD_HEADER = 5
    LONGEST_RECORD = 18432         # 2^14 + 2,048 (RFC 5246, 6.2.3)
    HANDSHAKE_HEADER = 4
    LONGEST_HANDSHAKE = 65536      # a certificate chain; longer messages are passed over
    LONGEST_HISTORY = 100
    MOST_CERTIFICATES = 16
    MOST_ALPNS = 16
    FINGERPRINT = 64               # hex digits of a SHA-256

cdef enum ContentType:             # RFC 8446, 5.1
    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24

cdef enum HandshakeType:           # IANA, TLS HandshakeType
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CLIENT_KEY_EXCHANGE = 16

cdef enum Extension:               # IANA, TLS ExtensionType Values
    EXT_SERVER_NAME = 0
    EXT_ALPN = 16
    EXT_SESSION_TICKET = 35
    EXT_KEY_SHARE_OLD = 40         # up to draft 22
    EXT_PRE_SHARED_KEY = 41
    EXT_SUPPORTED_VERSIONS = 43
    EXT_KEY_SHARE = 51

cdef enum:
    TLS13 = 0x0304
    TLS13_DRAFTS = 0x7f            # upper byte of the drafts' version
    TLS13_EXPERIMENT = 0x7e        # … and of those that Google tried out
    FIRST_MODERN_DRAFT = 0x7f16    # from draft 22 on a server hello has the form of TLS 1.2
    NAMED_CURVE = 3                # ECCurveType (RFC 8422, 5.4)

# The random of a server hello that is a HelloRetryRequest (RFC 8446, 4.1.3)
cdef bytes retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
cdef const char* RETRY = retry

# letters of Zeek's ssl_history by handshake type; z for one without
cdef const char* HISTORY = b"hcsvtejzozzxkrnygzzzfwuap"


cdef struct Half:                  # what one side has sent
    Buffer handshake               # a message that spans records
    uint32_t pass_over             # bytes of a message that is too long to read
    bint encrypted
    bint app_data


cdef class TlsParser(Parser):
    """TLS and SSL 3 handshakes."""

    cdef Half half[2]              # by "is it the client?"
    cdef Draft* draft
    cdef Time began
    cdef uint8_t history[LONGEST_HISTORY]
    cdef uint32_t history_size
    cdef uint16_t version
    cdef uint8_t session[32]       # session id that the client offered
    cdef uint8_t session_size
    cdef bint client_is_resp
    cdef bint known                # which side is the client
    cdef bint ticket_offered       # a session ticket without a session id
    cdef bint psk_offered
    cdef bint key_exchange_seen
    cdef bint resumed
    cdef bint retry_seen
    cdef bint written

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """A handshake record of version 3.x that begins with a hello, or a client hello in the format of SSL 2."""
        cdef uint32_t size = <uint32_t>peek(&c, 3) << 8 | peek(&c, 4)
        if is_old_hello(c):
            return Match.YES
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
        if self.draft == NULL:
            self.draft = new_draft(SSL)
            self.began = conn.ts
            if self.draft == NULL:
                return Verdict.DONE
        if self.history_size == 0 and is_old_hello(c[0]):
            return self.old_hello(conn, is_orig, c)
        while verdict == Verdict.MORE and not conn.taps[is_orig].skipping and self.record(conn, is_orig, c, &verdict):
            pass
        return verdict

    cdef Verdict old_hello(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """A client hello in the format of SSL 2 that offers SSL 3 or TLS (RFC 5246, E.2): only that it was one."""
        cdef uint32_t size = 2 + ((<uint32_t>peek(c, 0) & 0x7f) << 8 | peek(c, 1))
        if left(c) < size:
            need(conn, is_orig, size)
            return Verdict.MORE
        pass_over(c, size)
        self.note(True, c'c')
        return Verdict.MORE

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
            self.change_cipher(conn, client)
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
            put_number(&self.draft.record, ESTABLISHED, True)
            self.write(conn)
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

    cdef inline bint is_13(self) noexcept nogil:
        return self.version == TLS13 or self.version >> 8 == TLS13_DRAFTS or self.version >> 8 == TLS13_EXPERIMENT

    cdef void change_cipher(self, Conn* conn, bint client) noexcept nogil:
        """What follows is encrypted; in TLS 1.3 the record is a courtesy to middleboxes (RFC 8446, D.4)."""
        self.note(client, c'i')
        if client and self.ticket_offered and not self.key_exchange_seen and not self.is_13():
            self.resumed = True
        if not self.is_13():
            self.half[client].encrypted = True

    cdef void alert(self, bint client, Cursor* c) noexcept nogil:
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef uint8_t what
        pass_over(c, 1)
        what = u8(c)
        self.note(client, c'l')
        if not c.short:
            keep_text(self.draft, LAST_ALERT, alerts.find(what, scratch))

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
        if half.handshake.n + s.n > LONGEST_HANDSHAKE + LONGEST_RECORD or not reserve(&half.handshake, s.n):
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

    cdef void message(self, Conn* conn, bint client, uint8_t kind, Cursor* m) noexcept nogil:
        self.retry_seen = False
        if kind == CLIENT_HELLO and client:
            self.client_hello(m)
        elif kind == SERVER_HELLO and not client:
            self.server_hello(m)
        elif kind == CERTIFICATE:
            self.certificates(conn, client, m)
        elif kind == SERVER_KEY_EXCHANGE and not client:
            self.server_key_exchange(m)
        elif kind == CLIENT_KEY_EXCHANGE and client:
            self.key_exchange_seen = True
        self.note_message(client, kind)

    cdef void client_hello(self, Cursor* m) noexcept nogil:
        """RFC 8446, 4.1.2."""
        cdef Span session
        pass_over(m, 2 + 32)
        session = take(m, u8(m))
        pass_over(m, u16(m))       # cipher suites
        pass_over(m, u8(m))        # compression methods
        if m.short or session.n > 32:
            return
        self.session_size = <uint8_t>session.n
        memcpy(self.session, session.p, session.n)
        self.extensions(m, True)
        if self.session_size and not is_zero(session):
            self.ticket_offered = False

    cdef void server_hello(self, Cursor* m) noexcept nogil:
        """RFC 8446, 4.1.3."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Span session, random
        cdef uint16_t cipher
        cdef bint old_draft
        self.version = u16(m)
        old_draft = self.version >> 8 == TLS13_DRAFTS and self.version < FIRST_MODERN_DRAFT
        random = take(m, 32)
        session = take(m, 0 if old_draft else u8(m))
        cipher = u16(m)
        pass_over(m, 0 if old_draft else 1)
        if m.short:
            return
        self.retry_seen = equals(random, RETRY, 32)
        keep_text(self.draft, CIPHER, ciphers.find(cipher, scratch))
        self.extensions(m, False)
        keep_text(self.draft, VERSION, versions.find(self.version, scratch))
        if (session.n and session.n == self.session_size and equals(session, <const char*>self.session, session.n)
                and not is_zero(session) and not self.is_13()):
            self.resumed = True

    cdef void extensions(self, Cursor* m, bint client) noexcept nogil:
        cdef Cursor all = within(take(m, u16(m))), one
        cdef uint16_t kind
        while left(&all) >= 4:
            kind = u16(&all)
            one = within(take(&all, u16(&all)))
            if all.short:
                return
            if client:
                self.client_extension(kind, &one)
            else:
                self.server_extension(kind, &one)

    cdef void client_extension(self, uint16_t kind, Cursor* e) noexcept nogil:
        cdef Span name
        if kind == EXT_SERVER_NAME and left(e) > 5:    # RFC 6066, 3
            pass_over(e, 3)
            name = take(e, u16(e))
            if not e.short:
                keep_text(self.draft, SERVER_NAME, name)
        elif kind == EXT_ALPN:
            self.keep_alpns(e)
        elif kind == EXT_SESSION_TICKET and left(e):
            self.ticket_offered = True
        elif kind == EXT_PRE_SHARED_KEY:
            self.psk_offered = True

    cdef void server_extension(self, uint16_t kind, Cursor* e) noexcept nogil:
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Span name
        if kind == EXT_SUPPORTED_VERSIONS and left(e) == 2:
            self.version = u16(e)
        elif (kind == EXT_KEY_SHARE or kind == EXT_KEY_SHARE_OLD) and left(e) >= 2:
            keep_text(self.draft, CURVE, groups.find(u16(e), scratch))
        elif kind == EXT_ALPN:                         # RFC 7301, 3.1
            pass_over(e, 2)
            name = take(e, u8(e))
            if not e.short:
                keep_text(self.draft, NEXT_PROTOCOL, name)
        elif kind == EXT_PRE_SHARED_KEY and self.psk_offered:
            self.resumed = True

    cdef void keep_alpns(self, Cursor* e) noexcept nogil:
        """All protocols that the client offers (RFC 7301, 3.1)."""
        cdef Span* items = <Span*>keep_bytes(self.draft, MOST_ALPNS * sizeof(Span))
        cdef Span name
        cdef uint8_t* p
        cdef uint32_t n = 0
        pass_over(e, 2)
        while items != NULL and left(e) and n < MOST_ALPNS:
            name = take(e, u8(e))
            p = keep_bytes(self.draft, name.n)
            if e.short or p == NULL:
                break
            memcpy(p, name.p, name.n)
            items[n] = span(p, name.n)
            n += 1
        if n:
            put_texts(&self.draft.record, CLIENT_ALPNS, items, n)

    cdef void server_key_exchange(self, Cursor* m) noexcept nogil:
        """The curve of an ECDHE exchange (RFC 8422, 5.4); other exchanges begin differently."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Span cipher = span(self.draft.record.slots[CIPHER].p, <uint32_t>self.draft.record.slots[CIPHER].number
                                if is_set(&self.draft.record, CIPHER) else 0)
        if equals(part(cipher, 0, 8), b"TLS_ECDH", 8) and u8(m) == NAMED_CURVE:
            keep_text(self.draft, CURVE, groups.find(u16(m), scratch))

    cdef void certificates(self, Conn* conn, bint client, Cursor* m) noexcept nogil:
        """The chain in clear (RFC 5246, 7.4.2): a fingerprint for each certificate."""
        cdef int field = CLIENT_CERT_CHAIN_FPS if client else CERT_CHAIN_FPS
        cdef Span* items = <Span*>keep_bytes(self.draft, MOST_CERTIFICATES * sizeof(Span))
        cdef Cursor all = within(take(m, u24(m)))
        cdef Span der
        cdef uint8_t digest[32]
        cdef uint8_t* text
        cdef uint32_t n = 0
        while items != NULL and left(&all) > 3 and n < MOST_CERTIFICATES:
            der = take(&all, u24(&all))
            text = keep_bytes(self.draft, FINGERPRINT)
            if all.short or text == NULL or ask(conn, b"sha256", der, digest, 32) != 32:
                break
            hex_digits(digest, text)
            items[n] = span(text, FINGERPRINT)
            n += 1
        if n:
            put_texts(&self.draft.record, field, items, n)

    # ---- history and record ----------------------------------------------------------------------------------------

    cdef void note_message(self, bint client, uint8_t kind) noexcept nogil:
        if kind == SERVER_HELLO and self.retry_seen:
            self.note(client, c'j')
        else:
            self.note(client, HISTORY[kind] if kind < 25 else c'm' if kind == 254 else c'z')

    cdef void note(self, bint client, char letter) noexcept nogil:
        if self.history_size < LONGEST_HISTORY:
            self.history[self.history_size] = letter & 0x5f if client else letter
            self.history_size += 1

    cdef void write(self, Conn* conn) noexcept nogil:
        cdef Record* r = &self.draft.record
        if self.written:
            return
        self.written = True
        put_number(r, RESUMED, self.resumed)
        if not is_set(r, ESTABLISHED):
            put_number(r, ESTABLISHED, False)
        if self.history_size:
            put_text(r, SSL_HISTORY, span(self.history, self.history_size))
        emit_at(conn, SSL, r, self.began)

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """Records cannot be found again inside of ciphertext: what is known is written."""
        return Verdict.DONE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        if self.draft != NULL:
            if self.history_size:
                self.write(conn)
            free_draft(self.draft)
            self.draft = NULL
        free(self.half[0].handshake.p)
        free(self.half[1].handshake.p)
        self.half[0].handshake.p = self.half[1].handshake.p = NULL


cdef bint is_old_hello(Cursor c) noexcept nogil:
    """A length with the upper bit set, message type 1, version 3.x, a list of three-byte ciphers."""
    return (left(&c) >= 11 and peek(&c, 0) & 0x80 and peek(&c, 2) == CLIENT_HELLO and peek(&c, 3) == 3
            and peek(&c, 4) <= 3 and peek(&c, 5) < 8 and peek(&c, 6) % 3 == 0 and peek(&c, 6))


cdef bint is_zero(Span s) noexcept nogil:
    cdef uint32_t i
    for i in range(s.n):
        if byte_at(s, i):
            return False
    return True


cdef void hex_digits(const uint8_t* digest, uint8_t* text) noexcept nogil:
    cdef const char* digits = b"0123456789abcdef"
    cdef int i
    for i in range(32):
        text[2 * i] = digits[digest[i] >> 4]
        text[2 * i + 1] = digits[digest[i] & 15]


register(TlsParser, name="ssl", schema=SSL, transport="tcp",
         ports=(443, 563, 585, 614, 636, 989, 990, 992, 993, 995, 5223), late=True)
