"""SSH: who is talking, what they agreed on, whether a login came through (RFC 4253, RFC 4252).

Banners and key exchange are in clear.  After NEWKEYS only the sizes of the server's segments are looked at: with the
cipher and the MAC known, the acceptance of the service and a success have one size each; else Zeek's inference from
their difference is all there is.  One record a connection, written at a successful login or at the end.

    each side   BANNER ──▶ PACKETS ── NEWKEYS ──▶ ENCRYPTED
    server      … ──▶ SERVICE_ACCEPT ──▶ (failures, other answers) ──▶ success
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cext.cursor cimport (Cursor, Span, byte_at, copy_span, equals, left, line, part, pass_over, span, starts, take,
                          take_rest, u8, u32, until, within)
from cext.parser cimport (ALL, Conn, Match, Parser, Reason, Verdict, ask, confirm, emit_draft, is_local, need, skip,
                          weird)
from cext.record cimport (Draft, Schema, free_draft, get_text, is_set, keep_bytes, keep_more, keep_text, new_draft,
                          put_number, put_word)
from parsers.shared.ssh_sizes cimport Suite, suite_of, wire_size

from cext.parser import register

cdef Schema SSH = Schema("ssh", "SSH connections.")
cdef int VERSION = SSH.count("version", "Protocol version of both sides: 1, 2, or 0 where they do not fit.",
                             source="RFC 4253, 5")
cdef int AUTH_SUCCESS = SSH.bool("auth_success", "A login came through, inferred from sizes; unset: it cannot be told.",
                                 source="Zeek; RFC 4252, 5")
cdef int AUTH_ATTEMPTS = SSH.count("auth_attempts", "Attempts to log in, inferred from sizes.",
                                   source="Zeek; RFC 4252, 5")
cdef int AUTH_CONFIDENCE = SSH.text("auth_confidence", "high: sizes are those that cipher and MAC give; low: from how "
                                    "they differ.", max=8, source="Zeek; RFC 4252, 5")
cdef int CLIENT = SSH.text("client", "Identification line of the client.", max=255, source="RFC 4253, 4.2")
cdef int SERVER = SSH.text("server", "Identification line of the server.", max=255, source="RFC 4253, 4.2")
cdef int CIPHER_ALG = SSH.text("cipher_alg", "Encryption algorithm agreed on.", max=256, source="RFC 4253, 7.1")
cdef int MAC_ALG = SSH.text("mac_alg", "MAC algorithm agreed on.", max=256, source="RFC 4253, 7.1")
cdef int COMPRESSION_ALG = SSH.text("compression_alg", "Compression algorithm agreed on.", max=256,
                                    source="RFC 4253, 7.1")
cdef int KEX_ALG = SSH.text("kex_alg", "Key exchange algorithm agreed on.", max=256, source="RFC 4253, 7.1")
cdef int HOST_KEY_ALG = SSH.text("host_key_alg", "Algorithm of the server's host key agreed on.", max=256,
                                 source="RFC 4253, 7.1")
cdef int HOST_KEY_FINGERPRINT = SSH.text("host_key_fingerprint", "The first 32 characters of the host key's SHA-256 "
                                         "as Zeek writes it; set where both sides' key exchange was seen.", max=64,
                                         source="Zeek")
cdef int DIRECTION = SSH.text("direction", "INBOUND or OUTBOUND, where one end alone is in a local network.", max=8,
                              source="Zeek")
cdef int HOST_KEY_TYPE = SSH.text("host_key_type", "Type of the server's host key.", max=64,
                                  source="RFC 4253, 6.6")
cdef int HOST_KEY_SHA256 = SSH.text("host_key_sha256", "SHA-256 of the host key, as ssh-keygen -l shows it.", max=64,
                                    source="RFC 4253, 8; ssh-keygen(1)")
cdef int HOST_KEY_MD5 = SSH.text("host_key_md5", "MD5 of the host key, in hex.", max=32,
                                 source="RFC 4253, 8; ssh-keygen(1)")
cdef int HASSH = SSH.text("hassh", "Fingerprint of the client's algorithms (HASSH).", max=32, source="HASSH")
cdef int HASSH_SERVER = SSH.text("hasshServer", "Fingerprint of the server's algorithms (HASSH).", max=32,
                                 source="HASSH")

cdef enum:
    LONGEST_LINE = 255             # RFC 4253, 4.2, with CR and LF
    MOST_LINES = 50                # before the server's banner
    LONGEST_PACKET = 35000         # what every implementation must take (RFC 4253, 6.1)
    LISTS = 10                     # name lists in a KEXINIT (RFC 4253, 7.1)
    MOST_NAMES = 100               # of a list that are compared; real ones have some twenty
    MOST_SEGMENTS = 300            # of the server that are measured; a login has ended by then
    ZEEK_CUTS_AT = 32              # characters of a fingerprint
    OWN_PORT = 22
    SUCCESS_IS_SMALLER = 16        # USERAUTH_SUCCESS against SERVICE_ACCEPT, in bytes of a segment (Zeek)
    ACCEPT_PAYLOAD = 17            # SERVICE_ACCEPT with "ssh-userauth" (RFC 4253, 10)
    SUCCESS_PAYLOAD = 1            # USERAUTH_SUCCESS (RFC 4252, 5.1)
    DROPBEAR_PADS_TO = 16

cdef enum Message:                 # RFC 4250, 4.1.2
    KEXINIT = 20
    NEWKEYS = 21
    KEXDH_REPLY = 31
    KEX_GEX_REPLY = 33             # RFC 4419, 5; there 31 is the group

cdef enum State:                   # what a side waits for
    BANNER
    PACKETS
    ENCRYPTED

cdef enum Login:                   # what is known of it
    UNKNOWN
    FAILED
    CAME_THROUGH


cdef struct Guess:                 # by sizes of the server's segments
    uint32_t accept                # of its answer to the service request
    uint32_t failure               # of a failure
    uint32_t last                  # of its last answer
    uint32_t attempts
    Login login


cdef enum:                         # order of the name lists in a KEXINIT
    KEX_LIST, HOST_KEY_LIST, CIPHER_TO_SERVER, CIPHER_TO_CLIENT, MAC_TO_SERVER, MAC_TO_CLIENT, COMPRESSION_TO_SERVER
    COMPRESSION_TO_CLIENT


cdef class SshParser(Parser):
    """SSH banners, key exchange and logins."""

    cdef Draft* draft
    cdef State state[2]            # by "is it the client?"
    cdef uint8_t lines
    cdef bint client_is_resp
    cdef bint known                # which side is the client
    cdef Span lists[2][LISTS]      # by "is it the client?"; kept by the draft
    cdef Suite suite               # of what the server sends
    cdef Guess exact               # by the sizes that the suite gives
    cdef Guess rough               # by how sizes differ (Zeek)
    cdef uint32_t segments

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """An identification line; a server may send others before it, which alone say nothing."""
        cdef uint32_t n = left(&c)
        if n >= 4:
            return Match.YES if starts(&c, b"SSH-", 4) else Match.NO
        return Match.MAYBE if starts(&c, b"SSH-", n) else Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef bint client
        cdef Verdict verdict = Verdict.MORE
        if self.draft == NULL:
            self.draft = new_draft(SSH)
            if self.draft == NULL:
                return Verdict.DONE
            self.draft.record.ts = conn.ts
        client = is_orig
        while verdict == Verdict.MORE and left(c) and not conn.taps[is_orig].skipping:
            if self.state[client] == BANNER:
                if not self.banner(conn, client, c, &verdict):
                    break
            elif self.state[client] == PACKETS:
                if not self.packet(conn, is_orig, client, c, &verdict):
                    break
            else:
                verdict = self.encrypted(conn, is_orig, client)
                take_rest(c)
        return verdict

    # ---- in clear --------------------------------------------------------------------------------------------------

    cdef bint banner(self, Conn* conn, bint client, Cursor* c, Verdict* verdict) noexcept nogil:
        """The identification line, and perhaps a server's greeting before it (RFC 4253, 4.2).  False: not whole yet."""
        cdef Span said = line(c)
        if c.short:
            c.short = False
            if left(c) > 4 * LONGEST_LINE:
                verdict[0] = Verdict.REJECT
                return True
            return False
        if not equals(part(said, 0, 4), b"SSH-", 4):
            self.lines += 1
            if client or self.lines > MOST_LINES:
                verdict[0] = Verdict.REJECT
            return True
        keep_text(self.draft, CLIENT if client else SERVER, said)
        self.state[client] = PACKETS
        self.set_version(conn)
        if byte_at(said, 4) == c'1' and not equals(part(said, 4, 4), b"1.99", 4):
            skip(conn, client, ALL)    # SSH 1 has another packet format
        return True

    cdef void set_version(self, Conn* conn) noexcept nogil:
        """2 when both speak it (1.99 does too), 1 when one speaks only that, 0 when they do not fit (Zeek)."""
        cdef Span ours = get_text(self.draft.record, CLIENT), theirs = get_text(self.draft.record, SERVER)
        cdef bint ours_2, theirs_2, ours_1, theirs_1
        if not ours.n or not theirs.n:
            return
        confirm(conn)
        if conn.flow.resp_p != OWN_PORT:
            self.draft.record.ts = conn.ts     # elsewhere it is SSH from when both sides have said so (Zeek)
        ours_1, theirs_1 = byte_at(ours, 4) == c'1', byte_at(theirs, 4) == c'1'
        ours_2 = not ours_1 or equals(part(ours, 4, 4), b"1.99", 4)
        theirs_2 = not theirs_1 or equals(part(theirs, 4, 4), b"1.99", 4)
        put_number(self.draft.record, VERSION, 2 if ours_2 and theirs_2 else 1 if ours_1 and theirs_1 else 0)

    cdef bint packet(self, Conn* conn, bint is_orig, bint client, Cursor* c, Verdict* verdict) noexcept nogil:
        """One binary packet in clear (RFC 4253, 6).  False when it is not whole yet."""
        cdef Cursor head = c[0]
        cdef uint32_t size = u32(&head)
        cdef uint8_t padding
        cdef Cursor m
        if head.short:
            return False
        if size < 2 or size > LONGEST_PACKET:
            verdict[0] = self.give_up(conn)
            return True
        if left(&head) < size:
            need(conn, is_orig, 4 + size)
            return False
        pass_over(c, 4)
        m = within(take(c, size))
        padding = u8(&m)
        if padding >= size:
            verdict[0] = self.give_up(conn)
            return True
        m = within(take(&m, size - 1 - padding))
        self.message(conn, client, u8(&m), &m)
        if self.state[client] == ENCRYPTED:
            take_rest(c)           # what shares a segment with NEWKEYS is an extension (RFC 8308), and no answer
        return True

    cdef Verdict give_up(self, Conn* conn) noexcept nogil:
        weird(conn, b"ssh_bad_packet")
        return Verdict.DONE

    cdef void message(self, Conn* conn, bint client, uint8_t kind, Cursor* m) noexcept nogil:
        cdef Span kex = get_text(self.draft.record, KEX_ALG)
        if kind == KEXINIT:
            self.kexinit(conn, client, m)
        elif kind == NEWKEYS:
            self.state[client] = ENCRYPTED
            self.suite = suite_of(self.agreed(CIPHER_TO_CLIENT), self.agreed(MAC_TO_CLIENT))
        elif not client and kind == (KEX_GEX_REPLY if is_group_exchange(kex) else KEXDH_REPLY):
            self.host_key(conn, take(m, u32(m)))

    cdef void kexinit(self, Conn* conn, bint client, Cursor* m) noexcept nogil:
        """Keeps the lists of a side; with both, chooses as RFC 4253, 7.1 says."""
        cdef uint8_t* p
        cdef int i
        cdef Span kept
        pass_over(m, 16)           # cookie
        p = keep_bytes(self.draft, left(m))
        if p == NULL:
            return
        kept = span(m.p, left(m))
        copy_span(p, kept)
        kept.p = p
        m[0] = within(kept)
        for i in range(LISTS):
            self.lists[client][i] = take(m, u32(m))
        if m.short:
            return
        self.hassh(conn, client)
        if not self.lists[True][KEX_LIST].n or not self.lists[False][KEX_LIST].n:
            return
        self.choose(KEX_ALG, KEX_LIST, KEX_LIST)
        self.choose(HOST_KEY_ALG, HOST_KEY_LIST, HOST_KEY_LIST)
        self.choose(CIPHER_ALG, CIPHER_TO_SERVER, CIPHER_TO_CLIENT)
        self.choose(MAC_ALG, MAC_TO_SERVER, MAC_TO_CLIENT)
        self.choose(COMPRESSION_ALG, COMPRESSION_TO_SERVER, COMPRESSION_TO_CLIENT)

    cdef void hassh(self, Conn* conn, bint client) noexcept nogil:
        """MD5 over the lists for key exchange, and for encryption, MAC and compression of what this side sends."""
        cdef const Span* lists = self.lists[client]
        cdef int field = HASSH if client else HASSH_SERVER
        cdef Span[4] parts
        cdef uint32_t size = 3, at = 0, i
        cdef uint8_t* text
        if is_set(self.draft.record, field):
            return
        parts[0] = lists[KEX_LIST]
        parts[1] = lists[CIPHER_TO_SERVER if client else CIPHER_TO_CLIENT]
        parts[2] = lists[MAC_TO_SERVER if client else MAC_TO_CLIENT]
        parts[3] = lists[COMPRESSION_TO_SERVER if client else COMPRESSION_TO_CLIENT]
        for i in range(4):
            size += parts[i].n
        text = keep_bytes(self.draft, size)
        if text == NULL:
            return
        for i in range(4):
            copy_span(text + at, parts[i])
            at += parts[i].n
            if i < 3:
                text[at] = c';'
                at += 1
        self.keep_answer(conn, field, b"md5_hex", span(text, size))

    cdef void keep_answer(self, Conn* conn, int field, const char* kind, Span s) noexcept nogil:
        cdef uint8_t text[64]
        cdef uint32_t n = ask(conn, kind, s, text, 64)
        if n:
            keep_text(self.draft, field, span(text, n))

    cdef void choose(self, int field, int to_server, int to_client) noexcept nogil:
        """The client's first algorithm that the server has too; both where the directions differ."""
        cdef Span up = first_common(self.lists[True][to_server], self.lists[False][to_server])
        cdef Span down = first_common(self.lists[True][to_client], self.lists[False][to_client])
        if is_set(self.draft.record, field):
            return                 # a second key exchange changes no record
        if equals(up, <const char*>down.p, down.n):
            keep_text(self.draft, field, up)
            return
        keep_text(self.draft, field, span(<const uint8_t*>b"To server: ", 11))
        keep_more(self.draft, field, up, b"")
        keep_more(self.draft, field, down, b", to client: ")

    cdef void host_key(self, Conn* conn, Span key) noexcept nogil:
        """SHA256 and 43 digits in base 64, as ssh-keygen -l shows it; MD5; and the type, which begins the key."""
        cdef uint8_t text[64]
        cdef uint32_t n
        cdef Cursor c = within(key)
        cdef Span kind = take(&c, u32(&c))
        if not key.n or is_set(self.draft.record, HOST_KEY_SHA256):
            return
        if not c.short:
            keep_text(self.draft, HOST_KEY_TYPE, kind)
        self.keep_answer(conn, HOST_KEY_MD5, b"md5_hex", key)
        memcpy(text, b"SHA256:", 7)
        n = ask(conn, b"sha256_base64", key, text + 7, 57)
        while n and text[7 + n - 1] == c'=':
            n -= 1
        if not n:
            return
        keep_text(self.draft, HOST_KEY_SHA256, span(text, 7 + n))
        if is_set(self.draft.record, KEX_ALG):
            keep_text(self.draft, HOST_KEY_FINGERPRINT, span(text, 7 + ZEEK_CUTS_AT))

    # ---- encrypted -------------------------------------------------------------------------------------------------

    cdef Verdict encrypted(self, Conn* conn, bint is_orig, bint client) noexcept nogil:
        """Only the server's segments tell: the service's acceptance, failures of one size, a smaller success."""
        cdef uint32_t size = conn.segment_bytes
        if client:
            skip(conn, is_orig, ALL)
            return Verdict.MORE
        self.segments += 1
        if self.segments > MOST_SEGMENTS or not self.is_plain():
            skip(conn, is_orig, ALL)
            return Verdict.MORE
        if self.suite.block:
            self.learn_exactly(size)
        if self.rough.login != CAME_THROUGH:
            learn_roughly(&self.rough, size)
        if self.exact.login == CAME_THROUGH or (not self.suite.block and self.rough.login == CAME_THROUGH):
            return Verdict.DONE
        return Verdict.MORE

    cdef Span agreed(self, int what) noexcept nogil:
        return first_common(self.lists[True][what], self.lists[False][what])

    cdef bint is_plain(self) noexcept nogil:
        """Nothing is compressed while the login is under way."""
        cdef Span said = self.agreed(COMPRESSION_TO_CLIENT)
        return equals(said, b"none", 4) or equals(said, b"zlib@openssh.com", 16)

    cdef void learn_exactly(self, uint32_t size) noexcept nogil:
        cdef Guess* g = &self.exact
        if not g.accept:
            if size == wire_size(&self.suite, ACCEPT_PAYLOAD, 0):
                g.accept = size    # what comes before it is an extension (RFC 8308)
        elif size == wire_size(&self.suite, SUCCESS_PAYLOAD, DROPBEAR_PADS_TO if self.is_dropbear() else 0):
            g.attempts += 1
            g.login = CAME_THROUGH
        else:
            learn_failure(g, size, self.asks_for_none())

    cdef bint is_dropbear(self) noexcept nogil:
        return equals(part(get_text(self.draft.record, SERVER), 8, 8), b"dropbear", 8)

    cdef bint asks_for_none(self) noexcept nogil:
        """The client's first request is of the method "none", to learn which there are (RFC 4252, 5.2); that it fails
        is no failed attempt.  Libraries go straight to what they were told to try."""
        cdef Span said = get_text(self.draft.record, CLIENT)
        return not equals(part(said, 8, 6), b"libssh", 6) and not equals(part(said, 8, 8), b"paramiko", 8)

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        return Verdict.DONE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        if self.draft == NULL:
            return
        if is_set(self.draft.record, CLIENT) or is_set(self.draft.record, SERVER):
            self.put_login(&self.exact if self.exact.accept else &self.rough)
            self.set_direction(conn)
            emit_draft(conn, self.draft)
        free_draft(self.draft)
        self.draft = NULL

    cdef void put_login(self, const Guess* g) noexcept nogil:
        put_number(self.draft.record, AUTH_ATTEMPTS, g.attempts)
        if g.login == UNKNOWN:
            return
        put_number(self.draft.record, AUTH_SUCCESS, g.login == CAME_THROUGH)
        if g == &self.exact:
            put_word(self.draft.record, AUTH_CONFIDENCE, b"high", 4)
        else:
            put_word(self.draft.record, AUTH_CONFIDENCE, b"low", 3)

    cdef void set_direction(self, Conn* conn) noexcept nogil:
        cdef bint from_here = is_local(conn, &conn.flow.orig_h), to_here = is_local(conn, &conn.flow.resp_h)
        if from_here and not to_here:
            put_word(self.draft.record, DIRECTION, b"OUTBOUND", 8)
        elif to_here and not from_here:
            put_word(self.draft.record, DIRECTION, b"INBOUND", 7)


cdef void learn_roughly(Guess* g, uint32_t size) noexcept nogil:
    """Zeek's inference: the first size is that of SERVICE_ACCEPT, the next that of a failure."""
    if not g.accept:
        g.accept = size
    elif size + SUCCESS_IS_SMALLER == g.accept:
        g.attempts += 1
        g.login = CAME_THROUGH
    elif not g.failure:
        g.failure = size
    elif size == g.failure:
        g.attempts += 1
        g.login = FAILED


cdef void learn_failure(Guess* g, uint32_t size, bint asks_for_none) noexcept nogil:
    """Failures have one size; what else is answered (a key that may be tried, a question) has others."""
    if size == g.failure or size == g.last or (not g.failure and not asks_for_none):
        g.attempts += 1
        g.login = FAILED
        g.failure = size
    elif not g.failure:
        g.failure = size
    g.last = size


cdef bint is_group_exchange(Span kex) noexcept nogil:
    """diffie-hellman-group-exchange-…: its reply has another number."""
    return equals(part(kex, 0, 29), b"diffie-hellman-group-exchange", 29)


cdef Span first_common(Span ours, Span theirs) noexcept nogil:
    """The first name of one comma-separated list that is in the other."""
    cdef Cursor a = within(ours), b
    cdef Span name, other
    cdef int i = 0, j
    while left(&a) and i < MOST_NAMES:
        i += 1
        j = 0
        name = next_name(&a)
        b = within(theirs)
        while left(&b) and j < MOST_NAMES:
            j += 1
            other = next_name(&b)
            if equals(name, <const char*>other.p, other.n):
                return name
    return span(<const uint8_t*>b"Algorithm negotiation failed", 28)


cdef Span next_name(Cursor* c) noexcept nogil:
    cdef Span name = until(c, c',')
    if c.short:
        c.short = False
        name = take_rest(c)
    return name


register(SshParser, name="ssh", schema=SSH, transport="tcp", ports=(22,), idle_seconds=86400,
         late=True, confirms=True, carry_max=4 + LONGEST_PACKET)
