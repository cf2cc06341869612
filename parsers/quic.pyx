"""QUIC versions 1 and 2 and its last drafts: who is called, and with what (RFC 9000, RFC 9001, RFC 9369).

Initial packets can be opened by anyone who has seen the first: they hold the hellos of TLS.  One ``quic`` record a
connection, written at its end, and the ``ssl`` record of its handshake.  Left out on purpose: all that is protected by
secrets, and Retry's integrity.

    Initial ── CRYPTO frames, by offset ──▶ hello      others ──▶ a letter of the history
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport (Cursor, Span, behind, byte_at, equals, left, part, pass_over, peek, span, take, u8,
                          u24, u32, within)
from cext.gather cimport Gather, gather_free, gather_put, gathered
from cext.parser cimport Conn, Match, Reason, Verdict, confirm, confirm_also, emit_draft, find_protocol, weird
from cext.record cimport (Draft, Schema, free_draft, get_text, keep_text, new_draft, put_text, put_word)
from cext.text cimport put_hex
from parsers.shared.handshake cimport CLIENT_HELLO, HANDSHAKE_HEADER, SERVER_HELLO, Handshake

from cext.parser import register

cdef Schema QUIC = Schema("quic", "QUIC connections.")
cdef int VERSION = QUIC.text("version", "Version: 1, quicv2, or draft and its number.", max=24,
                             source="RFC 8999, 5.1; RFC 9369")
cdef int CLIENT_INITIAL_DCID = QUIC.text("client_initial_dcid", "Connection id that the client chose for the server's "
                                         "first packets, in hex.", max=40, source="RFC 9000, 7.2")
cdef int CLIENT_SCID = QUIC.text("client_scid", "Connection id that the client chose for itself, in hex.", max=40,
                                 source="RFC 9000, 7.2")
cdef int SERVER_SCID = QUIC.text("server_scid", "Connection id that the server chose for itself, in hex.", max=40,
                                 source="RFC 9000, 7.2")
cdef int SERVER_NAME = QUIC.text("server_name", "Server name indication of the client.", max=256, source="RFC 6066, 3")
cdef int CLIENT_PROTOCOL = QUIC.text("client_protocol", "First application protocol that the client offered.", max=256,
                                     source="RFC 7301, 3.1")
cdef int HISTORY = QUIC.text("history", "Packets in order, upper case for the client: I Initial, H Handshake, Z 0-RTT, "
                             "R Retry, O short header, S a hello, C connection close, U unknown version, X bytes that "
                             "are no packet.", max=100, source="Zeek; RFC 9000, 17")

cdef enum:
    LONGEST_ID = 20                # RFC 9000, 17.2
    MOST_FAILURES = 8              # Initial packets of a flow that could not be opened
    MOST_LETTERS = 100
    LONGEST_DATAGRAM = 65535
    V1 = 1
    V2 = 0x6b3343cf
    DRAFTS = 0xff0000
    FIRST_DRAFT = 23               # from there on Initial packets have this form
    LAST_DRAFT = 34

cdef enum Packet:                  # long header types of version 1 (RFC 9000, 17.2)
    INITIAL, ZERO_RTT, HANDSHAKE, RETRY

cdef enum Frame:                   # RFC 9000, 19
    PADDING = 0
    PING = 1
    ACK = 2
    ACK_ECN = 3
    CRYPTO = 6
    CLOSE = 0x1c


cdef class QuicParser(Handshake):
    """QUIC handshakes."""

    cdef Draft* record             # of the connection; the draft of Handshake is the ssl record's
    cdef Gather crypto[2]          # by is_orig
    cdef uint32_t used[2]          # bytes of it that were read
    cdef uint8_t letters[MOST_LETTERS]
    cdef uint32_t letter_count
    cdef uint32_t failures         # Initial packets that could not be opened
    cdef uint32_t shorts[2]        # packets with a short header, by is_orig
    cdef uint8_t keys_id[LONGEST_ID]   # connection id that the Initial keys follow from
    cdef uint8_t keys_id_size
    cdef bint keyed
    cdef bint answered             # the server's hello was read

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """A long header of a known version."""
        cdef uint8_t first = u8(&c)
        cdef uint32_t version = u32(&c)
        cdef Span ids
        if first & 0xc0 != 0xc0 or not is_known(version):
            return Match.NO
        ids = take(&c, u8(&c))
        if ids.n > LONGEST_ID:
            return Match.NO
        ids = take(&c, u8(&c))
        return Match.YES if not c.short and ids.n <= LONGEST_ID and left(&c) else Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """One datagram: packets one behind the other (RFC 9000, 12.2)."""
        if self.record == NULL:
            self.record = new_draft(QUIC)
            if self.record == NULL:
                return Verdict.DONE
            self.record.record.ts = conn.ts
        while left(c):
            if peek(c, 0) & 0x80:
                if not self.long_packet(conn, is_orig, c):
                    break
            else:                  # a short header goes to the end of its datagram
                self.short_packet(is_orig, peek(c, 0))
                break
        return Verdict.MORE if self.letter_count < MOST_LETTERS else Verdict.DONE

    cdef void short_packet(self, bint is_orig, uint8_t first) noexcept nogil:
        """Counted; a letter for the 1st, 2nd, 4th, 8th … of a side (Zeek)."""
        if not first & 0x40:
            self.letter(is_orig, c'X')
            return
        self.shorts[is_orig] += 1
        if self.shorts[is_orig] & (self.shorts[is_orig] - 1) == 0:
            self.letter(is_orig, c'O')

    cdef void letter(self, bint is_orig, uint8_t one) noexcept nogil:
        if self.letter_count < MOST_LETTERS:
            self.letters[self.letter_count] = one if is_orig else one | 0x20
            self.letter_count += 1

    cdef bint long_packet(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        """One packet with a long header (RFC 9000, 17.2).  False when the rest of the datagram is of no use."""
        cdef Span packet = span(c.p, left(c)), dcid, scid
        cdef uint32_t version, begin = left(c), at
        cdef uint64_t size
        cdef int kind
        kind = u8(c) >> 4 & 3
        version = u32(c)
        dcid, scid = take(c, u8(c)), take(c, u8(c))
        if c.short or not is_known(version) or dcid.n > LONGEST_ID or scid.n > LONGEST_ID:
            self.letter(is_orig, c'U')
            return False
        if version == V2:
            kind = (kind + 3) & 3  # the four types are numbered one on (RFC 9369, 3.2)
        if kind == RETRY:
            self.letter(is_orig, c'R')
            self.keyed = False     # the client begins anew, with a connection id of the server's
            return False
        if kind == INITIAL:
            self.say_ids(is_orig, version, dcid, scid)
            pass_over(c, bounded(varint(c)))
        size = varint(c)
        at = begin - left(c)
        if c.short or size > left(c):
            self.letter(is_orig, c'X')
            return False
        pass_over(c, <uint32_t>size)
        self.letter(is_orig, c'I' if kind == INITIAL else c'Z' if kind == ZERO_RTT else c'H')
        if kind == INITIAL and not (self.answered and self.session_known(is_orig)):
            self.initial(conn, is_orig, version, dcid, part(packet, 0, at + <uint32_t>size), at)
        return True

    cdef bint session_known(self, bint is_orig) noexcept nogil:
        """Both hellos were read: Initial packets have no more to tell."""
        return self.used[True] > 0 and self.used[False] > 0

    cdef void say_ids(self, bint is_orig, uint32_t version, Span dcid, Span scid) noexcept nogil:
        cdef Draft* d = self.record
        if is_orig and not get_text(d.record, CLIENT_INITIAL_DCID).n:
            keep_hex(d, CLIENT_INITIAL_DCID, dcid)
            keep_hex(d, CLIENT_SCID, scid)
        elif not is_orig and not get_text(d.record, SERVER_SCID).n:
            keep_hex(d, SERVER_SCID, scid)
        if version == V1:
            put_word(d.record, VERSION, b"1", 1)
        elif version == V2:
            put_word(d.record, VERSION, b"quicv2", 6)
        else:
            keep_draft_name(d, version & 0xff)

    cdef void initial(self, Conn* conn, bint is_orig, uint32_t version, Span dcid, Span packet,
                      uint32_t at) noexcept nogil:
        """Opens a packet, with the keys of the connection or, failing that, those of its own id."""
        cdef uint8_t frames[LONGEST_DATAGRAM]
        cdef uint32_t n = 0
        if self.failures == MOST_FAILURES:
            return                 # to try costs some 30 us, and a datagram has room for many
        if is_orig and not self.keyed:
            self.keep_keys(dcid)
        if self.keyed:
            n = open_packet(version, span(self.keys_id, self.keys_id_size), is_orig, packet, at, frames)
        if n == 0 and is_orig and not equals(dcid, <const char*>self.keys_id, self.keys_id_size):
            n = open_packet(version, dcid, is_orig, packet, at, frames)
            if n:
                self.keep_keys(dcid)
        if n == 0:
            self.failures += 1
            weird(conn, b"quic_initial_not_opened")
            return
        self.frames(conn, is_orig, span(frames, n))

    cdef void keep_keys(self, Span dcid) noexcept nogil:
        cdef uint32_t i
        for i in range(dcid.n):
            self.keys_id[i] = byte_at(dcid, i)
        self.keys_id_size = <uint8_t>dcid.n
        self.keyed = True

    cdef void frames(self, Conn* conn, bint is_orig, Span s) noexcept nogil:
        """The frames that an Initial packet may have (RFC 9000, 12.4)."""
        cdef Cursor c = within(s)
        cdef uint64_t kind, at, i, ranges
        while left(&c):
            kind = varint(&c)
            if kind == ACK or kind == ACK_ECN:
                varint(&c)
                varint(&c)
                ranges = varint(&c)
                i = 0
                while i < 2 * ranges + 1 + (3 if kind == ACK_ECN else 0) and not c.short:
                    varint(&c)
                    i += 1
            elif kind == CRYPTO:
                at = varint(&c)
                s = take(&c, bounded(varint(&c)))
                if c.short or at > LONGEST_DATAGRAM or not gather_put(&self.crypto[is_orig], <uint32_t>at, s):
                    return
                self.hellos(conn, is_orig)
            elif kind == CLOSE:
                self.letter(is_orig, c'C')
                return
            elif kind != PADDING and kind != PING:
                return
            if c.short:
                return

    cdef void hellos(self, Conn* conn, bint is_orig) noexcept nogil:
        """Whole messages of what was gathered."""
        cdef Cursor c = within(behind(gathered(&self.crypto[is_orig]), self.used[is_orig])), m
        cdef uint8_t kind
        cdef uint32_t size
        while left(&c) >= HANDSHAKE_HEADER:
            kind, size = u8(&c), u24(&c)
            m = within(take(&c, size))
            if c.short or not self.begin(conn, c'q', False):
                return
            self.used[is_orig] += HANDSHAKE_HEADER + size
            self.message(conn, is_orig, kind, &m)
            if kind == CLIENT_HELLO or kind == SERVER_HELLO:
                self.letter(is_orig, c'S')
            if kind == CLIENT_HELLO:
                confirm(conn)
                confirm_also(conn, find_protocol(b"ssl"))
                keep_text(self.record, SERVER_NAME, self.server_name())
                keep_text(self.record, CLIENT_PROTOCOL, self.first_alpn())
            self.answered |= kind == SERVER_HELLO

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        self.finish(conn)
        gather_free(&self.crypto[0])
        gather_free(&self.crypto[1])
        if self.record == NULL:
            return
        put_text(self.record.record, HISTORY, span(self.letters, self.letter_count))
        emit_draft(conn, self.record)
        free_draft(self.record)
        self.record = NULL


cdef bint is_known(uint32_t version) noexcept nogil:
    return version == V1 or version == V2 or (
        version >> 8 == DRAFTS and FIRST_DRAFT <= version & 0xff <= LAST_DRAFT)


cdef uint64_t varint(Cursor* c) noexcept nogil:
    """A number of one, two, four or eight bytes, by its first two bits (RFC 9000, 16)."""
    cdef uint64_t value = u8(c)
    cdef int more = (1 << (value >> 6)) - 1, _i
    value &= 0x3f
    for _i in range(more):
        value = value << 8 | u8(c)
    return value


cdef inline uint32_t bounded(uint64_t n) noexcept nogil:
    """A length for ``take``: what no datagram holds stays too much."""
    return <uint32_t>n if n < LONGEST_DATAGRAM else LONGEST_DATAGRAM + 1


cdef void keep_hex(Draft* d, int field, Span s) noexcept nogil:
    cdef uint8_t text[2 * LONGEST_ID]
    if s.n:
        put_hex(text, s.p, s.n)
        keep_text(d, field, span(text, 2 * s.n))


cdef void keep_draft_name(Draft* d, uint32_t number) noexcept nogil:
    cdef uint8_t text[8]
    cdef Span name = span(<const uint8_t*>b"draft-", 6)
    cdef uint32_t i
    for i in range(6):
        text[i] = byte_at(name, i)
    text[6], text[7] = <uint8_t>(c'0' + number // 10), <uint8_t>(c'0' + number % 10)
    keep_text(d, VERSION, span(text, 8))


cdef uint32_t open_packet(uint32_t version, Span connection, bint from_client, Span packet, uint32_t at,
                          uint8_t* out) noexcept with gil:
    """The frames of an Initial packet into ``out``, which has room for a datagram; their size, 0 when it stays shut."""
    cdef bytes frames
    cdef Py_ssize_t i
    try:
        from parsers.shared.quic_keys import open_initial   # heavy: read when the first packet comes
        frames = open_initial(version, (<const char*>connection.p)[:connection.n], bool(from_client),
                              (<const char*>packet.p)[:packet.n], at)
    except Exception:              # memory alone can be short here
        return 0
    for i in range(len(frames)):
        out[i] = frames[i]
    return <uint32_t>len(frames)


register(QuicParser, name="quic", schema=QUIC, transport="udp", ports=(443, 80, 853), confirms=True, late=True)
