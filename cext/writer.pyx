"""Records → encoded bytes, by kind, with the identity of their flow in front.

The identity (uid, four-tuple, envelope) is the same for all records of a flow.  It is encoded once and kept in a small
direct-mapped cache: an HTTP record costs a copy instead of two addresses and a dozen keys.  So is what is the same for
all flows of an envelope.
"""
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strlen

from cext.buffer cimport append, reserve
from cext.packet cimport HAS_ATTACHMENT, HAS_GCP, HAS_GENEVE, HAS_GWLB, HAS_VANTAGE, HAS_VXLAN, Envelope
from cext.record cimport Schema, clear, put_addr, put_number, put_text, put_word
from cext.to_json cimport json_fields, json_line
from cext.to_msgpack cimport msgpack_fields, msgpack_map
from cext.types cimport Span, same_addr, span
from cext.wire cimport be64, mix64

cdef Schema IDENTITY = Schema("", "What every record of a flow says: which flow, and where it was seen.")
cdef int UID = IDENTITY.text("uid", "Name of the flow, in every record of it; the same in every run with one seed.",
                             source="Zeek")
cdef int ORIG_H = IDENTITY.addr("id.orig_h", "Address of the originator.", source="RFC 791, 3.1; RFC 8200, 3")
cdef int ORIG_P = IDENTITY.port("id.orig_p", "Port of the originator; for ICMP the type.",
                                source="RFC 9293, 3.1; RFC 768; RFC 792")
cdef int RESP_H = IDENTITY.addr("id.resp_h", "Address of the responder.", source="RFC 791, 3.1; RFC 8200, 3")
cdef int RESP_P = IDENTITY.port("id.resp_p", "Port of the responder; for ICMP the answering type, or the code.",
                                source="RFC 9293, 3.1; RFC 768; RFC 792")
cdef int VXLAN_VNI = IDENTITY.count("id.ctx.vxlan_vni", "VXLAN network identifier of the mirror's envelope.",
                                    source="RFC 7348, 5")
cdef int GENEVE_VNI = IDENTITY.count("id.ctx.geneve_vni", "GENEVE network identifier of the mirror's envelope.",
                                     source="RFC 8926, 3.4")
cdef int TENANT = IDENTITY.text("tenant", "Address space that the flow belongs to, where a tenant map names it.",
                                source="the tenant map")
cdef int ACCOUNT = IDENTITY.text("account", "Cloud account of the tenant, where a tenant map names it.",
                                 source="the tenant map")
cdef int VPC = IDENTITY.text("vpc", "Virtual network of the tenant, where a tenant map names it.",
                             source="the tenant map")
cdef int VANTAGE = IDENTITY.addr("vantage", "Outer source address: the mirrored interface that first saw the flow.",
                                 source="the mirror's envelope")
cdef int GWLB_ENDPOINT = IDENTITY.text("gwlb_endpoint", "Gateway load balancer endpoint (GENEVE option 0x0108, 1).",
                                       source="AWS, Gateway Load Balancer")
cdef int GWLB_ATTACHMENT = IDENTITY.text("gwlb_attachment", "Gateway load balancer attachment (option 0x0108, 2).",
                                         source="AWS, Gateway Load Balancer")
cdef int GCP_NETWORK = IDENTITY.count("gcp_network", "Google's network cookie (GENEVE option 0x0132, 1).",
                                      source="Google Cloud, Network Security Integration")
cdef int GCP_ENDPOINT = IDENTITY.text("gcp_endpoint", "Google's cookie of the mirrored interface (option 0x0132, 2).",
                                      source="Google Cloud, Network Security Integration")
cdef int TUNNEL_DEPTH = IDENTITY.count("tunnel_depth", "Tunnels around the flow that are not the mirror's own.",
                                       source="packets")
cdef int TUNNEL_VNI = IDENTITY.count("tunnel_vni", "VXLAN or GENEVE network identifier of the innermost of them.",
                                     source="RFC 7348, 5; RFC 8926, 3.4")

cdef int TWIN_UID = IDENTITY.text("twin_uid", "Of a flow that another tenant's mirror session shows, too, and showed "
                                  "first: its uid there.", source="packets")

IDENTITY_FIELDS = IDENTITY.fields
ENVELOPE_FIELDS = {field.name for field in IDENTITY.fields[VXLAN_VNI:TUNNEL_DEPTH]}

cdef Schema WEIRD = Schema("weird", "Odd enough to tell: legal or not, the flow went on.")
cdef int WEIRD_NAME = WEIRD.text("name", "What was odd, in snake_case.")
cdef int WEIRD_SOURCE = WEIRD.text("source", "Protocol whose parser found it.")

from cext.parser cimport HTTP_HEADERS, HTTP_SHA256, NOBODY, SECRETS, SQL_SHAPES, protocol

import binascii
import hashlib

cdef Buffer NOTHING                # all zero
cdef const char* HEX = "0123456789abcdef"
cdef const char* BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base64_decoded(data):
    """The bytes, or none when the text is not Base64 (RFC 4648, 4)."""
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        return b""


ANSWERS = {
    b"sha256_hex": lambda data: hashlib.sha256(data).hexdigest().encode(),
    b"md5_hex": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest().encode(),
    b"sha256": lambda data: hashlib.sha256(data).digest(),
    b"sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    b"sha256_base64": lambda data: binascii.b2a_base64(hashlib.sha256(data).digest(), newline=False),
    b"base64_decoded": base64_decoded,
}


cdef class Writer(Sink):
    """Encodes records into buffers that the worker's owner drains."""

    def __cinit__(self):
        self.cache = <Cached*>calloc(CACHED, sizeof(Cached))
        if self.cache == NULL:
            raise MemoryError("identity cache")

    def __init__(self, Decap decap, *, str format="json", bint secrets=False, bint by_kind=False, only=None, int seed=0,
                 tenant_names=None, Networks local=None, bint sql_shapes=False, bint http_headers=False,
                 bint http_sha256=False, Told told=None):
        """``only``: names of the kinds to write, None for all.  ``tenant_names``: tenant number → (name, account, VPC)
        as bytes; it may grow.  ``local``: the local networks.  ``sql_shapes``: no literal of SQL is written.
        ``http_headers``: headers with their values; ``http_sha256``: hashes of bodies.  ``told``: what several writers
        have told, one for all."""
        cdef bytes key = hashlib.sha256(b"cloudmri uid %d" % seed).digest()
        self.decap, self.weirds, self.answers = decap, {}, ANSWERS
        self.local = Networks() if local is None else local
        self.told = Told() if told is None else told
        memcpy(self.seed, <const char*>key, 16)
        self.change(format=format, secrets=secrets, by_kind=by_kind, only=only, tenant_names=tenant_names,
                    sql_shapes=sql_shapes, http_headers=http_headers, http_sha256=http_sha256)

    def __dealloc__(self):
        cdef int i
        for i in range(MOST_KINDS):
            free(self.buffers[i].p)
            free(self.spares[i].p)
        free(self.scratch.p)
        free(self.cache)

    # ---- Sink ------------------------------------------------------------------------------------------------------

    cdef void write(self, Conn* conn, const Layout* layout, Record* r) noexcept nogil:
        self.put(conn.flow, layout, r)

    cdef void weird(self, Conn* conn, const char* name) noexcept nogil:
        cdef Record r
        self.count_weird(name)
        clear(&r)
        r.ts = conn.ts
        put_word(&r, WEIRD_NAME, name, <uint32_t>strlen(name))
        if conn.protocol != NOBODY:
            put_word(&r, WEIRD_SOURCE, protocol(conn.protocol).name, <uint32_t>strlen(protocol(conn.protocol).name))
        self.put(conn.flow, &WEIRD.layout, &r)

    cdef void count_weird(self, const char* name) noexcept with gil:
        cdef bytes key = name
        self.weirds[key] = self.weirds.get(key, 0) + 1

    cdef uint32_t ask(self, const char* kind, const uint8_t* p, uint32_t n, uint8_t* answer,
                      uint32_t room) noexcept with gil:
        cdef bytes said
        cdef uint32_t size
        self.asked += 1
        said = self.answers[<bytes>kind]((<const char*>p)[:n])
        size = <uint32_t>len(said)
        if size > room:
            return 0
        memcpy(answer, <const char*>said, size)
        return size

    cdef bint is_news(self, const uint8_t* key, uint32_t n, Time ts) noexcept nogil:
        return self.told.is_news(key, n, ts)

    cdef bint is_local(self, const uint8_t* addr) noexcept nogil:
        return self.local.contain(addr)

    # ---- encoding --------------------------------------------------------------------------------------------------

    cdef void put(self, Flow* f, const Layout* layout, Record* r) noexcept nogil:
        """One record of a flow."""
        cdef Buffer identity
        cdef uint32_t count = 0
        if not (self.wanted >> layout.id) & 1:
            return
        identity = self.identity(f, &count)
        self.encode(layout, r, &identity, count)

    cdef void write_alone(self, const Layout* layout, Record* r) noexcept nogil:
        """One record that belongs to no flow."""
        self.scratch.n = 0
        self.encode(layout, r, &self.scratch, 0)

    cdef void write_of_envelope(self, uint32_t envelope, const Layout* layout, Record* r) noexcept nogil:
        """One record of a mirror session."""
        cdef uint32_t count = 0
        self.scratch.n = 0
        if self.render_envelope(envelope, &count):
            self.encode(layout, r, &self.scratch, count)

    cdef void encode(self, const Layout* layout, Record* r, const Buffer* identity, uint32_t count) noexcept nogil:
        """One record behind an encoded identity that has so many keys."""
        cdef Buffer* out = &self.buffers[layout.id if self.by_kind else 0]
        cdef size_t before = out.n
        cdef bint done
        if not (self.wanted >> layout.id) & 1:
            return
        if self.msgpack:
            done = msgpack_map(out, layout, r, identity, count, self.secrets)
        else:
            done = json_line(out, layout, r, identity, self.secrets)
        self.records[layout.id] += done
        self.lost += not done
        self.pending += out.n - before

    cdef Buffer identity(self, Flow* f, uint32_t* count) noexcept nogil:
        """The encoded identity of a flow: borrowed, until the next call."""
        cdef Cached* c = &self.cache[f.number & (CACHED - 1)]
        cdef Buffer b
        if c.size and c.hash == f.hash and c.first == f.first and c.number == f.number and c.flips == f.flips and (
                c.envelope == f.envelope and c.is_twin == f.is_twin and same_addr(&c.orig_h, &f.orig_h)
                and same_addr(&c.resp_h, &f.resp_h)):
            b.p, b.n, b.room = c.bytes, c.size, 0
            count[0] = c.count
            return b
        if not self.render_flow(f, count):
            self.scratch.n = count[0] = 0
        if self.scratch.n <= CACHED_SIZE:
            memcpy(c.bytes, self.scratch.p, self.scratch.n)
            c.hash, c.first, c.number, c.flips = f.hash, f.first, f.number, f.flips
            c.envelope, c.orig_h, c.resp_h, c.is_twin = f.envelope, f.orig_h, f.resp_h, f.is_twin
            c.size, c.count = <uint32_t>self.scratch.n, count[0]
        return self.scratch

    cdef bint render_flow(self, Flow* f, uint32_t* count) noexcept nogil:
        """Encodes a flow's identity into scratch.  False: memory is out."""
        cdef uint8_t uid[UID_SIZE]
        cdef uint8_t twin[UID_SIZE]
        cdef Record r
        self.scratch.n = count[0] = 0
        clear(&r)
        self.uid(f, f.uid_tenant, f.first, uid)
        put_text(&r, UID, span(uid, UID_SIZE))
        put_addr(&r, ORIG_H, &f.orig_h)
        put_number(&r, ORIG_P, f.orig_p)
        put_addr(&r, RESP_H, &f.resp_h)
        put_number(&r, RESP_P, f.resp_p)
        if not self.render(&r, count) or not self.render_envelope(f.envelope, count):
            return False
        clear(&r)
        if f.tunnel_depth:
            put_number(&r, TUNNEL_DEPTH, f.tunnel_depth)
        if f.tunnel_vni:
            put_number(&r, TUNNEL_VNI, f.tunnel_vni)
        if f.is_twin:              # the same ends: only tenant and time tell the two apart
            self.uid(f, f.twin_tenant, f.twin_first, twin)
            put_text(&r, TWIN_UID, span(twin, UID_SIZE))
        return not r.present or self.render(&r, count)

    cdef bint render_envelope(self, uint32_t number, uint32_t* count) noexcept nogil:
        """The same of an envelope, behind what is there.  Flows come and go; their envelopes are few, and encoded
        once."""
        cdef Wrapping* known = &self.wrappings[number & (WRAPPINGS - 1)]
        cdef size_t before = self.scratch.n
        cdef uint32_t keys = count[0]
        cdef uint8_t hex[64]
        cdef Record r
        if known.known and known.number == number:
            if not reserve(&self.scratch, known.size):
                return False
            append(&self.scratch, known.bytes, known.size)
            count[0] += known.count
            return True
        clear(&r)
        self.put_envelope(&r, number, hex)
        if not self.render(&r, count):
            return False
        if self.scratch.n - before <= WRAPPING_SIZE:
            known.known, known.number, known.count = True, number, count[0] - keys
            known.size = <uint32_t>(self.scratch.n - before)
            memcpy(known.bytes, self.scratch.p + before, known.size)
        return True

    cdef bint render(self, Record* r, uint32_t* count) noexcept nogil:
        """Encodes identity fields behind what is in scratch."""
        if self.msgpack:
            return msgpack_fields(&self.scratch, &IDENTITY.layout, r, True, count)
        return json_fields(&self.scratch, &IDENTITY.layout, r, True)

    cdef void put_envelope(self, Record* r, uint32_t number, uint8_t* hex) noexcept nogil:
        """What is known of where a packet was mirrored; ``hex``: 64 bytes of room."""
        cdef const Envelope* e = &self.decap.envelopes[number]
        if e.has & HAS_VXLAN:
            put_number(r, VXLAN_VNI, e.vxlan_vni)
        if e.has & HAS_GENEVE:
            put_number(r, GENEVE_VNI, e.geneve_vni)
        if e.has & HAS_VANTAGE:
            put_addr(r, VANTAGE, &e.vantage)
        if e.has & HAS_GWLB:
            put_text(r, GWLB_ENDPOINT, hex_of(<const uint8_t*>&e.gwlb_endpoint, 8, hex, True))
        if e.has & HAS_ATTACHMENT:
            put_text(r, GWLB_ATTACHMENT, hex_of(<const uint8_t*>&e.gwlb_attachment, 8, hex + 16, True))
        if e.has & HAS_GCP:
            put_number(r, GCP_NETWORK, e.gcp_network)
            put_text(r, GCP_ENDPOINT, hex_of(e.gcp_endpoint.b, 16, hex + 32, False))
        if self.names_tenants:
            self.put_tenant(r, self.decap.tenants[number])

    cdef void put_tenant(self, Record* r, uint32_t tenant) noexcept with gil:
        cdef bytes name, account, vpc
        if tenant not in self.tenant_names:
            return
        name, account, vpc = self.tenant_names[tenant]
        put_word(r, TENANT, name, <uint32_t>len(name))
        if account:
            put_word(r, ACCOUNT, account, <uint32_t>len(account))
        if vpc:
            put_word(r, VPC, vpc, <uint32_t>len(vpc))

    cdef void uid(self, const Flow* f, uint32_t tenant, Time first, uint8_t* text) noexcept nogil:
        """C and 17 digits in base 62: a keyed hash of tenant, ends in either order, protocol and first time."""
        cdef uint64_t a = end_hash(self.seed, &f.orig_h, f.orig_p), b = end_hash(self.seed, &f.resp_h, f.resp_p)
        cdef uint64_t c = mix64(self.seed[0] ^ <uint64_t>first,
                                self.seed[1] ^ (<uint64_t>tenant << 32 | f.proto))
        cdef uint64_t high = mix64((a + b) ^ c, (a ^ b) ^ self.seed[1])
        cdef uint64_t low = mix64((a ^ b) ^ c ^ high, ~(a + b))
        cdef int i
        text[0] = c'C'
        for i in range(8):         # both halves at once: each digit of one waits for the digit before
            text[1 + i], text[10 + i] = BASE62[high % 62], BASE62[low % 62]
            high //= 62
            low //= 62
        text[9] = BASE62[high % 62]

    # ---- the owner's side ------------------------------------------------------------------------------------------

    def change(self, *, str format="json", bint secrets=False, bint by_kind=False, only=None, tenant_names=None,
               bint sql_shapes=False, bint http_headers=False, bint http_sha256=False):
        """From now on; the arguments as those of the writer.  All that was encoded is drained."""
        self.msgpack, self.secrets, self.by_kind = format == "msgpack", secrets, by_kind
        self.tenant_names, self.names_tenants = tenant_names, tenant_names is not None
        self.policy = ((SECRETS if secrets else 0) | (SQL_SHAPES if sql_shapes else 0)
                       | (HTTP_HEADERS if http_headers else 0) | (HTTP_SHA256 if http_sha256 else 0))
        self.wanted = 0
        for name, schema in Schema.registry.items():
            if only is None or name in only:
                self.wanted |= <uint64_t>1 << <int>schema.id
        memset(self.cache, 0, CACHED * sizeof(Cached))
        memset(self.wrappings, 0, sizeof(self.wrappings))

    def drain(self):
        """What was encoded since the last call, as (kind or None, memoryview) pairs, in the order of kinds."""
        cdef int i
        parts = []
        names = list(Schema.registry)
        for i in range(MOST_KINDS):
            if self.buffers[i].n:
                parts.append((names[i] if self.by_kind else None, memoryview(self.taken(i))))
        self.pending = 0
        return parts

    cdef object taken(self, int i):
        """What is in a buffer.  Trick "lent, not copied": what fills it well goes away in it, and a spare one takes its
        place, which it will be itself when nobody has the bytes any more."""
        cdef Buffer* b = &self.buffers[i]
        cdef Encoded lent
        cdef bytes few
        if b.n < b.room // 4:
            few = (<const char*>b.p)[:b.n]
            b.n = 0
            return few
        lent = Encoded.__new__(Encoded)
        lent.bytes, lent.writer, lent.kind = b[0], self, i
        b[0], self.spares[i] = self.spares[i], NOTHING
        return lent

    def counters(self):
        """Records written, by kind, and weirds, by name."""
        names = list(Schema.registry)
        return ({names[i]: self.records[i] for i in range(len(names)) if self.records[i]},
                {name.decode(): n for name, n in self.weirds.items()})


cdef class Encoded:
    """Encoded records, for as long as somebody holds them."""

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.bytes.p, <Py_ssize_t>self.bytes.n, True, flags)

    def __dealloc__(self):
        if self.writer is not None and self.writer.spares[self.kind].p == NULL:
            self.bytes.n = 0
            self.writer.spares[self.kind] = self.bytes
        else:
            free(self.bytes.p)


cdef inline uint64_t end_hash(const uint64_t* seed, const Addr* a, uint16_t port) noexcept nogil:
    return mix64(seed[0] ^ be64(a.b), seed[1] ^ be64(a.b + 8) ^ (<uint64_t>port << 32))


cdef Span hex_of(const uint8_t* p, int n, uint8_t* text, bint number) noexcept nogil:
    """Hex digits of n bytes; ``number``: of a number in the machine's byte order."""
    cdef int i
    cdef uint64_t value
    memcpy(&value, p, 8)
    for i in range(n):
        text[2 * i] = HEX[(value >> (8 * (n - 1 - i)) + 4) & 15 if number else p[i] >> 4]
        text[2 * i + 1] = HEX[(value >> (8 * (n - 1 - i))) & 15 if number else p[i] & 15]
    return span(text, 2 * n)
