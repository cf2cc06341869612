"""DNS over UDP and TCP, with mDNS, LLMNR and NetBIOS names: what was asked, what was answered (RFC 1035).

One record a question, written when its answer has come, else at the end.  Answers pair with questions by the
transaction's number, the oldest first.  Answers of the usual types are written as Zeek writes them.  Left out on
purpose: what is inside of key, signature and service-binding data.

    question ──▶ waits ──┬─ answer with its number ──▶ record
                         └─ end of the flow ─────────▶ record without an answer
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.cursor cimport Cursor, Span, byte_at, left, pass_over, same, span, take, u8, u16, within
from cext.parser cimport Conn, Match, Parser, Reason, Verdict, confirm, emit_draft, flip_roles, need, weird
from cext.record cimport (Draft, Drafts, Schema, free_draft, get_text, is_set, keep_count, keep_item, keep_text,
                          new_draft, put_number, put_text, put_word, queue_draft, unqueue_draft)
from cext.types cimport Addr, set_v4, set_v6
from parsers.shared.dns_message cimport (HEADER, NETBIOS_PORT, TYPE_OPT, TYPE_SRV, Name, Resource, Words,
                                         decode_netbios, is_said, read_name, read_owner, read_resource, say, say_addr,
                                         say_number, say_resource)
from parsers.shared.names cimport LONGEST_UNKNOWN, NameTable

from cext.parser import register
from parsers.shared.dns_names import CLASSES, NETBIOS_OPCODES, OPCODES, RCODES, TYPES

cdef Schema DNS = Schema("dns", "Questions to name servers and their answers.")
cdef int PROTO = DNS.text("proto", "Transport: udp or tcp.", max=3, source="RFC 1035, 4.2")
cdef int TRANS_ID = DNS.count("trans_id", "Number that the client gave the question.",
                              source="RFC 1035, 4.1.1")
cdef int RTT = DNS.interval("rtt", "From the question to the first packet of its answer.", source="packet times")
cdef int QUERY = DNS.text("query", "Name that was asked for, in lower case; of NetBIOS, decoded.", max=512,
                          source="RFC 1035, 4.1.2")
cdef int QCLASS = DNS.count("qclass", "Class of the question.", source="RFC 1035, 3.2.4")
cdef int QCLASS_NAME = DNS.text("qclass_name", "Name of the class.", max=24, source="RFC 1035, 3.2.4")
cdef int QTYPE = DNS.count("qtype", "Type of the question (RFC 1035, 3.2.3, and the IANA registry).",
                           source="RFC 1035, 3.2.2")
cdef int QTYPE_NAME = DNS.text("qtype_name", "Name of the type.", max=24, source="RFC 1035, 3.2.2")
cdef int RCODE = DNS.count("rcode", "Response code of the answer.", source="RFC 1035, 4.1.1")
cdef int RCODE_NAME = DNS.text("rcode_name", "Name of the response code.", max=24, source="RFC 1035, 4.1.1")
cdef int AA = DNS.bool("AA", "The answer is authoritative.", source="RFC 1035, 4.1.1")
cdef int TC = DNS.bool("TC", "The question was cut.", source="RFC 1035, 4.1.1")
cdef int RD = DNS.bool("RD", "The client wants recursion.", source="RFC 1035, 4.1.1")
cdef int RA = DNS.bool("RA", "The server offers recursion.", source="RFC 1035, 4.1.1")
cdef int Z = DNS.count("Z", "Three reserved bits of the question; since RFC 4035 the lower two are AD and CD.",
                       source="RFC 1035, 4.1.1")
cdef int ANSWERS = DNS.texts("answers", "Resource data of the answer section, in words.", max=255,
                             source="RFC 1035, 4.1.3")
cdef int TTLS = DNS.counts("TTLs", "Seconds that each of the answers may be kept.", max=255, source="RFC 1035, 4.1.3")
cdef int REJECTED = DNS.bool("rejected", "The server refused: it sent no resource record.", source="Zeek")
cdef int OPCODE = DNS.count("opcode", "Kind of the message: 0 query, 4 notify, 5 update.", source="RFC 1035, 4.1.1")
cdef int OPCODE_NAME = DNS.text("opcode_name", "Name of the kind.", max=24, source="RFC 1035, 4.1.1")
cdef int AUTH = DNS.texts("auth", "Resource data of the authority section, in words.", max=64, source="RFC 1035, 4.1.3")
cdef int ADDL = DNS.texts("addl", "Resource data of the additional section, in words.", max=64,
                          source="RFC 1035, 4.1.3")
cdef int RETRY = DNS.bool("retry", "The same question as the one before it, asked again.", source="packets")
cdef int TRUNCATED = DNS.bool("truncated", "The answer was cut: the client has to ask over TCP (TC of the answer).",
                              source="RFC 1035, 4.1.1")
cdef int AD = DNS.bool("AD", "The server vouches for the answer's signatures.",
                       source="RFC 4035, 3.2.3")
cdef int EDNS_VERSION = DNS.count("edns_version", "Version of the client's EDNS.",
                                  source="RFC 6891, 6.1.3")
cdef int EDNS_UDP_SIZE = DNS.count("edns_udp_size", "Bytes of a datagram that the client can take.",
                                   source="RFC 6891, 6.2.3")
cdef int EDNS_DO = DNS.bool("edns_do", "The client wants signatures.", source="RFC 3225, 3")
cdef int EDNS_SUBNET = DNS.text("edns_subnet", "Network on whose behalf is asked.", max=48,
                                source="RFC 7871, 6")

cdef NameTable types = NameTable(TYPES, "query-")
cdef NameTable classes = NameTable(CLASSES, "qclass-")
cdef NameTable rcodes = NameTable(RCODES, "rcode-")
cdef NameTable opcodes = NameTable(OPCODES, "opcode-")
cdef NameTable netbios_opcodes = NameTable(NETBIOS_OPCODES, "nb-opcode-")

cdef enum:
    MOST_QUESTIONS = 25            # a message with more is something else (Zeek)
    MOST_WAITING = 250             # questions and answers of a flow without their counterpart
    LONGEST_MESSAGE = 65535
    UDP = 17
    CLASS_MASK = 0x7fff            # mDNS uses the upper bit (RFC 6762, 5.4 and 10.2)

cdef enum Option:                  # IANA, DNS EDNS0 Option Codes
    CLIENT_SUBNET = 8

cdef enum Flag:
    FLAG_QR = 0x8000
    FLAG_AA = 0x0400
    FLAG_TC = 0x0200
    FLAG_RD = 0x0100
    FLAG_RA = 0x0080
    FLAG_AD = 0x0020


cdef class DnsParser(Parser):
    """Names and addresses; mDNS, LLMNR and NetBIOS names too."""

    cdef Drafts queue              # of questions without an answer and answers without a question
    cdef bint begun

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        """Certain when the whole message reads well; at its own port a header is enough."""
        cdef Span message = take(&c, left(&c))
        if message.n < HEADER:
            return Match.NO
        return Match.YES if reads_well(message, True) == Match.YES else Match.MAYBE

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        self.message(conn, is_orig, take(c, left(c)))
        return Verdict.MORE if self.queue.n else Verdict.REST

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
        if not self.begun and not conn.rested and flags & FLAG_QR and is_orig and conn.flow.proto == UDP and not (
                is_multicast(&conn.flow.resp_h)):
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
        cdef Name name
        cdef uint16_t kind, cls
        cdef bint netbios = conn.flow.resp_p == NETBIOS_PORT
        if not read_name(conn, message, c, NULL if flags & FLAG_QR else &name):
            return False
        if left(c) < 4:
            weird(conn, b"DNS_truncated_quest_too_short")
            return False
        kind, cls = u16(c), u16(c)
        if bare:
            put_number(d.record, REJECTED, True)
        if flags & FLAG_QR:
            return True
        put_number(d.record, RD, flags & FLAG_RD != 0)
        put_number(d.record, TC, flags & FLAG_TC != 0)
        put_number(d.record, Z, flags >> 4 & 7)
        put_number(d.record, QTYPE, kind)
        put_number(d.record, QCLASS, cls)
        keep_name(d, QCLASS_NAME, classes, cls)
        if netbios and kind == TYPE_SRV:
            put_word(d.record, QTYPE_NAME, b"NBSTAT", 6)
        else:
            keep_name(d, QTYPE_NAME, types, kind)
        if netbios:
            decode_netbios(&name)
        keep_text(d, QUERY, span(name.text, name.n))
        if is_repeated(self.queue.first, d):
            put_number(d.record, RETRY, True)
        return True

    # ---- what waits for its counterpart ----------------------------------------------------------------------------

    cdef Draft* counterpart(self, Conn* conn, uint16_t number, uint16_t flags) noexcept nogil:
        """The record that a message belongs to: that of its question, of its answer, or a new one."""
        cdef uint32_t side = 2 if flags & FLAG_QR else 1
        cdef Draft* d = self.queue.first
        while d != NULL and (d.mark != number or d.round & side):
            d = d.after
        if d == NULL:
            d = self.new_waiting(conn, number, flags)
            if d == NULL:
                return NULL
        d.round |= side
        if flags & FLAG_QR:
            put_number(d.record, RCODE, flags & 15)
            keep_name(d, RCODE_NAME, rcodes, flags & 15)
            if flags & FLAG_TC:
                put_number(d.record, TRUNCATED, True)
            if flags & FLAG_AD:
                put_number(d.record, AD, True)
        return d

    cdef Draft* new_waiting(self, Conn* conn, uint16_t number, uint16_t flags) noexcept nogil:
        """A new record at the end of the queue, or NULL when memory is out."""
        cdef Draft* d
        cdef uint32_t opcode = flags >> 11 & 15
        if self.queue.n == MOST_WAITING:
            weird(conn, b"DNS_too_many_unanswered")
            self.write(conn, self.queue.first)
        d = new_draft(DNS)
        if d == NULL:
            return NULL
        d.mark, d.record.ts = number, conn.ts
        put_word(d.record, PROTO, b"udp" if conn.flow.proto == UDP else b"tcp", 3)
        put_number(d.record, TRANS_ID, number)
        put_number(d.record, OPCODE, opcode)
        if conn.flow.resp_p == NETBIOS_PORT:
            keep_name(d, OPCODE_NAME, netbios_opcodes, opcode)
        else:
            keep_name(d, OPCODE_NAME, opcodes, opcode)
        put_number(d.record, AA, False)
        put_number(d.record, TC, False)
        put_number(d.record, RD, False)
        put_number(d.record, RA, False)
        put_number(d.record, Z, 0)
        put_number(d.record, REJECTED, False)
        queue_draft(&self.queue, d)
        return d

    cdef void write(self, Conn* conn, Draft* d) noexcept nogil:
        """Out of the queue, and written."""
        unqueue_draft(&self.queue, d)
        emit_draft(conn, d)
        free_draft(d)

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        while self.queue.first != NULL:
            self.write(conn, self.queue.first)


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
    cdef Resource r
    pass_over(&c, 2)
    flags = u16(&c)
    for i in range(4):
        counts[i] = u16(&c)
    if c.short or counts[0] != 1 or flags & 0x40 or (flags >> 11 & 15) > 6:
        return Match.NO
    if not flags & FLAG_QR and (flags & 15 or counts[1]) and (flags >> 11 & 15) == 0:
        return Match.NO
    if not read_name(NULL, message, &c, NULL) or left(&c) < 4:
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
        if (old.mark == d.mark and old.round == 1 and is_set(old.record, QTYPE)
                and old.record.slots[QTYPE].number == d.record.slots[QTYPE].number
                and same(get_text(old.record, QUERY), get_text(d.record, QUERY))):
            return True
        old = old.after
    return False


# ---- what is kept --------------------------------------------------------------------------------------------------

cdef bint keep_resource(Conn* conn, Draft* d, uint16_t flags, int section, Span message, Resource* r) noexcept nogil:
    """Adds a resource record to the vector of its section.  False where the message should not be read on."""
    cdef Words w
    cdef Name owner
    cdef bint fine
    w.n = 0
    fine = say_resource(conn, message, r, &w)
    if section == 1 and is_said(r.type, conn.flow.resp_p):
        if not is_set(d.record, QUERY):
            read_owner(message, r, &owner)
            keep_text(d, QUERY, span(owner.text, owner.n))
        put_number(d.record, AA, flags & FLAG_AA != 0)
        put_number(d.record, RA, flags & FLAG_RA != 0)
        if not is_set(d.record, RTT) and conn.ts > d.record.ts:
            put_number(d.record, RTT, conn.ts - d.record.ts)
    if w.n and keep_item(d, ANSWERS if section == 1 else AUTH if section == 2 else ADDL, span(w.text, w.n)) and (
            section == 1):
        keep_count(d, TTLS, r.ttl)
    return fine


cdef void keep_name(Draft* d, int field, NameTable names, uint32_t number) noexcept nogil:
    """What a number is called: a word of our own, or made of the number, which is copied."""
    cdef uint8_t scratch[LONGEST_UNKNOWN]
    cdef Span name = names.find(number, scratch)
    if <size_t>name.p - <size_t>scratch < LONGEST_UNKNOWN:
        keep_text(d, field, name)
    else:
        put_text(d.record, field, name)


cdef void keep_edns(Draft* d, const Resource* r) noexcept nogil:
    """The client's OPT record: class and TTL have meanings of their own (RFC 6891, 6.1.2)."""
    cdef Cursor c = within(r.data), option
    cdef uint16_t code
    put_number(d.record, EDNS_UDP_SIZE, r.cls)
    put_number(d.record, EDNS_VERSION, r.ttl >> 16 & 0xff)
    put_number(d.record, EDNS_DO, r.ttl >> 15 & 1)
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


register(DnsParser, over_tcp=DnsStreamParser, name="dns", schema=DNS, transport="udp",
         ports=(53, NETBIOS_PORT, 5353, 5355), idle_seconds=10, confirms=True, carry_max=2 + LONGEST_MESSAGE)
