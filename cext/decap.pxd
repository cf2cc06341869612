"""Outer frame → innermost Packet, or the reason why not."""
from cython cimport final
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.fragments cimport Fragments
from cext.layers cimport DROPS, MOST_PORTS, Drop, Layer, Walk
from cext.packet cimport Envelope, Frame, Packet
from cext.types cimport Addr
from cext.wire cimport be64, mix64

cdef enum:
    MOST_STEPS = 32                # layers of any kind in one frame
    MOST_ENVELOPES = 65536
    MIRRORS = 1024


cdef struct Step:                  # for --explain: what the walk met, and where
    Layer layer
    uint32_t offset


cdef struct Mirror:                # what a usual mirror header says, and the number of its envelope
    uint32_t vantage
    uint32_t vni
    uint32_t envelope


cdef inline uint64_t ends_hash(uint64_t key, const Addr* a, uint32_t a_port, const Addr* b,
                               uint32_t b_port) noexcept nogil:
    """The same for both directions."""
    return (mix64(be64(a.b) ^ key, be64(a.b + 8) ^ (<uint64_t>a_port << 32) ^ ~key)
            + mix64(be64(b.b) ^ key, be64(b.b + 8) ^ (<uint64_t>b_port << 32) ^ ~key))


cdef inline uint64_t flow_hash(uint64_t key, uint64_t ends, uint32_t tenant, uint8_t proto) noexcept nogil:
    return mix64(ends ^ key, (<uint64_t>tenant << 8 | proto) ^ (key << 1 | 1))


@final
cdef class Decap:
    cdef Fragments fragments
    cdef uint16_t vxlan_ports[MOST_PORTS]
    cdef uint16_t geneve_ports[MOST_PORTS]
    cdef int max_depth
    cdef bint open_tunnels
    cdef readonly object tenant_of  # callable(dict) → tenant number, asked once for each new envelope
    cdef Envelope* envelopes
    cdef uint32_t* tenants
    cdef uint32_t* buckets
    cdef uint64_t envelope_count
    cdef uint32_t last             # envelope that was looked for last
    cdef Mirror mirrors[MIRRORS]   # usual ones that were met, by what they say
    cdef uint64_t key
    cdef uint64_t drops[DROPS]
    cdef uint64_t cut_copies       # packets whose copy is shorter than their IP length says
    cdef Step* steps               # NULL but for --explain
    cdef int step_count

    cdef bint open(self, const Frame* frame, Packet* out) noexcept nogil
    cdef bint stride(self, const Frame* frame, Packet* out) noexcept nogil
    cdef bint stride_udp(self, const uint8_t* p, uint32_t size, Packet* out) noexcept nogil
    cdef bint is_tunnel(self, uint16_t port) noexcept nogil
    cdef uint32_t usual_mirror(self, const uint8_t* p) noexcept nogil
    cdef bint walk(self, const Frame* frame, Packet* out) noexcept nogil
    cdef void count(self, Drop why) noexcept nogil
    cdef void end_batch(self) noexcept nogil
    cdef Layer step(self, Walk* w, Layer layer) noexcept nogil
    cdef Layer transport(self, Walk* w) noexcept nogil
    cdef Layer extension_header(self, Walk* w) noexcept nogil
    cdef Layer enter_vxlan(self, Walk* w) noexcept nogil
    cdef Layer enter_geneve(self, Walk* w) noexcept nogil
    cdef Layer udp(self, Walk* w) noexcept nogil
    cdef Layer ip(self, Walk* w) noexcept nogil
    cdef Layer ipv4(self, Walk* w) noexcept nogil
    cdef Layer ipv6(self, Walk* w) noexcept nogil
    cdef Layer fragment(self, Walk* w, uint32_t id, uint32_t offset, bint more, uint32_t header) noexcept nogil
    cdef Layer deeper(self, Walk* w, Layer layer) noexcept nogil
    cdef uint32_t intern(self, const Envelope* e) noexcept nogil
    cdef uint32_t ask_tenant(self, uint32_t number) noexcept with gil

    cdef inline void seal(self, Packet* out) noexcept nogil:
        """Tenant and hash: the last of the packet."""
        cdef uint64_t ends = ends_hash(self.key, &out.src, out.sport, &out.dst, out.dport)
        out.tenant = self.tenants[out.envelope]
        out.lot = <uint32_t>(ends >> 32)
        out.hash = flow_hash(self.key, ends, out.tenant, out.proto)
        self.cut_copies += out.claimed > out.captured
