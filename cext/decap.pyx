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
from cext.packet cimport (HAS_ATTACHMENT, HAS_GCP, HAS_GENEVE, HAS_GWLB, HAS_VANTAGE, HAS_VXLAN, IPPROTO_AH,
                          IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_GRE, IPPROTO_HOPOPTS, IPPROTO_ICMP, IPPROTO_ICMPV6,
                          IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_ROUTING, IPPROTO_TCP, IPPROTO_UDP, NO_SCALE,
                          NO_VLAN, SYN)
from cext.types cimport set_v4, set_v6
from cext.wire cimport be16, be24, be32, be64, le32, mix64

import os

# (name, meaning) in the order of Drop: the counters' names in stats records and summaries
DROP_NAMES = (
    ("unknown_link", "The capture's link type is not one that is read."),
    ("truncated_link", "The frame ends inside its link-layer header."),
    ("not_ip", "The frame carries no IP: ARP, spanning tree and the like."),
    ("truncated_ip", "The copy ends inside the IP header."),
    ("bad_ip", "The IP header contradicts itself."),
    ("truncated_transport", "The copy ends before the ports or the TCP header."),
    ("bad_transport", "The TCP or UDP header contradicts itself."),
    ("truncated_tunnel", "The copy ends inside a tunnel header."),
    ("bad_tunnel", "A tunnel header contradicts itself, or carries what cannot be opened."),
    ("too_deep", "More tunnels inside each other than are opened."),
    ("fragment_kept", "An IP fragment that waits for the rest of its datagram."),
    ("fragment_bad", "An IP fragment that reaches past the longest datagram, or memory was out."),
    ("fragment_cut", "A piece of an IP fragment is missing in the copy."),
    ("envelopes_full", "More mirror sessions than the table of envelopes holds."),
    ("filtered", "The filter expression does not match."),
    ("outside_time", "The packet is outside of the time asked for."),
    ("flows_full", "More flows than the table holds, and none could give way."),
)

LAYER_NAMES = ("ethernet", "ethertype", "ip", "transport", "vxlan", "geneve", "gre", "mpls", "ppp", "erspan",
               "erspan", "finished", "dropped")

cdef enum:
    ENVELOPE_BUCKETS = 131072
    EMPTY = 0xffffffff

cdef enum Link:                    # https://www.tcpdump.org/linktypes.html
    LINKTYPE_NULL = 0
    LINKTYPE_ETHERNET = 1
    LINKTYPE_RAW_BSD = 12
    LINKTYPE_RAW_OPENBSD = 14
    LINKTYPE_RAW = 101
    LINKTYPE_LOOP = 108
    LINKTYPE_LINUX_SLL = 113
    LINKTYPE_IPV4 = 228
    LINKTYPE_IPV6 = 229
    LINKTYPE_LINUX_SLL2 = 276

cdef enum Ethertype:               # IANA, IEEE 802 numbers
    LONGEST_802_3 = 1500
    ETHERTYPE_IPV4 = 0x0800
    ETHERTYPE_BRIDGED = 0x6558
    ETHERTYPE_VLAN = 0x8100
    ETHERTYPE_ERSPAN2 = 0x88be
    ETHERTYPE_ERSPAN3 = 0x22eb
    ETHERTYPE_IPV6 = 0x86dd
    ETHERTYPE_MPLS = 0x8847
    ETHERTYPE_MPLS_MULTICAST = 0x8848
    ETHERTYPE_PPPOE = 0x8864
    ETHERTYPE_PPP = 0x880b
    ETHERTYPE_QINQ = 0x88a8
    ETHERTYPE_FABRICPATH = 0x8903
    ETHERTYPE_QINQ_OLD = 0x9100
    ETHERTYPE_QINQ_OLDER = 0x9200

cdef enum:
    PORT_GRE_IN_UDP = 4754         # RFC 8086
    GENEVE_CLASS_GCP = 0x0132
    GENEVE_CLASS_AWS = 0x0108
    GRE_CHECKSUM = 0x8000
    GRE_ROUTING = 0x4000
    GRE_KEY = 0x2000
    GRE_SEQUENCE = 0x1000
    GRE_ACK = 0x0080               # version 1 only
    PPP_IPV4 = 0x0021
    PPP_IPV6 = 0x0057
    OPTION_HOME_ADDRESS = 0xc9     # RFC 6275, 6.3


cdef inline uint32_t here(const Walk* w) noexcept nogil:
    return <uint32_t>(w.end - w.p)


cdef inline Layer drop(Walk* w, Drop why) noexcept nogil:
    w.drop = why
    return DROPPED


# ---- links ---------------------------------------------------------------------------------------------------------

cdef Layer first_layer(Walk* w, uint32_t link) noexcept nogil:
    """The layer that a frame of this link type begins with."""
    cdef uint32_t family
    if link == LINKTYPE_ETHERNET:
        return ETHERNET
    if link in (LINKTYPE_RAW, LINKTYPE_RAW_BSD, LINKTYPE_RAW_OPENBSD, LINKTYPE_IPV4, LINKTYPE_IPV6):
        return IP
    if link == LINKTYPE_LINUX_SLL:
        return typed(w, 14, 16)
    if link == LINKTYPE_LINUX_SLL2:
        return typed(w, 0, 20)
    if link == LINKTYPE_NULL or link == LINKTYPE_LOOP:
        if here(w) < 4:
            return drop(w, TRUNCATED_LINK)
        family = le32(w.p)         # the writer's byte order; its small numbers tell which
        if family > 0xffff:
            family = be32(w.p)
        w.p += 4
        return IP if family in (2, 10, 24, 28, 30) else drop(w, NOT_IP)   # AF_INET, and AF_INET6 of four systems
    return drop(w, UNKNOWN_LINK)


cdef Layer typed(Walk* w, uint32_t at, uint32_t size) noexcept nogil:
    """A header of ``size`` bytes whose ethertype stands at ``at``."""
    if here(w) < size:
        return drop(w, TRUNCATED_LINK)
    w.ethertype = be16(w.p + at)
    w.p += size
    return PAYLOAD_TYPE


cdef Layer ethernet(Walk* w) noexcept nogil:
    w.out.frame = w.p
    w.out.has_link = True
    w.out.vlan = w.out.inner_vlan = NO_VLAN    # only the tags of the innermost frame are the flow's
    return typed(w, 12, 14)


cdef Layer vlan(Walk* w) noexcept nogil:
    """A tag (IEEE 802.1Q, 9.6): 12 bits of it name the network.  Of more than two the last two count."""
    if here(w) >= 2:
        if w.out.inner_vlan != NO_VLAN:
            w.out.vlan = w.out.inner_vlan
        if w.out.vlan == NO_VLAN:
            w.out.vlan = be16(w.p) & 0xfff
        else:
            w.out.inner_vlan = be16(w.p) & 0xfff
    return typed(w, 2, 4)


cdef Layer payload_type(Walk* w) noexcept nogil:
    """What the ethertype names."""
    cdef uint32_t kind = w.ethertype
    if kind == ETHERTYPE_IPV4 or kind == ETHERTYPE_IPV6:
        return IP
    if kind == ETHERTYPE_VLAN or kind == ETHERTYPE_QINQ or kind == ETHERTYPE_QINQ_OLD or kind == ETHERTYPE_QINQ_OLDER:
        return vlan(w)
    if kind == ETHERTYPE_MPLS or kind == ETHERTYPE_MPLS_MULTICAST:
        return MPLS
    if kind == ETHERTYPE_PPPOE:
        if here(w) < 6:
            return drop(w, TRUNCATED_LINK)
        w.p += 6
        return PPP
    if kind == ETHERTYPE_FABRICPATH:
        if here(w) < 2:
            return drop(w, TRUNCATED_LINK)
        w.p += 2                   # forwarding tag and TTL; then the whole inner frame
        return ETHERNET
    if kind <= LONGEST_802_3 and here(w) >= 8 and memcmp(w.p, b"\xaa\xaa\x03\x00\x00\x00", 6) == 0:
        return typed(w, 6, 8)      # LLC with a SNAP header of the Ethernet organisation
    return drop(w, NOT_IP)


cdef Layer mpls(Walk* w) noexcept nogil:
    """Labels down to the bottom of the stack, then what the first nibble looks like (RFC 4928, 3)."""
    cdef bint bottom = False
    while not bottom:
        if here(w) < 5:
            return drop(w, TRUNCATED_LINK)
        bottom = w.p[2] & 1
        w.p += 4
    if w.p[0] >> 4 == 4 or w.p[0] >> 4 == 6:
        return IP
    if w.p[0] >> 4 == 0 and here(w) > 4:
        w.p += 4                   # pseudowire control word (RFC 4385)
        return ETHERNET
    return drop(w, NOT_IP)


cdef Layer ppp(Walk* w) noexcept nogil:
    """The protocol of a PPP frame, with or without address and control (RFC 1661, 2; RFC 1662, 3.1)."""
    cdef uint32_t protocol
    if here(w) >= 2 and be16(w.p) == 0xff03:
        w.p += 2
    if here(w) < 2:
        return drop(w, TRUNCATED_LINK)
    protocol = be16(w.p)
    w.p += 2
    return IP if protocol == PPP_IPV4 or protocol == PPP_IPV6 else drop(w, NOT_IP)


# ---- tunnels -------------------------------------------------------------------------------------------------------

cdef inline bint is_vxlan(const Walk* w) noexcept nogil:
    """The I flag is set (RFC 7348, 5); odd reserved bits are normal."""
    return here(w) >= 8 and w.p[0] & 0x08


cdef inline bint is_geneve(const Walk* w) noexcept nogil:
    """Version 0, options that fit, a payload that can be opened (RFC 8926, 3.4)."""
    if here(w) < 8 or w.p[0] >> 6 or here(w) < 8u + 4u * (w.p[0] & 0x3f):
        return False
    return be16(w.p + 2) in (ETHERTYPE_BRIDGED, ETHERTYPE_IPV4, ETHERTYPE_IPV6)


cdef Layer vxlan(Walk* w) noexcept nogil:
    w.p += 8
    return ETHERNET


cdef Layer geneve(Walk* w) noexcept nogil:
    """Steps over header and options; is_geneve has checked both."""
    cdef uint32_t kind = be16(w.p + 2)
    w.p += 8 + 4 * (w.p[0] & 0x3f)
    return ETHERNET if kind == ETHERTYPE_BRIDGED else IP


cdef void read_options(Walk* w) noexcept nogil:
    """The options of the mirror's own GENEVE header: AWS and Google say who was mirrored; others are passed over."""
    cdef const uint8_t* p = w.p + 8
    cdef const uint8_t* end = p + 4 * (w.p[0] & 0x3f)
    cdef Envelope* e = w.envelope
    cdef uint32_t size, group
    while end - p >= 4:
        size = 4 * (p[3] & 0x1f)
        if <uint32_t>(end - p) < 4 + size:
            return
        group = be16(p)
        if group == GENEVE_CLASS_AWS and p[2] == 1 and size == 8:
            e.gwlb_endpoint = be64(p + 4)
            e.has |= HAS_GWLB
        elif group == GENEVE_CLASS_AWS and p[2] == 2 and size == 8:
            e.gwlb_attachment = be64(p + 4)
            e.has |= HAS_ATTACHMENT
        elif group == GENEVE_CLASS_GCP and p[2] == 1 and size == 4:
            e.gcp_network = be32(p + 4) >> 4       # 28 bits of cookie; the low four are flags, direction among them
            e.has |= HAS_GCP
        elif group == GENEVE_CLASS_GCP and p[2] == 2 and size == 16:
            memcpy(e.gcp_endpoint.b, p + 4, 16)
            e.has |= HAS_GCP
        p += 4 + size


cdef Layer gre(Walk* w) noexcept nogil:
    """RFC 2784 and 2890; version 1 (RFC 2637) carries PPP."""
    cdef uint32_t flags, kind, size = 4, version
    if here(w) < 4:
        return drop(w, TRUNCATED_TUNNEL)
    flags, kind = be16(w.p), be16(w.p + 2)
    version = flags & 7
    if version > 1 or flags & GRE_ROUTING:
        return drop(w, BAD_TUNNEL)
    size += 4 if flags & GRE_CHECKSUM else 0
    size += 4 if flags & GRE_KEY else 0
    size += 4 if flags & GRE_SEQUENCE else 0
    size += 4 if version == 1 and flags & GRE_ACK else 0
    if here(w) < size:
        return drop(w, TRUNCATED_TUNNEL)
    w.p += size
    if kind == ETHERTYPE_ERSPAN2:  # type I has neither a sequence number nor a header of its own
        return ERSPAN2 if flags & GRE_SEQUENCE else ETHERNET
    if kind == ETHERTYPE_ERSPAN3:
        return ERSPAN3
    if kind == ETHERTYPE_BRIDGED:
        return ETHERNET
    if kind == ETHERTYPE_PPP:
        return PPP
    w.ethertype = kind
    return PAYLOAD_TYPE


cdef Layer erspan(Walk* w, bint third) noexcept nogil:
    """draft-foschiano-erspan: type II has 8 bytes; III has 12, and 8 more when its O bit is set."""
    cdef uint32_t size = 8
    if third:
        size = 20 if here(w) >= 12 and w.p[11] & 1 else 12
    if here(w) < size:
        return drop(w, TRUNCATED_TUNNEL)
    w.p += size
    return ETHERNET


# ---- transport -----------------------------------------------------------------------------------------------------

cdef Layer tcp(Walk* w) noexcept nogil:
    """RFC 9293, 3.1.  Of the options only the window scale is of use."""
    cdef Packet* out = w.out
    cdef uint32_t size
    if here(w) < 20:
        return drop(w, TRUNCATED_TRANSPORT)
    size = (w.p[12] >> 4) * 4u
    if size < 20 or size > w.claimed:
        return drop(w, BAD_TRANSPORT)
    out.sport, out.dport = be16(w.p), be16(w.p + 2)
    out.seq, out.ack = be32(w.p + 4), be32(w.p + 8)
    out.flags, out.window = w.p[13], be16(w.p + 14)
    out.window_scale = NO_SCALE
    if out.flags & SYN:
        read_scale(w, size)
    return finish(w, size)


cdef void read_scale(Walk* w, uint32_t size) noexcept nogil:
    """The window scale option of a SYN (RFC 7323, 2.2)."""
    cdef uint32_t at = 20, end = size if size < here(w) else here(w)
    while at + 1 < end and w.p[at] != 0:
        if w.p[at] == 1:
            at += 1
            continue
        if w.p[at + 1] < 2:
            return
        if w.p[at] == 3 and w.p[at + 1] == 3 and at + 2 < end:
            w.out.window_scale = w.p[at + 2] if w.p[at + 2] < 14 else 14
            return
        at += w.p[at + 1]


cdef Layer finish(Walk* w, uint32_t header) noexcept nogil:
    """The payload behind a header of ``header`` bytes; the header's end may lie behind the end of the copy."""
    cdef Packet* out = w.out
    out.claimed = w.claimed - header
    out.captured = here(w) - header if here(w) > header else 0
    out.payload = w.p + header if here(w) > header else w.end
    if out.captured > out.claimed:
        out.captured = out.claimed
    return FINISHED


cdef int counterpart(uint8_t proto, uint8_t kind) noexcept nogil:
    """The ICMP type that answers ``kind``, or −1: Zeek's pairs (RFC 792, 950, 1256, 4443, 4861)."""
    if proto == IPPROTO_ICMP:
        if kind == 0 or kind == 8:
            return 8 - kind
        if 13 <= kind <= 18:
            return kind + 1 if kind % 2 else kind - 1
        if kind == 9 or kind == 10:
            return 19 - kind
        return -1
    if kind in (128, 130, 144):
        return kind + 1
    if kind in (129, 131, 145):
        return kind - 1
    if kind in (133, 135, 139):
        return kind + 1
    if kind in (134, 136, 140):
        return kind - 1
    return -1


cdef Layer icmp(Walk* w) noexcept nogil:
    """Type and counterpart stand for ports; without a counterpart, type and code of one direction (Zeek)."""
    cdef int answer
    if here(w) < 2 or w.claimed < 8:
        return drop(w, TRUNCATED_TRANSPORT)
    answer = counterpart(w.out.proto, w.p[0])
    w.out.one_way = answer < 0
    w.out.sport = w.p[0]
    w.out.dport = w.p[1] if answer < 0 else <uint16_t>answer
    return finish(w, 8)


cdef Layer routing(Walk* w, uint32_t size) noexcept nogil:
    """The last address of a routing header of type 0 or 2 is where the packet goes (RFC 8200, 4.4; RFC 6275, 6.4)."""
    if (w.p[2] == 0 or w.p[2] == 2) and w.p[3] and size >= 24:
        set_v6(&w.out.dst, w.p + size - 16)
    return extension(w, size)


cdef Layer destination_options(Walk* w, uint32_t size) noexcept nogil:
    """A home address is where a mobile node says it is (RFC 6275, 6.3)."""
    cdef uint32_t at = 2
    while at + 2 <= size:
        if w.p[at] == 0:           # Pad1
            at += 1
            continue
        if w.p[at] == OPTION_HOME_ADDRESS and w.p[at + 1] == 16 and at + 18 <= size:
            set_v6(&w.out.src, w.p + at + 2)
        at += 2 + w.p[at + 1]
    return extension(w, size)


cdef Layer extension(Walk* w, uint32_t size) noexcept nogil:
    w.next = w.p[0]
    w.p += size
    w.claimed -= size
    return TRANSPORT


# ---- the walk ------------------------------------------------------------------------------------------------------

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

    def __dealloc__(self):
        free(self.envelopes)
        free(self.tenants)
        free(self.buckets)

    cdef bint open(self, const Frame* frame, Packet* out) noexcept nogil:
        """True when ``out`` describes a packet that a flow can take; else its Drop was counted."""
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
        if layer == DROPPED or not self.seal(&w):
            self.count(w.drop)
            out.flags = <uint8_t>w.drop
            return False
        return True

    cdef Layer step(self, Walk* w, Layer layer) noexcept nogil:
        """Opens one layer; gives the next."""
        if layer == ETHERNET:
            return ethernet(w)
        if layer == PAYLOAD_TYPE:
            return payload_type(w)
        if layer == IP:
            return self.ip(w)
        if layer == TRANSPORT:
            return self.transport(w)
        if layer == VXLAN:
            return vxlan(w)
        if layer == GENEVE:
            return geneve(w)
        if layer == GRE:
            return gre(w)
        if layer == MPLS:
            return mpls(w)
        if layer == PPP:
            return ppp(w)
        return erspan(w, layer == ERSPAN3)

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
        cdef bint mirror = w.in_mirror
        cdef int i
        if here(w) < 8:
            return drop(w, TRUNCATED_TRANSPORT)
        out.sport, out.dport, size = be16(w.p), be16(w.p + 2), be16(w.p + 4)
        if 8 <= size <= w.claimed:
            w.claimed = size
        elif w.claimed < 8:
            return drop(w, BAD_TRANSPORT)
        if w.p + w.claimed < w.end:
            w.end = w.p + w.claimed
        if mirror or self.open_tunnels:
            w.p += 8
            for i in range(MOST_PORTS):
                if out.dport == self.vxlan_ports[i] and out.dport and is_vxlan(w):
                    return self.enter_vxlan(w)
                if out.dport == self.geneve_ports[i] and out.dport and is_geneve(w):
                    return self.enter_geneve(w)
            if out.dport == PORT_GRE_IN_UDP and self.open_tunnels and here(w) >= 4 and be16(w.p) & 0x0fff == 0:
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

    cdef bint seal(self, Walk* w) noexcept nogil:
        """Envelope, tenant and hash: the last of the packet."""
        cdef Packet* out = w.out
        cdef uint64_t ends
        out.end = w.end
        out.envelope = self.intern(w.envelope)
        if out.envelope == EMPTY:
            w.drop = ENVELOPES_FULL
            return False
        out.tenant = self.tenants[out.envelope]
        if out.claimed > out.captured:
            self.cut_copies += 1
        ends = ends_hash(self.key, &out.src, out.sport, &out.dst, out.dport)
        out.lot = <uint32_t>(ends >> 32)
        out.hash = flow_hash(self.key, ends, out.tenant, out.proto)
        return True

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


assert len(DROP_NAMES) == DROPS
