"""The messages of a TLS handshake → one ``ssl`` record (RFC 5246, RFC 8446, RFC 6347, RFC 9147, RFC 9001).

Who carries the messages, in records or in QUIC's frames, feeds them one by one; what they say is kept until the owner
says that the handshake is over, or at the end.
"""
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from cext.cursor cimport (Cursor, Span, byte_at, copy_span, equals, left, part, pass_over, span, take, u8, u16,
                          u24, within)
from cext.parser cimport Conn, emit_at, weird
from cext.record cimport (Record, Schema, free_draft, get_text, is_set, keep_bytes, keep_text, new_draft, put_number,
                          put_text, put_texts)
from parsers.shared.certificates cimport read_certificate
from parsers.shared.fingerprints cimport Hello, Numbers, add_number, is_grease, keep_ja3, keep_ja3s, keep_ja4
from parsers.shared.names cimport LONGEST_UNKNOWN, NameTable

from parsers.shared.tls_names import ALERTS, CIPHERS, GROUPS, VERSIONS

cdef Schema SSL = Schema("ssl", "TLS, DTLS and SSL handshakes, those inside of QUIC too.")
cdef int VERSION = SSL.text("version", "Protocol version that the server chose.", max=32, source="RFC 8446, 4.1.3")
cdef int CIPHER = SSL.text("cipher", "Cipher suite that the server chose.", max=64, source="RFC 8446, 4.1.3")
cdef int CURVE = SSL.text("curve", "Group of the key exchange, where it is an elliptic curve or a named one.", max=64,
                          source="RFC 8446, 4.2.7; RFC 8422, 5.4")
cdef int SERVER_NAME = SSL.text("server_name", "Server name indication of the client.", max=256,
                                source="RFC 6066, 3")
cdef int RESUMED = SSL.bool("resumed", "The session was resumed with keys of an earlier one.",
                            source="RFC 8446, 2.2; RFC 5077, 3.1")
cdef int LAST_ALERT = SSL.text("last_alert", "Last alert that was sent in clear.", max=64,
                               source="RFC 8446, 6")
cdef int NEXT_PROTOCOL = SSL.text("next_protocol", "Application protocol that the server chose.", max=256,
                                  source="RFC 7301, 3.1")
cdef int ESTABLISHED = SSL.bool("established", "Both sides have finished the handshake.", source="Zeek")
cdef int SSL_HISTORY = SSL.text("ssl_history", "Handshake messages in order, a letter each as in Zeek; upper case for "
                                "the client.", max=100, source="Zeek")
cdef int CERT_CHAIN_FPS = SSL.texts("cert_chain_fps", "SHA-256 of the server's certificates, its own first.", max=16,
                                    source="RFC 8446, 4.4.2")
cdef int CLIENT_CERT_CHAIN_FPS = SSL.texts("client_cert_chain_fps", "SHA-256 of the client's certificates.", max=16,
                                           source="RFC 8446, 4.4.2")
cdef int SNI_MATCHES_CERT = SSL.bool("sni_matches_cert", "The server's certificate is for the name that the client "
                                     "asked for.", source="RFC 6125, 6.4")
cdef int SUBJECT = SSL.text("subject", "Subject of the server's own certificate.", max=2048, source="RFC 5280, 4.1.2")
cdef int ISSUER = SSL.text("issuer", "Its issuer.", max=2048, source="RFC 5280, 4.1.2")
cdef int SERIAL = SSL.text("serial", "Its serial number, in hex.", max=128, source="RFC 5280, 4.1.2.2")
cdef int FINGERPRINT = SSL.text("fingerprint", "Its SHA-256, in hex.", max=64, source="FIPS 180-4")
cdef int FINGERPRINT_SHA1 = SSL.text("fingerprint_sha1", "Its SHA-1, in hex.", max=40, source="FIPS 180-4")
cdef int NOT_VALID_BEFORE = SSL.time("not_valid_before", "It is valid from then on.", source="RFC 5280, 4.1.2.5")
cdef int NOT_VALID_AFTER = SSL.time("not_valid_after", "It is valid until then; 2262-04-11 stands for all "
                                    "later times.", source="RFC 5280, 4.1.2.5")
cdef int CLIENT_SUBJECT = SSL.text("client_subject", "Subject of the client's own certificate.", max=2048,
                                   source="RFC 5280, 4.1.2")
cdef int CLIENT_ISSUER = SSL.text("client_issuer", "Its issuer.", max=2048, source="RFC 5280, 4.1.2")
cdef int JA3 = SSL.text("ja3", "Fingerprint of the client's hello (JA3).", max=32, source="JA3")
cdef int JA3S = SSL.text("ja3s", "Fingerprint of the server's hello (JA3S).", max=32, source="JA3")
cdef int JA4 = SSL.text("ja4", "Fingerprint of the client's hello (JA4).", max=36, source="JA4")
cdef int CLIENT_ALPNS = SSL.texts("client_alpns", "Application protocols that the client offered.", max=16,
                                  source="RFC 7301, 3.1")
cdef int ECH = SSL.bool("ech", "The client sent an encrypted hello inside of this one, which names another server.",
                        source="RFC 9849, 5")

SSL_SCHEMA = SSL

cdef NameTable ciphers = NameTable(CIPHERS)
cdef NameTable groups = NameTable(GROUPS)
cdef NameTable alerts = NameTable(ALERTS)
cdef NameTable versions = NameTable(VERSIONS)

cdef enum:
    MOST_CERTIFICATES = 16
    MOST_ALPNS = 16
    HEX_SHA256 = 64

cdef enum Extension:               # IANA, TLS ExtensionType Values
    EXT_SERVER_NAME = 0
    EXT_GROUPS = 10
    EXT_POINT_FORMATS = 11
    EXT_SIGNATURES = 13
    EXT_ALPN = 16
    EXT_SESSION_TICKET = 35
    EXT_KEY_SHARE_OLD = 40         # up to draft 22
    EXT_PRE_SHARED_KEY = 41
    EXT_SUPPORTED_VERSIONS = 43
    EXT_KEY_SHARE = 51
    EXT_ECH = 0xfe0d               # RFC 9849

cdef enum:
    TLS13 = 0x0304
    DTLS13 = 0xfefc
    TLS13_DRAFTS = 0x7f            # upper byte of the drafts' version
    TLS13_EXPERIMENT = 0x7e        # … and of those that Google tried out
    FIRST_MODERN_DRAFT = 0x7f16    # from draft 22 on a server hello has the form of TLS 1.2
    NAMED_CURVE = 3                # ECCurveType (RFC 8422, 5.4)

# The random of a server hello that is a HelloRetryRequest (RFC 8446, 4.1.3)
cdef bytes retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
cdef const char* RETRY = retry

# letters of Zeek's ssl_history by handshake type; z for one without
cdef const char* HISTORY = b"hcsvtejzozzxkrnygzzzfwuap"


cdef class Handshake(Parser):
    """One handshake.  The owner calls ``begin`` before all else and ``finish`` in the end."""

    cdef bint begin(self, Conn* conn, uint8_t transport, bint client_is_resp) noexcept nogil:
        """Makes room for the record.  False when memory is out."""
        if self.draft != NULL:
            return True
        self.draft = new_draft(SSL)
        self.began, self.transport = conn.ts, transport
        if client_is_resp:
            self.note(False, c'^')
        return self.draft != NULL

    cdef bint is_13(self) noexcept nogil:
        return (self.version == TLS13 or self.version == DTLS13 or self.version >> 8 == TLS13_DRAFTS
                or self.version >> 8 == TLS13_EXPERIMENT)

    cdef Span server_name(self) noexcept nogil:
        """What the client asked for; empty when it did not."""
        return get_text(self.draft.record, SERVER_NAME)

    cdef Span first_alpn(self) noexcept nogil:
        """The first application protocol that the client offered."""
        cdef const Span* items = <const Span*>self.draft.record.slots[CLIENT_ALPNS].p
        if not is_set(self.draft.record, CLIENT_ALPNS):
            return span(NULL, 0)
        return items[0]

    cdef void change_cipher(self, bint client) noexcept nogil:
        """In TLS 1.3 the record is a courtesy to middleboxes (RFC 8446, D.4)."""
        self.note(client, c'i')
        if client and self.ticket_offered and not self.key_exchange_seen and not self.is_13():
            self.resumed = True

    cdef void alert(self, bint client, Cursor* c) noexcept nogil:
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef uint8_t what
        pass_over(c, 1)
        what = u8(c)
        self.note(client, c'l')
        if not c.short:
            keep_text(self.draft, LAST_ALERT, alerts.find(what, scratch))

    cdef void message(self, Conn* conn, bint client, uint8_t kind, Cursor* m) noexcept nogil:
        """One whole message, without its header."""
        self.retry_seen = False
        if kind == CLIENT_HELLO and client:
            self.client_hello(conn, m)
        elif kind == SERVER_HELLO and not client:
            self.server_hello(conn, m)
        elif kind == CERTIFICATE:
            self.certificates(conn, client, m)
        elif kind == SERVER_KEY_EXCHANGE and not client:
            self.server_key_exchange(m)
        elif kind == CLIENT_KEY_EXCHANGE and client:
            self.key_exchange_seen = True
        self.note_message(client, kind)

    # ---- hellos ----------------------------------------------------------------------------------------------------

    cdef void client_hello(self, Conn* conn, Cursor* m) noexcept nogil:
        """RFC 8446, 4.1.2; with the cookie of DTLS, RFC 6347, 4.2.1."""
        cdef Span session
        cdef Cursor suites
        cdef Hello h
        clear_hello(&h)
        h.version = u16(m)
        pass_over(m, 32)
        session = take(m, u8(m))
        if self.transport == c'd':
            pass_over(m, u8(m))
        suites = within(take(m, u16(m)))
        pass_over(m, u8(m))        # compression methods
        if m.short or session.n > 32:
            weird(conn, b"ssl_bad_client_hello")
            return
        self.session_size = <uint8_t>session.n
        copy_span(self.session, session)
        while left(&suites) >= 2:
            add_number(&h.ciphers, u16(&suites))
        self.extensions(m, True, &h)
        if self.session_size and not is_zero(session):
            self.ticket_offered = False
        if not is_set(self.draft.record, JA3):
            keep_ja3(conn, self.draft, JA3, &h)
            keep_ja4(conn, self.draft, JA4, &h, self.transport)

    cdef void server_hello(self, Conn* conn, Cursor* m) noexcept nogil:
        """RFC 8446, 4.1.3."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Span session, random
        cdef uint16_t cipher
        cdef bint old_draft
        cdef Hello h
        clear_hello(&h)
        self.version = h.version = u16(m)
        old_draft = self.version >> 8 == TLS13_DRAFTS and self.version < FIRST_MODERN_DRAFT
        random = take(m, 32)
        session = take(m, 0 if old_draft else u8(m))
        cipher = u16(m)
        pass_over(m, 0 if old_draft else 1)
        if m.short:
            weird(conn, b"ssl_bad_server_hello")
            return
        self.retry_seen = equals(random, RETRY, 32)
        keep_text(self.draft, CIPHER, ciphers.find(cipher, scratch))
        add_number(&h.ciphers, cipher)
        self.extensions(m, False, &h)
        if not self.retry_seen:
            keep_ja3s(conn, self.draft, JA3S, &h)
        keep_text(self.draft, VERSION, versions.find(self.version, scratch))
        if (session.n and session.n == self.session_size and equals(session, <const char*>self.session, session.n)
                and not is_zero(session) and (not self.is_13() or self.version >> 8 == TLS13_EXPERIMENT)):
            self.resumed = True

    cdef void old_server_hello(self, Conn* conn, Cursor* m) noexcept nogil:
        """SSL 2 (draft-hickman-netscape-ssl-00, 2.6): of the ciphers that it lists the first, as Zeek does."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef uint16_t certificate_size, ciphers_size
        cdef Span der, listed
        cdef Span* items
        cdef uint8_t* text
        cdef Cursor first
        pass_over(m, 2)            # whether the session is known, and the kind of certificate
        self.version = u16(m)
        certificate_size, ciphers_size = u16(m), u16(m)
        pass_over(m, 2)
        der, listed = take(m, certificate_size), take(m, ciphers_size)
        self.note(False, c's')
        if m.short:
            weird(conn, b"ssl_bad_server_hello")
            return
        first = within(listed)
        keep_text(self.draft, VERSION, versions.find(self.version, scratch))
        if listed.n >= 3:
            keep_text(self.draft, CIPHER, ciphers.find(u24(&first), scratch))
        text, items = keep_bytes(self.draft, HEX_SHA256), <Span*>keep_bytes(self.draft, sizeof(Span))
        if der.n and text != NULL and items != NULL and self.certificate(conn, False, True, der, text):
            items[0] = span(text, HEX_SHA256)
            put_texts(self.draft.record, CERT_CHAIN_FPS, items, 1)

    cdef void extensions(self, Cursor* m, bint client, Hello* h) noexcept nogil:
        cdef Cursor all = within(take(m, u16(m))), one
        cdef uint16_t kind
        while left(&all) >= 4:
            kind = u16(&all)
            one = within(take(&all, u16(&all)))
            if all.short:
                return
            add_number(&h.extensions, kind)
            if client:
                self.client_extension(kind, &one, h)
            else:
                self.server_extension(kind, &one)

    cdef void client_extension(self, uint16_t kind, Cursor* e, Hello* h) noexcept nogil:
        cdef Span name
        if kind == EXT_SERVER_NAME:
            h.names_host = True
            if left(e) <= 5:
                return
            pass_over(e, 3)        # RFC 6066, 3
            name = take(e, u16(e))
            if not e.short:
                keep_text(self.draft, SERVER_NAME, name)
        elif kind == EXT_ALPN:
            self.keep_alpns(e, h)
        elif kind == EXT_GROUPS:
            read_numbers(e, &h.groups, 2, 2)
        elif kind == EXT_SIGNATURES:
            read_numbers(e, &h.signatures, 2, 2)
        elif kind == EXT_POINT_FORMATS:
            read_numbers(e, &h.formats, 1, 1)
        elif kind == EXT_SUPPORTED_VERSIONS:
            h.best = best_version(e)
        elif kind == EXT_SESSION_TICKET and left(e):
            self.ticket_offered = True
        elif kind == EXT_PRE_SHARED_KEY:
            self.psk_offered = True
        elif kind == EXT_ECH:
            put_number(self.draft.record, ECH, True)

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

    cdef void keep_alpns(self, Cursor* e, Hello* h) noexcept nogil:
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
            copy_span(p, name)
            items[n] = span(p, name.n)
            n += 1
        if n:
            h.alpn = items[0]
            put_texts(self.draft.record, CLIENT_ALPNS, items, n)

    cdef void server_key_exchange(self, Cursor* m) noexcept nogil:
        """The curve of an ECDHE exchange (RFC 8422, 5.4); other exchanges begin differently."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        if equals(part(get_text(self.draft.record, CIPHER), 0, 8), b"TLS_ECDH", 8) and u8(m) == NAMED_CURVE:
            keep_text(self.draft, CURVE, groups.find(u16(m), scratch))

    # ---- certificates ----------------------------------------------------------------------------------------------

    cdef void certificates(self, Conn* conn, bint client, Cursor* m) noexcept nogil:
        """The chain in clear (RFC 5246, 7.4.2): a fingerprint for each certificate."""
        cdef int field = CLIENT_CERT_CHAIN_FPS if client else CERT_CHAIN_FPS
        cdef Span* items = <Span*>keep_bytes(self.draft, MOST_CERTIFICATES * sizeof(Span))
        cdef Cursor all = within(take(m, u24(m)))
        cdef Span der
        cdef uint8_t* text
        cdef uint32_t n = 0
        while items != NULL and left(&all) > 3 and n < MOST_CERTIFICATES:
            der = take(&all, u24(&all))
            text = keep_bytes(self.draft, HEX_SHA256)
            if all.short or text == NULL or not self.certificate(conn, client, n == 0, der, text):
                break
            items[n] = span(text, HEX_SHA256)
            n += 1
        if n:
            put_texts(self.draft.record, field, items, n)

    cdef bint certificate(self, Conn* conn, bint client, bint leaf, Span der, uint8_t* fingerprint) noexcept with gil:
        """One certificate: its record, its fingerprint, and of a leaf what the ssl record says of it."""
        cdef bytes text
        try:
            found = read_certificate(conn, der, leaf, client)
            text = found.fingerprint.encode()
            memcpy(fingerprint, <const char*>text, HEX_SHA256)
            if leaf:
                self.keep_leaf(client, found)
        except Exception:          # memory alone can be short here
            return False
        return True

    cdef keep_leaf(self, bint client, object found):
        cdef Span host = get_text(self.draft.record, SERVER_NAME)
        if client:
            self.keep_part(CLIENT_SUBJECT, found.fields.get("certificate.subject"))
            self.keep_part(CLIENT_ISSUER, found.fields.get("certificate.issuer"))
            return
        self.keep_part(SUBJECT, found.fields.get("certificate.subject"))
        self.keep_part(ISSUER, found.fields.get("certificate.issuer"))
        self.keep_part(SERIAL, found.fields.get("certificate.serial"))
        self.keep_part(FINGERPRINT, found.fingerprint)
        self.keep_part(FINGERPRINT_SHA1, found.sha1)
        for field, name in ((NOT_VALID_BEFORE, "not_valid_before"), (NOT_VALID_AFTER, "not_valid_after")):
            when = found.fields.get("certificate." + name)
            if when is not None:
                put_number(self.draft.record, field, <uint64_t><long long>(when * 1e9))
        if host.n:
            put_number(self.draft.record, SNI_MATCHES_CERT,
                       found.names_host((<const char*>host.p)[:host.n].decode("ascii", "replace")))

    def keep_part(self, int field, value):
        """A copy of a text, where there is one."""
        cdef bytes text
        if value is not None:
            text = value.encode()
            keep_text(self.draft, field, span(<const uint8_t*>(<const char*>text), <uint32_t>len(text)))

    # ---- history and record ----------------------------------------------------------------------------------------

    cdef void note_message(self, bint client, uint8_t kind) noexcept nogil:
        if kind == SERVER_HELLO and self.retry_seen:
            self.note(client, c'j')
        else:
            self.note(client, HISTORY[kind] if kind < 25 else c'm' if kind == 254 else c'z')

    cdef void note(self, bint client, char letter) noexcept nogil:
        if self.history_size < HISTORY_ROOM:
            self.history[self.history_size] = letter & 0x5f if client else letter
            self.history_size += 1

    cdef void log(self, Conn* conn) noexcept nogil:
        """Writes the record, once."""
        cdef Record* r = self.draft.record
        if self.written:
            return
        self.written = True
        put_number(r, RESUMED, self.resumed)
        put_number(r, ESTABLISHED, self.established)
        if self.history_size:
            put_text(r, SSL_HISTORY, span(self.history, self.history_size))
        emit_at(conn, SSL, r, self.began)

    cdef void finish(self, Conn* conn) noexcept nogil:
        """Writes what was not written yet, and frees what is kept."""
        if self.draft == NULL:
            return
        if self.history_size:
            self.log(conn)
        free_draft(self.draft)
        self.draft = NULL


cdef void clear_hello(Hello* h) noexcept nogil:
    h.version = h.best = 0
    h.names_host = False
    h.alpn.n = 0
    h.ciphers.n = h.extensions.n = h.groups.n = h.formats.n = h.signatures.n = 0


cdef void read_numbers(Cursor* e, Numbers* list, int size_bytes, int item_bytes) noexcept nogil:
    """A list with its length before it."""
    cdef Cursor all = within(take(e, u16(e) if size_bytes == 2 else u8(e)))
    while left(&all) >= <uint32_t>item_bytes:
        add_number(list, u16(&all) if item_bytes == 2 else u8(&all))


cdef uint16_t best_version(Cursor* e) noexcept nogil:
    """The highest version of a client's list (RFC 8446, 4.2.1); DTLS counts downwards."""
    cdef Cursor all = within(take(e, u8(e)))
    cdef uint16_t best = 0, one
    while left(&all) >= 2:
        one = u16(&all)
        if is_grease(one):
            continue
        if best == 0 or (one > best) != (one >> 8 == 0xfe):
            best = one
    return best


cdef bint is_zero(Span s) noexcept nogil:
    cdef uint32_t i
    for i in range(s.n):
        if byte_at(s, i):
            return False
    return True
