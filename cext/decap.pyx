"""Outer frame → innermost Packet, or the reason why not.

Opens Ethernet (VLAN, QinQ, LLC/SNAP, FabricPath, MPLS, PPPoE), Linux cooked, raw and loopback links; IPv4, IPv6 with
its extension headers; VXLAN (RFC 7348), GENEVE (RFC 8926), GRE (RFC 2784, 2890; version 1 of RFC 2637), ERSPAN I to
III, IP in IP.  The outermost VXLAN, or a GENEVE and the VXLAN directly inside it, is the mirror's own envelope; deeper
ones are tunnels.  Checksums are not looked at: a mirror leaves them empty when it cuts a copy.

    link → ethertype → IP → transport ─┬→ Packet
      ▲                                └→ VXLAN | GENEVE | GRE | IP in IP ─┐
      └───────────────────── at most max_depth times ──────────────────────┘
"""
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from cext.fragments cimport LARGEST_DATAGRAM, LONGEST_HEADER, Datagram
from cext.layers cimport (BAD_IP, BAD_TRANSPORT, BAD_TUNNEL, ENVELOPES_FULL, ETHERTYPE_IPV4, FINISHED, FRAGMENT_BAD,
                          FRAGMENT_CUT, FRAGMENT_KEPT, GENEVE, GRE, IP, LINKTYPE_ETHERNET, PORT_GRE_IN_UDP, TOO_DEEP,
                          TRANSPORT, TRUNCATED_IP, TRUNCATED_TRANSPORT, VXLAN, destination_options, drop, extension,
                          finish, first_layer, here, icmp, is_geneve, is_gre_in_udp, is_port, is_vxlan, read_options,
                          routing, scale_of, step_over, tcp)
from cext.packet cimport (HAS_GCP, HAS_GENEVE, HAS_GWLB, HAS_VANTAGE, HAS_VXLAN, IPPROTO_AH, IPPROTO_DSTOPTS,
                          IPPROTO_FRAGMENT, IPPROTO_GRE, IPPROTO_HOPOPTS, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IPIP,
                          IPPROTO_IPV6, IPPROTO_ROUTING, IPPROTO_TCP, IPPROTO_UDP, NO_SCALE, NO_VLAN, SYN)
from cext.types cimport set_v4, set_v6
from cext.wire cimport be16, be24, be32, be64, mix64

import os

cdef enum:
    ENVELOPE_BUCKETS = 131072
    EMPTY = 0xffffffff
    USUAL_HEADERS = 34             # Ethernet and IPv4
    USUAL_MIRROR = 50              # … and UDP and VXLAN


cdef class Decap:
    """Opens frames.  Keeps the table of envelopes, the fragments and a counter for every reason to drop."""

    def __cinit__(self):
        cdef bytes key = os.urandom(8)
        memcpy(&self.key, <const uint8_t*>key, 8)
        self.key |= 1
        self.envelopes = <Envelope*>calloc(MOST_ENVELOPES, sizeof(Envelope))
        self.tenants = <uint32_t*>calloc(MOST_ENVELOPES, sizeof(uint32_t))
        self.buckets = <uint32_t*>calloc(ENVELOPE_BUCKETS, sizeof(uint32_t))
        if self.envelopes == NULL or self.tenants == NULL or self.buckets == NULL:
            raise MemoryError("table of envelopes")
        memset(self.buckets, 0xff, ENVELOPE_BUCKETS * sizeof(uint32_t))

    def __init__(self, tenant_of, *, vxlan_ports=(4789,), geneve_ports=(6081,), int max_depth=6,
                 bint open_tunnels=True, uint64_t fragment_bytes=16 << 20):
        """``tenant_of`` is called once for each new envelope, with a dict of what it says, and gives a number."""
        if len(vxlan_ports) > MOST_PORTS or len(geneve_ports) > MOST_PORTS:
            raise ValueError(f"at most {MOST_PORTS} ports for one kind of tunnel")
        self.tenant_of = tenant_of
        self.fragments = Fragments(fragment_bytes)
        self.max_depth, self.open_tunnels = max_depth, open_tunnels
        for i, port in enumerate(vxlan_ports):
            self.vxlan_ports[i] = port
        for i, port in enumerate(geneve_ports):
            self.geneve_ports[i] = port
        self.last = self.intern(NULL)
        for i in range(MIRRORS):
            self.mirrors[i].envelope = EMPTY

    def __dealloc__(self):
        free(self.envelopes)
        free(self.tenants)
        free(self.buckets)

    cdef bint open(self, const Frame* frame, Packet* out) noexcept nogil:
        """True when ``out`` describes a packet that a flow can take; else its Drop was counted."""
        return (self.steps == NULL and self.stride(frame, out)) or self.walk(frame, out)

    # ---- the usual frame at once -----------------------------------------------------------------------------------

    cdef bint stride(self, const Frame* frame, Packet* out) noexcept nogil:
        """Trick "stride": Ethernet and IPv4 as most frames have them, with TCP or UDP, bare or in VXLAN over the same,
        are told by a look at known places.  False for whatever is out of the ordinary: it is left to the walk, which
        would come to the same here.  All of ``out`` is written: it is not cleared before."""
        cdef const uint8_t* p = frame.p
        cdef uint32_t size = frame.captured
        if frame.link != LINKTYPE_ETHERNET or not is_usual(p, size):
            return False
        if p[23] == IPPROTO_UDP and size >= USUAL_MIRROR and is_port(self.vxlan_ports, be16(p + 36)):
            if be16(p + 16) != size - 14 or be16(p + 38) != size - USUAL_HEADERS or not p[42] & 0x08:
                return False       # padding, or not VXLAN
            p += USUAL_MIRROR
            size -= USUAL_MIRROR
            if not is_usual(p, size):
                return False
        if not (stride_tcp(p, size, out) if p[23] == IPPROTO_TCP else self.stride_udp(p, size, out)):
            return False
        out.envelope = self.usual_mirror(frame.p) if p != frame.p else 0
        if out.envelope == EMPTY:
            return False
        set_v4(&out.src, p + 26)
        set_v4(&out.dst, p + 30)
        out.ts, out.frame, out.has_link, out.ip, out.ip_bytes = frame.ts, p, True, p + 14, be16(p + 16)
        out.proto, out.one_way, out.vlan, out.inner_vlan = p[23], False, NO_VLAN, NO_VLAN
        out.tunnel_vni, out.tunnel_depth = 0, 0
        self.seal(out)
        return True

    cdef bint stride_udp(self, const uint8_t* p, uint32_t size, Packet* out) noexcept nogil:
        """What ``udp`` finds, of a usual frame that is no tunnel by its port; False for other protocols, too."""
        cdef const uint8_t* t = p + USUAL_HEADERS
        cdef uint32_t total = be16(p + 16), have = min(size - 14, total) - 20, said
        cdef uint16_t dport
        if p[23] != IPPROTO_UDP or have < 8:
            return False
        dport, said = be16(t + 2), be16(t + 4)
        if said < 8 or said > total - 20 or self.is_tunnel(dport):
            return False
        have = min(have, said)
        out.sport, out.dport, out.seq, out.ack = be16(t), dport, 0, 0
        out.flags, out.window, out.window_scale, out.sight = 0, 0, 0, 0
        out.payload, out.end, out.captured, out.claimed = t + 8, t + have, have - 8, said - 8
        return True

    cdef bint is_tunnel(self, uint16_t port) noexcept nogil:
        """True for a port of UDP behind which ``udp`` looks for one."""
        return is_port(self.vxlan_ports, port) or is_port(self.geneve_ports, port) or port == PORT_GRE_IN_UDP

    cdef uint32_t usual_mirror(self, const uint8_t* p) noexcept nogil:
        """Number of a usual frame's envelope; EMPTY when the table is full.  Most come from a mirror that was met."""
        cdef Envelope e
        cdef uint32_t vantage = be32(p + 26), vni = be24(p + 46)
        cdef Mirror* m = &self.mirrors[mix64(vantage, self.key ^ vni) & (MIRRORS - 1)]
        if m.vantage != vantage or m.vni != vni or m.envelope == EMPTY:
            memset(&e, 0, sizeof(e))
            e.vxlan_vni, e.has = vni, HAS_VXLAN | HAS_VANTAGE
            set_v4(&e.vantage, p + 26)
            m.vantage, m.vni, m.envelope = vantage, vni, self.intern(&e)
        return m.envelope

    # ---- any frame, step by step -----------------------------------------------------------------------------------

    cdef bint walk(self, const Frame* frame, Packet* out) noexcept nogil:
        cdef Walk w
        cdef Envelope envelope
        cdef Layer layer
        cdef int steps = 0
        memset(&envelope, 0, sizeof(envelope))
        memset(out, 0, sizeof(Packet))
        out.ts, out.frame, out.vlan, out.inner_vlan = frame.ts, frame.p, NO_VLAN, NO_VLAN
        w.p, w.end, w.out, w.envelope = frame.p, frame.p + frame.captured, out, &envelope
        w.ethertype, w.claimed, w.next, w.depth, w.in_mirror, w.drop = 0, 0, 0, 0, True, BAD_TUNNEL
        self.step_count = 0
        layer = first_layer(&w, frame.link)
        while layer < FINISHED:
            if self.steps != NULL and self.step_count < MOST_STEPS:
                self.steps[self.step_count].layer = layer
                self.steps[self.step_count].offset = <uint32_t>(w.p - frame.p)
                self.step_count += 1
            steps += 1
            layer = self.step(&w, layer) if steps <= MOST_STEPS else drop(&w, TOO_DEEP)
        if layer == FINISHED:
            out.end, out.envelope = w.end, self.intern(&envelope)
            if out.envelope != EMPTY:
                self.seal(out)
                return True
            w.drop = ENVELOPES_FULL
        self.count(w.drop)
        out.flags = <uint8_t>w.drop
        return False

    cdef Layer step(self, Walk* w, Layer layer) noexcept nogil:
        """Opens one layer; gives the next."""
        if layer == IP:
            return self.ip(w)
        if layer == TRANSPORT:
            return self.transport(w)
        return step_over(w, layer)

    cdef Layer ip(self, Walk* w) noexcept nogil:
        if here(w) < 1:
            return drop(w, TRUNCATED_IP)
        if not w.out.has_link:
            w.out.frame = w.p
        w.out.ip = w.p
        if w.p[0] >> 4 == 4:
            return self.ipv4(w)
        if w.p[0] >> 4 == 6:
            return self.ipv6(w)
        return drop(w, BAD_IP)

    cdef Layer ipv4(self, Walk* w) noexcept nogil:
        """RFC 791, 3.1.  A total length of 0 comes from segmentation offload: what was captured counts."""
        cdef const uint8_t* p = w.p
        cdef uint32_t size = (p[0] & 15) * 4u, total, flags
        if here(w) < 20 or here(w) < size:
            return drop(w, TRUNCATED_IP)
        total = be16(p + 2)
        if total == 0:
            total = here(w)
        if size < 20 or total < size:
            return drop(w, BAD_IP)
        if total < here(w):
            w.end = p + total      # Ethernet padding
        set_v4(&w.out.src, p + 12)
        set_v4(&w.out.dst, p + 16)
        w.out.ip_bytes, w.claimed, w.next = total, total - size, p[9]
        w.p += size
        flags = be16(p + 6)
        if flags & 0x3fff == 0:
            return TRANSPORT
        return self.fragment(w, be16(p + 4), (flags & 0x1fff) * 8, flags & 0x2000, size)

    cdef Layer ipv6(self, Walk* w) noexcept nogil:
        """RFC 8200, 3.  A payload length of 0 (jumbograms, offload) means what was captured."""
        cdef const uint8_t* p = w.p
        cdef uint32_t total
        if here(w) < 40:
            return drop(w, TRUNCATED_IP)
        total = 40 + be16(p + 4) if be16(p + 4) else here(w)
        if total < here(w):
            w.end = p + total
        set_v6(&w.out.src, p + 8)
        set_v6(&w.out.dst, p + 24)
        w.out.ip_bytes, w.claimed, w.next = total, total - 40, p[6]
        w.p += 40
        return TRANSPORT

    cdef Layer extension_header(self, Walk* w) noexcept nogil:
        """One IPv6 extension header, or the authentication header of either version (RFC 4302, 2)."""
        cdef const uint8_t* p = w.p
        cdef uint32_t size, offset
        if here(w) < 8:
            return drop(w, TRUNCATED_IP)
        if w.next == IPPROTO_FRAGMENT:
            offset = be16(p + 2)
            w.next = p[0]
            w.p += 8
            w.claimed = w.claimed - 8 if w.claimed > 8 else 0
            if offset & 0xfff9 == 0:
                return TRANSPORT   # an atomic fragment (RFC 6946)
            return self.fragment(w, be32(p + 4), offset & 0xfff8, offset & 1, 40)
        size = (p[1] + 2) * 4u if w.next == IPPROTO_AH else (p[1] + 1) * 8u
        if size > w.claimed:
            return drop(w, BAD_IP)
        if size > here(w):
            return drop(w, TRUNCATED_IP)
        if w.next == IPPROTO_ROUTING:
            return routing(w, size)
        if w.next == IPPROTO_DSTOPTS:
            return destination_options(w, size)
        return extension(w, size)

    cdef Layer fragment(self, Walk* w, uint32_t id, uint32_t offset, bint more, uint32_t header) noexcept nogil:
        """Keeps a fragment, or goes on with the whole datagram.  A mirror's fragments are kept apart by envelope."""
        cdef Datagram* d
        cdef uint8_t* ip
        cdef uint32_t total, n = w.claimed
        if offset + n > LARGEST_DATAGRAM or (more and n % 8):
            return drop(w, FRAGMENT_BAD)
        if here(w) < n:
            return drop(w, FRAGMENT_CUT)
        d = self.fragments.offer(&w.out.src, &w.out.dst, w.next, id, self.intern(w.envelope), w.out.ts, offset, more,
                                 w.p, n, w.out.ip, header)
        if d == NULL:
            return drop(w, FRAGMENT_KEPT)
        w.p = d.data + LONGEST_HEADER
        w.end = w.p + d.total
        w.claimed = d.total
        ip = d.data + LONGEST_HEADER - d.header
        w.out.ip, w.out.ip_bytes = ip, d.header + d.total
        w.out.frame, w.out.has_link = ip, False
        total = w.out.ip_bytes if ip[0] >> 4 == 4 else d.total
        if total > LARGEST_DATAGRAM:
            total = LARGEST_DATAGRAM
        if ip[0] >> 4 == 4:
            ip[2], ip[3], ip[6], ip[7] = <uint8_t>(total >> 8), <uint8_t>total, 0, 0
        else:
            ip[4], ip[5], ip[6] = <uint8_t>(total >> 8), <uint8_t>total, w.next
        return TRANSPORT

    cdef Layer transport(self, Walk* w) noexcept nogil:
        cdef uint8_t next = w.next
        if next == IPPROTO_TCP:
            w.out.proto = next
            return tcp(w)
        if next == IPPROTO_UDP:
            return self.udp(w)
        if next == IPPROTO_ICMP or next == IPPROTO_ICMPV6:
            w.out.proto = next
            return icmp(w)
        if next in (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS) and w.out.ip[0] >> 4 == 6:
            return self.extension_header(w)
        if next == IPPROTO_AH:
            return self.extension_header(w)
        if next == IPPROTO_GRE and self.open_tunnels:
            return self.deeper(w, GRE)
        if (next == IPPROTO_IPIP or next == IPPROTO_IPV6) and self.open_tunnels:
            return self.deeper(w, IP)
        w.out.proto = next
        w.out.sport = w.out.dport = 0  # those of a UDP envelope around it
        return finish(w, 0)

    cdef Layer udp(self, Walk* w) noexcept nogil:
        """RFC 768, and the tunnels that ride on it.  What only looks like one by its port is a flow like any other."""
        cdef Packet* out = w.out
        cdef uint32_t size
        if here(w) < 8:
            return drop(w, TRUNCATED_TRANSPORT)
        out.sport, out.dport, size = be16(w.p), be16(w.p + 2), be16(w.p + 4)
        if 8 <= size <= w.claimed:
            w.claimed = size
        elif w.claimed < 8:
            return drop(w, BAD_TRANSPORT)
        if w.p + w.claimed < w.end:
            w.end = w.p + w.claimed
        if w.in_mirror or self.open_tunnels:
            w.p += 8
            if is_port(self.vxlan_ports, out.dport) and is_vxlan(w):
                return self.enter_vxlan(w)
            if is_port(self.geneve_ports, out.dport) and is_geneve(w):
                return self.enter_geneve(w)
            if self.open_tunnels and is_gre_in_udp(w):
                return self.deeper(w, GRE)
            w.p -= 8
        out.proto = IPPROTO_UDP
        return finish(w, 8)

    cdef Layer enter_vxlan(self, Walk* w) noexcept nogil:
        cdef uint32_t vni = be24(w.p + 4)
        if not w.in_mirror:
            w.out.tunnel_vni = vni
            return self.deeper(w, VXLAN)
        w.in_mirror = False
        w.envelope.vxlan_vni = vni
        w.envelope.vantage = w.out.src
        w.envelope.has |= HAS_VXLAN | HAS_VANTAGE
        w.depth += 1
        return VXLAN

    cdef Layer enter_geneve(self, Walk* w) noexcept nogil:
        """A VXLAN directly inside the mirror's GENEVE is the mirror's too, but for Google, which nests none."""
        cdef uint32_t vni = be24(w.p + 4)
        if not w.in_mirror or w.envelope.has & HAS_GENEVE:
            w.out.tunnel_vni = vni
            return self.deeper(w, GENEVE)
        w.out.has_link = False     # what it carries may be bare IP
        w.envelope.geneve_vni = vni
        w.envelope.vantage = w.out.src
        w.envelope.has |= HAS_GENEVE | HAS_VANTAGE
        read_options(w)
        w.in_mirror = not w.envelope.has & HAS_GCP
        w.depth += 1
        return GENEVE

    cdef Layer deeper(self, Walk* w, Layer layer) noexcept nogil:
        """One more tunnel that is not the mirror's own."""
        w.in_mirror = False
        w.depth += 1
        if w.depth > self.max_depth:
            return drop(w, TOO_DEEP)
        w.out.tunnel_depth += 1
        w.out.has_link = False
        return layer

    def change_tenants(self, tenant_of):
        """From now on another policy says whose an envelope is."""
        cdef uint32_t number
        self.tenant_of = tenant_of
        for number in range(<uint32_t>self.envelope_count):
            self.tenants[number] = self.ask_tenant(number)

    cdef uint32_t intern(self, const Envelope* e) noexcept nogil:
        """The number of an envelope, new or known; NULL is the empty one, number 0.  EMPTY when the table is full."""
        cdef Envelope nothing
        cdef uint64_t h = self.key
        cdef uint32_t at, number, i
        if e == NULL:
            memset(&nothing, 0, sizeof(nothing))
            e = &nothing
        elif memcmp(&self.envelopes[self.last], e, sizeof(Envelope)) == 0:
            return self.last
        for i in range(sizeof(Envelope) // 8):
            h = mix64(h ^ be64(<const uint8_t*>e + 8 * i), self.key)
        at = h & (ENVELOPE_BUCKETS - 1)
        while self.buckets[at] != EMPTY:
            number = self.buckets[at]
            if memcmp(&self.envelopes[number], e, sizeof(Envelope)) == 0:
                self.last = number
                return number
            at = (at + 1) & (ENVELOPE_BUCKETS - 1)
        if self.envelope_count == MOST_ENVELOPES:
            return EMPTY
        number = <uint32_t>self.envelope_count
        self.envelope_count += 1
        self.envelopes[number] = e[0]
        self.buckets[at] = number
        self.tenants[number] = self.ask_tenant(number)
        self.last = number
        return number

    cdef uint32_t ask_tenant(self, uint32_t number) noexcept with gil:
        return self.tenant_of(envelope_dict(&self.envelopes[number]))

    cdef void count(self, Drop why) noexcept nogil:
        self.drops[<int>why] += 1

    cdef void end_batch(self) noexcept nogil:
        self.fragments.end_batch()


cdef inline bint stride_tcp(const uint8_t* p, uint32_t size, Packet* out) noexcept nogil:
    """What layers' ``tcp`` finds, of a usual frame."""
    cdef const uint8_t* t = p + USUAL_HEADERS
    cdef uint32_t total = be16(p + 16), have = min(size - 14, total) - 20, header
    if have < 20:
        return False
    header = (t[12] >> 4) * 4u
    if header < 20 or header > have:
        return False
    out.sport, out.dport, out.seq, out.ack = be16(t), be16(t + 2), be32(t + 4), be32(t + 8)
    out.flags, out.window = t[13], be16(t + 14)
    out.window_scale = scale_of(t, header) if out.flags & SYN else NO_SCALE
    out.payload, out.end = t + header, t + have
    out.captured, out.claimed = have - header, total - 20 - header
    return True


cdef inline bint is_usual(const uint8_t* p, uint32_t n) noexcept nogil:
    """Ethernet without a tag, then an IPv4 header of 20 bytes that tells a length, of no fragment."""
    return (n >= USUAL_HEADERS and be16(p + 12) == ETHERTYPE_IPV4 and p[14] == 0x45 and be16(p + 16) >= 20
            and be16(p + 20) & 0x3fff == 0)


cdef dict envelope_dict(const Envelope* e):
    """What an envelope says, for a tenant policy: names as in the records, addresses as 16 bytes."""
    said = {}
    if e.has & HAS_VXLAN:
        said["vxlan_vni"] = e.vxlan_vni
    if e.has & HAS_GENEVE:
        said["geneve_vni"] = e.geneve_vni
    if e.has & HAS_VANTAGE:
        said["vantage"] = (<const char*>e.vantage.b)[:16]
    if e.has & HAS_GWLB:
        said["gwlb_endpoint"] = e.gwlb_endpoint
    if e.has & HAS_GCP:
        said["gcp_network"] = e.gcp_network
    return said
