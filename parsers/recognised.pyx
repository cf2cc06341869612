"""Protocols that are known by their first bytes and not read: so that "443 that is not TLS" can be asked for.

Each gives its name to ``service`` in the conn record.  Those that may go on in TLS (STARTTLS and the like) are watched
for the client's hello, at which TLS takes over.

    recognised ─┬─ may go on in TLS ── a hello begins a segment ──▶ ssl
                └─ may not ──▶ done
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport Cursor, Span, behind, byte_at, left, line, pass_over, peek, starts, take_rest, u8, u16, u32
from cext.parser cimport Conn, Match, Parser, Verdict, find_protocol, hand_over
from parsers.shared.greetings cimport greeting, is_client_hello

from cext.parser import register

cdef enum:
    WATCHED_SEGMENTS = 64          # in which a hello may begin
    LONGEST_MONGO = 48000000       # maxMessageSizeBytes
    LONGEST_KAFKA = 104857600      # socket.request.max.bytes
    NTP_SIZE = 48                  # RFC 5905, 7.3


cdef class Recognised(Parser):
    """A protocol that is not read."""

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        take_rest(c)
        return Verdict.DONE


cdef class MayBecomeTls(Parser):
    """One that may go on in TLS."""

    cdef uint32_t seen

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        if self.seen and is_client_hello(c):
            hand_over(conn, find_protocol(b"ssl"))
            return Verdict.MORE
        self.seen += 1
        take_rest(c)
        return Verdict.MORE if self.seen < WATCHED_SEGMENTS else Verdict.DONE

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        return Verdict.MORE


# ---- lines of text -------------------------------------------------------------------------------------------------

cdef class Smtp(MayBecomeTls):
    """Mail transfer (RFC 5321)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        if starts(&c, b"EHLO ", 5) or starts(&c, b"HELO ", 5):
            return Match.YES
        if left(&c) < 5 and (starts(&c, b"EHLO ", left(&c)) or starts(&c, b"HELO ", left(&c))):
            return Match.MAYBE
        return greeting(c, b"220", 3, b"smtp", 4)


cdef class Imap(MayBecomeTls):
    """Mail access (RFC 9051)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef Match match = greeting(c, b"* OK", 4, b"", 0)
        return greeting(c, b"* PREAUTH", 9, b"", 0) if match == Match.NO else match


cdef class Pop3(MayBecomeTls):
    """Mail access (RFC 1939)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        return greeting(c, b"+OK ", 4, b"", 0)


cdef class Redis(Recognised):
    """Redis (RESP): an array of bulk strings."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef Span said
        if peek(&c, 0) != c'*' or not left(&c):
            return Match.MAYBE if not left(&c) else Match.NO
        said = line(&c)
        if c.short:
            return Match.MAYBE if left(&c) < 12 else Match.NO
        if not is_number(behind(said, 1)):
            return Match.NO
        if not left(&c):
            return Match.MAYBE
        if peek(&c, 0) != c'$':
            return Match.NO
        said = line(&c)
        if c.short:
            return Match.MAYBE
        return Match.YES if is_number(behind(said, 1)) else Match.NO


cdef bint is_number(Span s) noexcept nogil:
    cdef uint32_t i
    for i in range(s.n):
        if not c'0' <= byte_at(s, i) <= c'9':
            return False
    return 0 < s.n < 10


# ---- ASN.1 ---------------------------------------------------------------------------------------------------------

cdef uint32_t ber_head(Cursor* c, uint8_t tag) noexcept nogil:
    """Steps into an element (X.690, 8.1); its length, or 0 when it is not that element."""
    cdef uint32_t size, more
    if u8(c) != tag:
        return 0
    size = u8(c)
    if size & 0x80:
        more = size & 0x7f
        if more == 0 or more > 4:
            return 0
        size = 0
        while more:
            size = size << 8 | u8(c)
            more -= 1
    return size


cdef bint ber_small_number(Cursor* c, uint32_t* value) noexcept nogil:
    """An integer of one to four bytes."""
    cdef uint32_t size = ber_head(c, 2)
    if size == 0 or size > 4:
        return False
    value[0] = 0
    while size:
        value[0] = value[0] << 8 | u8(c)
        size -= 1
    return not c.short


cdef Match is_ldap(Cursor c) noexcept nogil:
    """A message number and an operation (RFC 4511, 4.1.1)."""
    cdef uint32_t number = 0
    cdef uint32_t size = ber_head(&c, 0x30)
    cdef uint8_t operation
    if c.short:
        return Match.MAYBE
    if size < 5 or not ber_small_number(&c, &number):
        return Match.MAYBE if c.short and size else Match.NO
    operation = u8(&c)
    if c.short:
        return Match.MAYBE
    return Match.YES if operation in (0x60, 0x61, 0x63, 0x64, 0x65, 0x66, 0x68, 0x4a, 0x6c, 0x6e, 0x73, 0x77,
                                      0x78) else Match.NO


cdef class Ldap(MayBecomeTls):
    """Directory access over TCP (RFC 4511)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        return is_ldap(c)


cdef class DatagramLdap(Recognised):
    """Directory access (RFC 4511); over UDP as Active Directory asks for domain controllers."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        return Match.YES if is_ldap(c) == Match.YES else Match.NO


cdef class Snmp(Recognised):
    """Network management (RFC 3416, RFC 3412)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t version = 0
        if not ber_head(&c, 0x30) or not ber_small_number(&c, &version):
            return Match.NO
        if version <= 1:
            return Match.YES if peek(&c, 0) == 4 else Match.NO
        return Match.YES if version == 3 and peek(&c, 0) == 0x30 else Match.NO


cdef Match is_kerberos(Cursor c) noexcept nogil:
    """An application's tag, a sequence, and protocol version 5 (RFC 4120, 5.4 and 5.9)."""
    cdef uint8_t tag = peek(&c, 0), first
    cdef uint32_t version = 0
    if tag not in (0x6a, 0x6b, 0x6c, 0x6d, 0x7e):
        return Match.NO if left(&c) else Match.MAYBE
    if not ber_head(&c, tag) or not ber_head(&c, 0x30):
        return Match.MAYBE if c.short else Match.NO
    first = peek(&c, 0)
    if not left(&c):
        return Match.MAYBE
    if first not in (0xa0, 0xa1) or not ber_head(&c, first) or not ber_small_number(&c, &version):
        return Match.MAYBE if c.short else Match.NO
    return Match.YES if version == 5 else Match.NO


cdef class Kerberos(Recognised):
    """Kerberos 5 (RFC 4120)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        return Match.YES if is_kerberos(c) == Match.YES else Match.NO


cdef class StreamKerberos(Recognised):
    """Kerberos 5 over TCP, each message behind its length (RFC 4120, 7.2.2)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t size = u32(&c)
        if c.short:
            return Match.MAYBE if peek(&c, 0) == 0 else Match.NO
        return is_kerberos(c) if 16 < size < 65536 else Match.NO


# ---- binary --------------------------------------------------------------------------------------------------------

cdef class Smb(Recognised):
    """Windows file sharing, versions 1 to 3 (MS-SMB2, 2.1)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        if left(&c) < 8:
            return Match.MAYBE if peek(&c, 0) == 0 else Match.NO
        pass_over(&c, 4)
        return Match.YES if starts(&c, b"\xffSMB", 4) or starts(&c, b"\xfeSMB", 4) else Match.NO


cdef class Rdp(MayBecomeTls):
    """Remote desktop: a connection request or its confirmation (MS-RDPBCGR, 2.2.1.1)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t size
        cdef uint8_t kind
        if u16(&c) != 0x0300 and not c.short:
            return Match.NO
        size = u16(&c)
        pass_over(&c, 1)
        kind = u8(&c)
        if c.short:
            return Match.MAYBE
        return Match.YES if 11 <= size < 512 and kind in (0xe0, 0xd0) else Match.NO


cdef class MySql(MayBecomeTls):
    """MySQL and MariaDB: the server's greeting, protocol version 10."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t i, size = peek(&c, 0) | <uint32_t>peek(&c, 1) << 8 | <uint32_t>peek(&c, 2) << 16
        if left(&c) < 8:
            return Match.MAYBE if left(&c) < 5 or peek(&c, 4) == 10 else Match.NO
        if peek(&c, 3) or peek(&c, 4) != 10 or size < 30 or size > 1024 or not c'0' <= peek(&c, 5) <= c'9':
            return Match.NO
        for i in range(5, 40):
            if peek(&c, i) == 0:
                return Match.YES
            if not 32 < peek(&c, i) < 127:
                return Match.NO
        return Match.NO


cdef class MongoDb(Recognised):
    """MongoDB's wire protocol: a head of 16 bytes, little-endian."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t size, code
        if left(&c) < 16:
            return Match.MAYBE if left(&c) < 4 or peek(&c, 3) < 3 else Match.NO
        size, code = le32(&c, 0), le32(&c, 12)
        if size < 21 or size > LONGEST_MONGO or code not in (1, 2004, 2012, 2013):
            return Match.NO
        return Match.YES if code == 1 or (le32(&c, 8) == 0) == (code == 2004 or is_orig) or code == 2013 else Match.NO


cdef uint32_t le32(const Cursor* c, uint32_t at) noexcept nogil:
    return (peek(c, at) | <uint32_t>peek(c, at + 1) << 8 | <uint32_t>peek(c, at + 2) << 16
            | <uint32_t>peek(c, at + 3) << 24)


cdef class Kafka(MayBecomeTls):
    """Kafka: a request with its size, kind, version, number and the client's name."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t size = u32(&c), kind = u16(&c), version = u16(&c), name, i
        u32(&c)
        name = u16(&c)
        if c.short:
            return Match.MAYBE if size < LONGEST_KAFKA and kind < 100 and version < 20 else Match.NO
        if size > LONGEST_KAFKA or kind > 100 or version > 20 or name == 0 or name > 255 or size < 10 + name:
            return Match.NO
        if left(&c) < name:
            return Match.MAYBE
        for i in range(name):
            if not 32 <= peek(&c, i) < 127:
                return Match.NO
        return Match.YES


cdef class Ntp(Recognised):
    """Network time (RFC 5905): certain enough at its own port alone."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint8_t first = peek(&c, 0)
        if left(&c) < NTP_SIZE or not 1 <= (first >> 3 & 7) <= 4 or not 1 <= (first & 7) <= 7:
            return Match.NO
        return Match.MAYBE


for kind, name, ports in (
    (Smtp, "smtp", (25, 587, 2525)), (Imap, "imap", (143,)), (Pop3, "pop3", (110,)),
    (Smb, "smb", (445, 139)), (Rdp, "rdp", (3389,)), (MySql, "mysql", (3306,)), (Redis, "redis", (6379,)),
    (MongoDb, "mongodb", (27017,)), (Kafka, "kafka", (9092,)),
):
    register(kind, name=name, schema=None, ports=ports)
for kind, over_tcp, name, ports in (
    (DatagramLdap, Ldap, "ldap", (389, 3268)), (Kerberos, StreamKerberos, "kerberos", (88,)),
    (Ntp, None, "ntp", (123,)), (Snmp, None, "snmp", (161, 162)),
):
    register(kind, over_tcp=over_tcp, name=name, schema=None, transport="udp", ports=ports)
