"""One layer of a frame at a time: links, tunnels, transports.  Each call steps over one header, and names the next.

Nothing is kept here: what lasts longer than a frame (envelopes, fragments, counters) is decap's.
"""
from libc.string cimport memcmp, memcpy

from cext.packet cimport HAS_ATTACHMENT, HAS_GCP, HAS_GWLB, IPPROTO_ICMP, NO_SCALE, NO_VLAN, SYN
from cext.types cimport set_v6
from cext.wire cimport be16, be32, be64, le32

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


# ---- one after the other -------------------------------------------------------------------------------------------

cdef Layer step_over(Walk* w, Layer layer) noexcept nogil:
    """A link's or a tunnel's header."""
    if layer == ETHERNET:
        return ethernet(w)
    elif layer == PAYLOAD_TYPE:
        return payload_type(w)
    elif layer == VXLAN:
        return vxlan(w)
    elif layer == GENEVE:
        return geneve(w)
    elif layer == GRE:
        return gre(w)
    elif layer == MPLS:
        return mpls(w)
    elif layer == PPP:
        return ppp(w)
    return erspan(w, layer == ERSPAN3)


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

cdef bint is_vxlan(const Walk* w) noexcept nogil:
    """The I flag is set (RFC 7348, 5); odd reserved bits are normal."""
    return here(w) >= 8 and w.p[0] & 0x08


cdef bint is_geneve(const Walk* w) noexcept nogil:
    """Version 0, options that fit, a payload that can be opened (RFC 8926, 3.4)."""
    if here(w) < 8 or w.p[0] >> 6 or here(w) < 8u + 4u * (w.p[0] & 0x3f):
        return False
    return be16(w.p + 2) in (ETHERTYPE_BRIDGED, ETHERTYPE_IPV4, ETHERTYPE_IPV6)


cdef bint is_gre_in_udp(const Walk* w) noexcept nogil:
    """Version 0 and no flag but those of the fields (RFC 8086, 3.2)."""
    return w.out.dport == PORT_GRE_IN_UDP and here(w) >= 4 and be16(w.p) & 0x0fff == 0


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
    out.window_scale = scale_of(w.p, min(size, here(w))) if out.flags & SYN else NO_SCALE
    return finish(w, size)


cdef uint8_t scale_of(const uint8_t* p, uint32_t n) noexcept nogil:
    """The window scale option of a SYN, of whose header ``n`` bytes are here (RFC 7323, 2.2)."""
    cdef uint32_t at = 20
    while at + 1 < n and p[at] != 0:
        if p[at] == 1:
            at += 1
            continue
        if p[at + 1] < 2:
            break
        if p[at] == 3 and p[at + 1] == 3 and at + 2 < n:
            return min(p[at + 2], 14)
        at += p[at + 1]
    return NO_SCALE


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


assert len(DROP_NAMES) == DROPS
