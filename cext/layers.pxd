"""One layer of a frame at a time: links, tunnels, transports."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from cext.packet cimport Envelope, Packet

cdef enum Drop:                    # why a packet did not become a flow's; one counter each, names in layers.pyx
    UNKNOWN_LINK, TRUNCATED_LINK, NOT_IP, TRUNCATED_IP, BAD_IP, TRUNCATED_TRANSPORT, BAD_TRANSPORT
    TRUNCATED_TUNNEL, BAD_TUNNEL, TOO_DEEP, FRAGMENT_KEPT, FRAGMENT_BAD, FRAGMENT_CUT, ENVELOPES_FULL
    FILTERED, OUTSIDE_TIME, FLOWS_FULL
    DROPS                          # how many there are

cdef enum Layer:
    ETHERNET, PAYLOAD_TYPE, IP, TRANSPORT, VXLAN, GENEVE, GRE, MPLS, PPP, ERSPAN2, ERSPAN3, FINISHED, DROPPED

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
    MOST_PORTS = 8                 # of one kind of tunnel
    PORT_GRE_IN_UDP = 4754         # RFC 8086


cdef struct Walk:
    const uint8_t* p
    const uint8_t* end
    Packet* out
    Envelope* envelope
    uint32_t ethertype             # of what is at p, when the layer is PAYLOAD_TYPE
    uint32_t claimed               # bytes from p on by the innermost IP header
    uint8_t next                   # protocol of what is at p, when the layer is TRANSPORT
    int depth
    bint in_mirror                 # the mirror's own envelope may still begin here
    Drop drop


cdef inline uint32_t here(const Walk* w) noexcept nogil:
    return <uint32_t>(w.end - w.p)


cdef inline Layer drop(Walk* w, Drop why) noexcept nogil:
    w.drop = why
    return DROPPED


cdef inline bint is_port(const uint16_t* ports, uint16_t port) noexcept nogil:
    """One of at most MOST_PORTS, behind which there is a 0."""
    cdef int i = 0
    while i < MOST_PORTS and ports[i]:
        if ports[i] == port:
            return True
        i += 1
    return False


cdef Layer first_layer(Walk* w, uint32_t link) noexcept nogil
cdef Layer step_over(Walk* w, Layer layer) noexcept nogil
cdef bint is_vxlan(const Walk* w) noexcept nogil
cdef bint is_geneve(const Walk* w) noexcept nogil
cdef bint is_gre_in_udp(const Walk* w) noexcept nogil
cdef void read_options(Walk* w) noexcept nogil
cdef Layer tcp(Walk* w) noexcept nogil
cdef uint8_t scale_of(const uint8_t* p, uint32_t n) noexcept nogil
cdef Layer icmp(Walk* w) noexcept nogil
cdef Layer finish(Walk* w, uint32_t header) noexcept nogil
cdef Layer extension(Walk* w, uint32_t size) noexcept nogil
cdef Layer routing(Walk* w, uint32_t size) noexcept nogil
cdef Layer destination_options(Walk* w, uint32_t size) noexcept nogil
