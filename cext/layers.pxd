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

cdef enum:
    MOST_PORTS = 8                 # of one kind of tunnel


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
    """One of MOST_PORTS; unused places hold 0, which is none."""
    cdef int i
    for i in range(MOST_PORTS):
        if ports[i] == port:
            return port != 0
    return False


cdef Layer stride(Walk* w, const uint16_t* vxlan_ports) noexcept nogil
cdef Layer first_layer(Walk* w, uint32_t link) noexcept nogil
cdef Layer step_over(Walk* w, Layer layer) noexcept nogil
cdef bint is_vxlan(const Walk* w) noexcept nogil
cdef bint is_geneve(const Walk* w) noexcept nogil
cdef bint is_gre_in_udp(const Walk* w) noexcept nogil
cdef void read_options(Walk* w) noexcept nogil
cdef Layer tcp(Walk* w) noexcept nogil
cdef Layer icmp(Walk* w) noexcept nogil
cdef Layer finish(Walk* w, uint32_t header) noexcept nogil
cdef Layer extension(Walk* w, uint32_t size) noexcept nogil
cdef Layer routing(Walk* w, uint32_t size) noexcept nogil
cdef Layer destination_options(Walk* w, uint32_t size) noexcept nogil
