"""DNS over UDP and TCP, with mDNS, LLMNR and NetBIOS names: what was asked, what was answered (RFC 1035).

One record a question, written when its answer has come, else at the end.  Answers pair with questions by the
transaction's number, the oldest first.  Answers of the usual types are written as Zeek writes them.  Left out on
purpose: what is inside of key, signature and service-binding data.

    question ──▶ waits ──┬─ answer with its number ──▶ record
                         └─ end of the flow ─────────▶ record without an answer
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cext.cursor cimport (Cursor, Span, behind, byte_at, equals, left, lower, part, pass_over, span, take, u8, u16, u32,
                          within)
from cext.parser cimport Conn, Match, Parser, Reason, Verdict, confirm, emit_draft, flip_roles, need, weird
from cext.record cimport (Draft, Schema, free_draft, get_text, is_set, keep_count, keep_item, keep_text, new_draft,
                          put_number, put_word)
from cext.text cimport LONGEST_ADDR, put_address, put_decimal
from cext.types cimport Addr, set_v4, set_v6
from parsers.shared.names cimport LONGEST_UNKNOWN, NameTable

from cext.parser import register
from parsers.shared.dns_names import CLASSES, NETBIOS_OPCODES, OPCODES, RCODES, TYPES

cdef Schema DNS = Schema("dns", "Questions to name servers and their answers.")
cdef int PROTO = DNS.text("proto", "Transport: udp or tcp.", max=3)
cdef int TRANS_ID = DNS.count("trans_id", "Number that the client gave the question (RFC 1035, 4.1.1).")
cdef int RTT = DNS.interval("rtt", "From the question to the first packet of its answer.")
cdef int QUERY = DNS.text("query", "Name that was asked for, in lower case; of NetBIOS, decoded.", max=512)
cdef int QCLASS = DNS.count("qclass", "Class of the question.")
cdef int QCLASS_NAME = DNS.text("qclass_name", "Name of the class.", max=24)
cdef int QTYPE = DNS.count("qtype", "Type of the question (RFC 1035, 3.2.3, and the IANA registry).")
cdef int QTYPE_NAME = DNS.text("qtype_name", "Name of the type.", max=24)
cdef int RCODE = DNS.count("rcode", "Response code of the answer.")
cdef int RCODE_NAME = DNS.text("rcode_name", "Name of the response code.", max=24)
cdef int AA = DNS.bool("AA", "The answer is authoritative.")
cdef int TC = DNS.bool("TC", "The question was cut.")
cdef int RD = DNS.bool("RD", "The client wants recursion.")
cdef int RA = DNS.bool("RA", "The server offers recursion.")
cdef int Z = DNS.count("Z", "Three reserved bits of the question; since RFC 4035 the lower two are AD and CD.")
cdef int ANSWERS = DNS.texts("answers", "Resource data of the answer section, in words.", max=255)
cdef int TTLS = DNS.counts("TTLs", "Seconds that each of the answers may be kept.", max=255)
cdef int REJECTED = DNS.bool("rejected", "The server refused: it sent no resource record.")
cdef int OPCODE = DNS.count("opcode", "Kind of the message: 0 query, 4 notify, 5 update.")
cdef int OPCODE_NAME = DNS.text("opcode_name", "Name of the kind.", max=24)
cdef int AUTH = DNS.texts("auth", "Resource data of the authority section, in words.", max=64)
cdef int ADDL = DNS.texts("addl", "Resource data of the additional section, in words.", max=64)
cdef int RETRY = DNS.bool("retry", "The same question as the one before it, asked again.")
cdef int TRUNCATED = DNS.bool("truncated", "The answer was cut: the client has to ask over TCP (TC of the answer).")
cdef int AD = DNS.bool("AD", "The server vouches for the answer's signatures (RFC 4035, 3.2.3).")
cdef int EDNS_VERSION = DNS.count("edns_version", "Version of the client's EDNS (RFC 6891, 6.1.3).")
cdef int EDNS_UDP_SIZE = DNS.count("edns_udp_size", "Bytes of a datagram that the client can take (RFC 6891, 6.2.3).")
cdef int EDNS_DO = DNS.bool("edns_do", "The client wants signatures (RFC 3225).")
cdef int EDNS_SUBNET = DNS.text("edns_subnet", "Network on whose behalf is asked (RFC 7871).", max=48)

cdef NameTable types = NameTable(TYPES, "query-")
cdef NameTable classes = NameTable(CLASSES, "qclass-")
cdef NameTable rcodes = NameTable(RCODES, "rcode-")
cdef NameTable opcodes = NameTable(OPCODES, "opcode-")
cdef NameTable netbios_opcodes = NameTable(NETBIOS_OPCODES, "nb-opcode-")

cdef enum:
    HEADER = 12
    MOST_QUESTIONS = 25            # a message with more is something else (Zeek)
    MOST_WAITING = 250             # questions and answers of a flow without their counterpart
    MOST_JUMPS = 32                # compression pointers in a name
    NAME_ROOM = 512                # a name is at most 255 bytes long (RFC 1035, 2.3.4); its bytes may be anything
    WORDS_ROOM = 4096              # of one answer
    LONGEST_MESSAGE = 65535
    NETBIOS_PORT = 137
    UDP = 17
    CLASS_MASK = 0x7fff            # mDNS uses the upper bit (RFC 6762, 5.4 and 10.2)

cdef enum Type:
    TYPE_A = 1
    TYPE_NS = 2
    TYPE_CNAME = 5
    TYPE_SOA = 6
    TYPE_WKS = 11
    TYPE_PTR = 12
    TYPE_HINFO = 13
    TYPE_MX = 15
    TYPE_TXT = 16
    TYPE_AAAA = 28
    TYPE_LOC = 29
    TYPE_NBNS = 32
    TYPE_SRV = 33
    TYPE_NAPTR = 35
    TYPE_A6 = 38
    TYPE_OPT = 41
    TYPE_DS = 43
    TYPE_SSHFP = 44
    TYPE_RRSIG = 46
    TYPE_NSEC = 47
    TYPE_DNSKEY = 48
    TYPE_NSEC3 = 50
    TYPE_NSEC3PARAM = 51
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_SPF = 99
    TYPE_TKEY = 249
    TYPE_TSIG = 250
    TYPE_CAA = 257
    TYPE_BINDS = 65534

cdef enum Option:                  # IANA, DNS EDNS0 Option Codes
    CLIENT_SUBNET = 8

cdef enum Flag:
    FLAG_QR = 0x8000
    FLAG_AA = 0x0400
    FLAG_TC = 0x0200
    FLAG_RD = 0x0100
    FLAG_RA = 0x0080
    FLAG_AD = 0x0020


cdef struct Words:                 # what one answer says, while it is written
    uint32_t n
    uint8_t text[WORDS_ROOM]


cdef struct Name:
    uint32_t n
    uint8_t text[NAME_ROOM]


cdef struct Resource:              # one resource record (RFC 1035, 4.1.3)
    uint16_t type
    uint16_t cls
    uint32_t ttl
    Name owner
    Span data


cdef class DnsParser(Parser):
    """Names and addresses; mDNS, LLMNR and NetBIOS names too."""

    cdef Draft* first              # questions without an answer and answers without a question, the oldest first
    cdef Draft* last
    cdef uint32_t waiting
    cdef bint begun

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """Certain when the whole message reads well; at its own port a header is enough."""
        cdef Span message = take(&c, left(&c))
        if message.n < HEADER:
            return Match.NO
        return Match.YES if reads_well(message, True) == Match.YES else Match.MAYBE

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        self.message(conn, is_orig, take(c, left(c)))
        return Verdict.MORE

    cdef void message(self, Conn* conn, bint is_orig, Span message) noexcept nogil:
        """One message (RFC 1035, 4.1)."""
        cdef Cursor c = within(message)
        cdef uint16_t number = u16(&c), flags = u16(&c)
        cdef uint16_t counts[4]
        cdef int i
        cdef Draft* d
        for i in range(4):
            counts[i] = u16(&c)
        if c.short:
            weird(conn, b"DNS_truncated_len_lt_hdr_len")
            return
        if not self.begun and flags & FLAG_QR and is_orig and conn.flow.proto == UDP and not is_multicast(
                &conn.flow.resp_h):
            flip_roles(conn)       # an answer is the first that was seen
        self.begun = True
        d = self.counterpart(conn, number, flags)
        if d == NULL:
            return
        if counts[0] > MOST_QUESTIONS:
            weird(conn, b"DNS_Conn_count_too_large")
        else:
            self.sections(conn, d, flags, counts, message, &c)
        if d.round == 3:           # both the question and its answer were seen
            self.write(conn, d)

    cdef void sections(self, Conn* conn, Draft* d, uint16_t flags, const uint16_t* counts, Span message,
                       Cursor* c) noexcept nogil:
        cdef bint answers = flags & FLAG_QR
        cdef bint bare = answers and counts[1] + counts[2] + counts[3] == 0
        cdef Resource r
        cdef int section, _i
        for _i in range(counts[0]):
            if not self.question(conn, d, flags, bare, message, c):
                return
        for section in range(1, 4):
            if section == 2:
                confirm(conn)      # question and answers read well (Zeek's mark of what is DNS)
            for _i in range(counts[section]):
                if not read_resource(conn, message, c, &r):
                    return
                if r.type == TYPE_OPT:
                    if not answers:
                        keep_edns(d, &r)
                elif answers and not keep_resource(conn, d, flags, section, message, &r):
                    return

    cdef bint question(self, Conn* conn, Draft* d, uint16_t flags, bint bare, Span message, Cursor* c) noexcept nogil:
        """RFC 1035, 4.1.2.  False where the message cannot be read on."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Name name
        cdef uint16_t kind, cls
        cdef bint netbios = conn.flow.resp_p == NETBIOS_PORT
        if not read_name(conn, message, c, &name):
            return False
        if left(c) < 4:
            weird(conn, b"DNS_truncated_quest_too_short")
            return False
        kind, cls = u16(c), u16(c)
        if bare:
            put_number(&d.record, REJECTED, True)
        if flags & FLAG_QR:
            return True
        put_number(&d.record, RD, flags & FLAG_RD != 0)
        put_number(&d.record, TC, flags & FLAG_TC != 0)
        put_number(&d.record, Z, flags >> 4 & 7)
        put_number(&d.record, QTYPE, kind)
        put_number(&d.record, QCLASS, cls)
        keep_text(d, QCLASS_NAME, classes.find(cls, scratch))
        if netbios and kind == TYPE_SRV:
            put_word(&d.record, QTYPE_NAME, b"NBSTAT", 6)
        else:
            keep_text(d, QTYPE_NAME, types.find(kind, scratch))
        if netbios:
            decode_netbios(&name)
        keep_text(d, QUERY, span(name.text, name.n))
        if is_repeated(self.first, d):
            put_number(&d.record, RETRY, True)
        return True

    # ---- what waits for its counterpart ----------------------------------------------------------------------------

    cdef Draft* counterpart(self, Conn* conn, uint16_t number, uint16_t flags) noexcept nogil:
        """The record that a message belongs to: that of its question, of its answer, or a new one."""
        cdef uint32_t side = 2 if flags & FLAG_QR else 1
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Draft* d = self.first
        while d != NULL and (d.mark != number or d.round & side):
            d = d.after
        if d == NULL:
            d = self.new_waiting(conn, number, flags)
            if d == NULL:
                return NULL
        d.round |= side
        if flags & FLAG_QR:
            put_number(&d.record, RCODE, flags & 15)
            keep_text(d, RCODE_NAME, rcodes.find(flags & 15, scratch))
            if flags & FLAG_TC:
                put_number(&d.record, TRUNCATED, True)
            if flags & FLAG_AD:
                put_number(&d.record, AD, True)
        return d

    cdef Draft* new_waiting(self, Conn* conn, uint16_t number, uint16_t flags) noexcept nogil:
        """A new record at the end of the queue, or NULL when memory is out."""
        cdef uint8_t scratch[LONGEST_UNKNOWN]
        cdef Draft* d
        cdef uint32_t opcode = flags >> 11 & 15
        if self.waiting == MOST_WAITING:
            weird(conn, b"DNS_too_many_unanswered")
            self.write(conn, self.first)
        d = new_draft(DNS)
        if d == NULL:
            return NULL
        d.mark, d.record.ts = number, conn.ts
        put_word(&d.record, PROTO, b"udp" if conn.flow.proto == UDP else b"tcp", 3)
        put_number(&d.record, TRANS_ID, number)
        put_number(&d.record, OPCODE, opcode)
        if conn.flow.resp_p == NETBIOS_PORT:
            keep_text(d, OPCODE_NAME, netbios_opcodes.find(opcode, scratch))
        else:
            keep_text(d, OPCODE_NAME, opcodes.find(opcode, scratch))
        put_number(&d.record, AA, False)
        put_number(&d.record, TC, False)
        put_number(&d.record, RD, False)
        put_number(&d.record, RA, False)
        put_number(&d.record, Z, 0)
        put_number(&d.record, REJECTED, False)
        self.waiting += 1
        if self.last != NULL:
            self.last.after = d
        else:
            self.first = d
        self.last = d
        return d

    cdef void write(self, Conn* conn, Draft* d) noexcept nogil:
        """Out of the queue, and written."""
        cdef Draft* before = self.first
        if before == d:
            self.first = d.after
            before = NULL
        else:
            while before.after != d:
                before = before.after
            before.after = d.after
        if self.last == d:
            self.last = before
        self.waiting -= 1
        emit_draft(conn, d)
        free_draft(d)

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        while self.first != NULL:
            self.write(conn, self.first)


cdef class DnsStreamParser(DnsParser):
    """DNS over TCP: each message has its length before it (RFC 1035, 4.2.2)."""

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t size = u16(&c), here = left(&c)
        if size < HEADER and not c.short:
            return Match.NO
        if c.short or here < HEADER:
            return Match.MAYBE
        return reads_well(take(&c, size if size < here else here), size <= here)

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef Cursor head
        cdef uint32_t size
        while left(c) >= 2:
            head = c[0]
            size = u16(&head)
            if left(&head) < size:
                need(conn, is_orig, 2 + size)
                break
            pass_over(c, 2)
            self.message(conn, is_orig, take(c, size))
        return Verdict.MORE

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """Where the next message begins cannot be told."""
        return Verdict.DONE


# ---- messages ------------------------------------------------------------------------------------------------------

cdef Match reads_well(Span message, bint whole) noexcept nogil:
    """YES when a message has one plausible question, and ends where its counts say; of one that is not ``whole``
    the question alone is looked at."""
    cdef Cursor c = within(message)
    cdef uint16_t flags, kind, cls
    cdef uint16_t counts[4]
    cdef uint32_t i, _i
    cdef Name name
    cdef Resource r
    pass_over(&c, 2)
    flags = u16(&c)
    for i in range(4):
        counts[i] = u16(&c)
    if c.short or counts[0] != 1 or flags & 0x40 or (flags >> 11 & 15) > 6:
        return Match.NO
    if not flags & FLAG_QR and (flags & 15 or counts[1]) and (flags >> 11 & 15) == 0:
        return Match.NO
    if not read_name(NULL, message, &c, &name) or left(&c) < 4:
        return Match.NO if whole else Match.MAYBE
    kind, cls = u16(&c), u16(&c) & CLASS_MASK
    if cls not in (1, 3, 255) or kind == 0 or (kind > 300 and kind < 32768):
        return Match.NO
    if not whole:
        return Match.YES
    for _i in range(<uint32_t>counts[1] + counts[2] + counts[3]):
        if not read_resource(NULL, message, &c, &r):
            return Match.NO
    return Match.YES if left(&c) == 0 else Match.NO


cdef bint is_multicast(const Addr* a) noexcept nogil:
    """224.0.0.0/4 and ff00::/8."""
    return a.b[0] == 0xff or (a.b[0] == 0 and a.b[10] == 0xff and a.b[11] == 0xff and a.b[12] >> 4 == 14)


cdef bint is_repeated(const Draft* old, const Draft* d) noexcept nogil:
    """One of the questions that still wait has this number, name and type."""
    while old != d:
        if (old.mark == d.mark and old.round == 1
                and old.record.slots[QTYPE].number == d.record.slots[QTYPE].number
                and same(get_text(&old.record, QUERY), get_text(&d.record, QUERY))):
            return True
        old = old.after
    return False


cdef inline bint same(Span a, Span b) noexcept nogil:
    return equals(a, <const char*>b.p, b.n)


cdef bint read_name(Conn* conn, Span message, Cursor* c, Name* name) noexcept nogil:
    """A name with its compression (RFC 1035, 4.1.4), in lower case, without the last dot.  False: not readable.

    A pointer leads backwards only, so that it ends.  ``conn`` is told what is odd; NULL when only a probe asks.
    """
    cdef Cursor at = c[0]
    cdef uint32_t size, target, here, jumps = 0, end = message.n, i
    cdef Span label
    name.n = 0
    while True:
        here = end - left(&at)
        size = u8(&at)
        if at.short or size == 0:
            break
        if size & 0xc0 == 0xc0:
            target = (size & 0x3f) << 8 | u8(&at)
            if jumps == 0:
                c[0] = at
            jumps += 1
            if at.short or target >= here or jumps > MOST_JUMPS:
                odd(conn, b"DNS_label_forward_compress_offset" if target >= here else b"DNS_excessive_compression")
                c.short = jumps > MOST_JUMPS
                break
            at = within(part(message, target, here - target))
            end = here
            continue
        label = take(&at, size)
        if at.short:
            odd(conn, b"DNS_label_len_gt_pkt")
            return False
        if size > 63 and conn != NULL and conn.flow.resp_p != NETBIOS_PORT or (size > 63 and conn == NULL):
            odd(conn, b"DNS_label_too_long")
            return False
        if name.n + size + 1 > NAME_ROOM:
            odd(conn, b"DNS_label_len_gt_name_len")
            return False
        for i in range(size):
            name.text[name.n + i] = lower(byte_at(label, i))
        name.text[name.n + size] = c'.'
        name.n += size + 1
    if jumps == 0:
        c[0] = at
        c.short = False
    if name.n >= 255:
        odd(conn, b"DNS_NAME_too_long")
    if name.n >= 2:
        name.n -= 1
    return not c.short


cdef void odd(Conn* conn, const char* what) noexcept nogil:
    if conn != NULL:
        weird(conn, what)


cdef void decode_netbios(Name* name) noexcept nogil:
    """A NetBIOS name of 16 bytes, each in two letters from A to P (RFC 1001, 14.1); its last byte is a type."""
    cdef uint32_t i, n = 0, byte
    if name.n < 32:
        return
    for i in range(15):
        byte = (<uint32_t>name.text[2 * i] - c'a') << 4 | ((<uint32_t>name.text[2 * i + 1] - c'a') & 15)
        if byte <= 32 and byte > 2 or byte > 126 or byte == 0:
            break
        name.text[n] = <uint8_t>byte
        n += 1
    name.n = n


cdef bint read_resource(Conn* conn, Span message, Cursor* c, Resource* r) noexcept nogil:
    """RFC 1035, 4.1.3.  False where the message cannot be read on."""
    cdef uint32_t size
    if not read_name(conn, message, c, &r.owner):
        return False
    if left(c) < 4:
        odd(conn, b"DNS_truncated_ans_too_short")
        return False
    r.type, r.cls, r.ttl, size = u16(c), u16(c), u32(c), u16(c)
    r.data = take(c, size)
    if c.short:
        odd(conn, b"DNS_truncated_RR_rdlength_lt_len")
        return False
    return True


# ---- what is kept --------------------------------------------------------------------------------------------------

cdef bint keep_resource(Conn* conn, Draft* d, uint16_t flags, int section, Span message, Resource* r) noexcept nogil:
    """Adds a resource record to the vector of its section.  False where the message should not be read on."""
    cdef Words w
    cdef bint fine
    w.n = 0
    fine = say_resource(conn, message, r, &w)
    if section == 1 and is_said(r.type, conn.flow.resp_p):
        if not is_set(&d.record, QUERY):
            keep_text(d, QUERY, span(r.owner.text, r.owner.n))
        put_number(&d.record, AA, flags & FLAG_AA != 0)
        put_number(&d.record, RA, flags & FLAG_RA != 0)
        if not is_set(&d.record, RTT) and conn.ts != d.record.ts:
            put_number(&d.record, RTT, conn.ts - d.record.ts)
    if w.n and keep_item(d, ANSWERS if section == 1 else AUTH if section == 2 else ADDL, span(w.text, w.n)) and (
            section == 1):
        keep_count(d, TTLS, r.ttl)
    return fine


cdef void keep_edns(Draft* d, const Resource* r) noexcept nogil:
    """The client's OPT record: class and TTL have meanings of their own (RFC 6891, 6.1.2)."""
    cdef Cursor c = within(r.data), option
    cdef uint16_t code
    put_number(&d.record, EDNS_UDP_SIZE, r.cls)
    put_number(&d.record, EDNS_VERSION, r.ttl >> 16 & 0xff)
    put_number(&d.record, EDNS_DO, r.ttl >> 15 & 1)
    while left(&c) >= 4:
        code = u16(&c)
        option = within(take(&c, u16(&c)))
        if c.short:
            return
        if code == CLIENT_SUBNET:
            keep_subnet(d, &option)


cdef void keep_subnet(Draft* d, Cursor* c) noexcept nogil:
    """Family, length of the prefix, and as many bytes of the address as that takes (RFC 7871, 6)."""
    cdef uint16_t family = u16(c)
    cdef uint32_t bits = u8(c), i, room = 4 if family == 1 else 16
    cdef uint8_t wire[16]
    cdef Addr a
    cdef Words w
    cdef Span bytes
    pass_over(c, 1)
    bytes = take(c, (bits + 7) // 8)
    if c.short or family not in (1, 2) or bytes.n > room:
        return
    for i in range(16):
        wire[i] = byte_at(bytes, i)
    if family == 1:
        set_v4(&a, wire)
    else:
        set_v6(&a, wire)
    w.n = 0
    say_addr(&w, &a)
    say(&w, b"/", 1)
    say_number(&w, bits)
    keep_text(d, EDNS_SUBNET, span(w.text, w.n))


# ---- resource data in words ----------------------------------------------------------------------------------------

cdef inline void say(Words* w, const char* text, uint32_t n) noexcept nogil:
    if n > WORDS_ROOM - w.n:
        n = WORDS_ROOM - w.n
    memcpy(w.text + w.n, text, n)
    w.n += n


cdef inline void say_span(Words* w, Span s) noexcept nogil:
    say(w, <const char*>s.p, s.n)


cdef inline void say_name(Words* w, const Name* name) noexcept nogil:
    say(w, <const char*>name.text, name.n)


cdef void say_number(Words* w, uint64_t value) noexcept nogil:
    cdef uint8_t digits[24]
    say(w, <const char*>digits, <uint32_t>(put_decimal(digits, value) - digits))


cdef void say_addr(Words* w, const Addr* a) noexcept nogil:
    cdef uint8_t text[LONGEST_ADDR + 1]
    say(w, <const char*>text, <uint32_t>(put_address(text, a) - text))


cdef void say_hex(Words* w, Span s) noexcept nogil:
    cdef const char* digits = b"0123456789abcdef"
    cdef uint32_t i
    for i in range(s.n):
        say(w, digits + (byte_at(s, i) >> 4), 1)
        say(w, digits + (byte_at(s, i) & 15), 1)


cdef bint say_resource(Conn* conn, Span message, const Resource* r, Words* w) noexcept nogil:
    """The data of one resource record, as Zeek says it.  False where the rest of the message is not to be trusted."""
    cdef Cursor c = within(r.data)
    cdef uint16_t kind = r.type
    cdef Addr a
    if kind == TYPE_A:
        if r.data.n != 4:
            odd(conn, b"DNS_RR_bad_length")
            return False
        set_v4(&a, r.data.p)
        say_addr(w, &a)
    elif kind == TYPE_AAAA or kind == TYPE_A6:
        if r.data.n >= 16:
            set_v6(&a, r.data.p)
            say_addr(w, &a)
    elif kind in (TYPE_NS, TYPE_CNAME, TYPE_PTR, TYPE_SOA):
        return say_name_at(conn, message, r, 0, w)
    elif kind == TYPE_MX:
        return say_name_at(conn, message, r, 2, w)
    elif kind == TYPE_SRV:
        if conn.flow.resp_p != NETBIOS_PORT:
            return say_name_at(conn, message, r, 6, w)
    elif kind == TYPE_TXT or kind == TYPE_SPF:
        return say_strings(conn, b"TXT " if kind == TYPE_TXT else b"SPF ", &c, w)
    elif kind in (TYPE_DS, TYPE_DNSKEY, TYPE_SSHFP, TYPE_LOC, TYPE_RRSIG, TYPE_NSEC, TYPE_NSEC3, TYPE_NSEC3PARAM,
                  TYPE_BINDS, TYPE_NAPTR):
        return say_rarer(conn, message, r, &c, w)
    elif kind != TYPE_WKS and is_said(kind, conn.flow.resp_p):
        say(w, b"<unknown type=", 14)
        say_number(w, kind)
        say(w, b">", 1)
    return True


cdef bint is_said(uint16_t kind, uint16_t port) noexcept nogil:
    """Types that Zeek logs as answers; others leave rtt, AA and RA as they are, too."""
    return kind not in (TYPE_HINFO, TYPE_NBNS, TYPE_SVCB, TYPE_HTTPS, TYPE_TKEY, TYPE_TSIG, TYPE_CAA) and not (
        kind == TYPE_SRV and port == NETBIOS_PORT)


cdef bint say_rarer(Conn* conn, Span message, const Resource* r, Cursor* c, Words* w) noexcept nogil:
    """DNSSEC (RFC 4034, RFC 5155), SSHFP (RFC 4255), LOC (RFC 1876), NAPTR (RFC 3403)."""
    cdef uint16_t kind = r.type
    if kind == TYPE_RRSIG:
        say(w, b"RRSIG ", 6)
        say_number(w, u16(c))
        say(w, b" ", 1)
        return say_signer(conn, message, r, w)
    if kind == TYPE_NSEC:
        say(w, b"NSEC ", 5)
        say_name(w, &r.owner)
        say(w, b" ", 1)
        return say_name_at(conn, message, r, 0, w)
    if kind == TYPE_DS:
        pass_over(c, 2)
        say(w, b"DS ", 3)
        say_number(w, u8(c))
        say(w, b" ", 1)
        say_number(w, u8(c))
    elif kind == TYPE_DNSKEY:
        pass_over(c, 3)
        say(w, b"DNSKEY ", 7)
        say_number(w, u8(c))
    elif kind == TYPE_SSHFP:
        say(w, b"SSHFP: ", 7)
        say_hex(w, behind(r.data, 2))
    elif kind == TYPE_LOC:
        pass_over(c, 1)
        say(w, b"LOC:  ", 6)
        say_number(w, u8(c))
        say(w, b" ", 1)
        say_number(w, u8(c))
        say(w, b" ", 1)
        say_number(w, u8(c))
        c.short |= r.data.n < 15   # shorter data is none (Zeek)
    elif kind == TYPE_NSEC3:
        say(w, b"NSEC3", 5)
    elif kind == TYPE_NSEC3PARAM:
        say(w, b"NSEC3PARAM", 10)
    elif kind == TYPE_NAPTR:
        return say_naptr(conn, message, r, c, w)
    else:
        say(w, b"BIND9 signing signal", 20)
    if c.short:
        w.n = 0
    return not c.short


cdef Cursor inside(Span message, const Resource* r, uint32_t at) noexcept nogil:
    """A cursor ``at`` bytes into a resource's data that ends with the message, so that names can be told apart."""
    return within(behind(message, <uint32_t>(r.data.p - message.p) + at))


cdef bint say_name_at(Conn* conn, Span message, const Resource* r, uint32_t at, Words* w) noexcept nogil:
    cdef Cursor c = inside(message, r, at)
    cdef Name name
    if at > r.data.n or not read_name(conn, message, &c, &name):
        return False
    say_name(w, &name)
    return True


cdef bint say_signer(Conn* conn, Span message, const Resource* r, Words* w) noexcept nogil:
    """The signer's name stands behind 18 bytes (RFC 4034, 3.1)."""
    cdef uint32_t before = w.n
    if r.data.n < 18 or not say_name_at(conn, message, r, 18, w):
        w.n = 0
        return False
    if w.n == before:
        say(w, b"<Root>", 6)
    return True


cdef bint say_strings(Conn* conn, const char* head, Cursor* c, Words* w) noexcept nogil:
    """``TXT``, length and text of each string, with spaces between (RFC 1035, 3.3.14)."""
    cdef Span s
    while left(c):
        s = take(c, u8(c))
        if c.short:
            odd(conn, b"DNS_TXT_char_str_past_rdlen")
            return False
        if w.n:
            say(w, b" ", 1)
        say(w, head, 4)
        say_number(w, s.n)
        say(w, b" ", 1)
        say_span(w, s)
    return True


cdef bint say_naptr(Conn* conn, Span message, const Resource* r, Cursor* c, Words* w) noexcept nogil:
    cdef int _i
    cdef Span s
    say(w, b"NAPTR ", 6)
    for _i in range(2):
        say_number(w, u16(c))
        say(w, b" ", 1)
    for _i in range(3):
        s = take(c, u8(c))
        say_span(w, s)
        say(w, b" ", 1)
    if c.short:
        w.n = 0
        return False
    return say_name_at(conn, message, r, r.data.n - left(c), w)


register(DnsParser, over_tcp=DnsStreamParser, name="dns", schema=DNS, transport="udp",
         ports=(53, NETBIOS_PORT, 5353, 5355), idle_seconds=10, confirms=True, carry_max=2 + LONGEST_MESSAGE)
