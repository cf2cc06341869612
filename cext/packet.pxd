"""Frame, Envelope, Packet: a packet on its way from the file to its flow.  Structs only; nothing here owns memory."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.types cimport Addr, Time

cdef enum:
    BATCH = 32                     # frames that go through the two passes together
    NO_VLAN = 0xffff
    NO_SCALE = 255                 # a SYN without a window scale option

cdef enum TcpFlag:                 # RFC 9293, 3.1
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20

cdef enum Proto:                   # IANA protocol numbers
    IPPROTO_HOPOPTS = 0
    IPPROTO_ICMP = 1
    IPPROTO_IPIP = 4
    IPPROTO_TCP = 6
    IPPROTO_UDP = 17
    IPPROTO_IPV6 = 41
    IPPROTO_ROUTING = 43
    IPPROTO_FRAGMENT = 44
    IPPROTO_GRE = 47
    IPPROTO_AH = 51
    IPPROTO_ICMPV6 = 58
    IPPROTO_DSTOPTS = 60
    IPPROTO_MOBILITY = 135

cdef enum Has:                     # which parts of an Envelope are set
    HAS_VXLAN = 1
    HAS_GENEVE = 2
    HAS_VANTAGE = 4
    HAS_GWLB = 8
    HAS_ATTACHMENT = 16
    HAS_GCP = 32


cdef struct Frame:                 # lives until its block or buffer is given back
    const uint8_t* p
    uint32_t captured
    uint32_t link                  # LINKTYPE of the file or interface
    Time ts


cdef struct Envelope:              # what the mirror put around a packet; no padding, so that two compare as bytes
    Addr vantage                   # outer source of the VXLAN header: the mirrored interface
    Addr gcp_endpoint              # Google: 128-bit cookie of the mirrored interface
    uint64_t gwlb_endpoint         # AWS: the endpoint's interface id
    uint64_t gwlb_attachment
    uint32_t vxlan_vni
    uint32_t geneve_vni
    uint32_t has
    uint32_t gcp_network           # Google: network cookie


cdef struct Packet:
    Time ts
    uint64_t hash                  # symmetric over the ends, tenant included
    uint64_t sight                 # of a datagram: its key among those that twins have shown; 0: nobody has asked
    uint32_t lot                   # symmetric over the ends alone: decides whose share the flow is
    Addr src
    Addr dst
    const uint8_t* frame           # the innermost frame from its link header, or the IP header where there is none
    const uint8_t* ip              # the innermost IP header
    const uint8_t* end             # where the captured bytes of that packet end
    const uint8_t* payload
    uint32_t captured              # payload bytes that are here
    uint32_t claimed               # payload bytes that the headers speak of; more where the copy was cut
    uint32_t ip_bytes              # total length by the IP header
    uint32_t seq
    uint32_t ack
    uint32_t envelope              # number in the table of envelopes
    uint32_t tenant
    uint32_t tunnel_vni            # of the innermost tunnel that is not the mirror's own
    uint16_t sport                 # ICMP: the type, and its counterpart or code, as Zeek has them
    uint16_t dport
    uint16_t window
    uint8_t proto
    uint8_t flags
    uint8_t window_scale
    uint8_t tunnel_depth           # tunnels below the mirror's own
    bint one_way                   # ICMP without a counterpart: the sender is always the originator
    bint has_link                  # frame begins with an Ethernet header
    uint16_t vlan                  # identifiers of the innermost frame's tags, outer and inner; NO_VLAN: none
    uint16_t inner_vlan
