"""Is an address in one of some networks?  Asked twice for each conn record, so it asks nobody else.

Addresses are 16 bytes; those of IPv4 are mapped, and are in no network of IPv6, be it ::/0.
"""
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cext.types cimport Addr, is_v4


cdef class Networks:
    def __cinit__(self, networks=()):
        """``networks``: pairs of an address, 16 bytes, and a mask, 16 bytes."""
        cdef int i
        cdef bytes address, mask
        self.count = len(networks)
        self.networks = <Network*>calloc(self.count + 1, sizeof(Network))
        if self.networks == NULL:
            raise MemoryError("networks")
        for i, (address, mask) in enumerate(networks):
            memcpy(self.networks[i].prefix, <const char*>address, 16)
            memcpy(self.networks[i].mask, <const char*>mask, 16)
            self.networks[i].v4 = is_v4(<const Addr*>self.networks[i].prefix)

    def __dealloc__(self):
        free(self.networks)

    def __contains__(self, bytes address):
        return len(address) == 16 and self.contain(<const uint8_t*><const char*>address)

    cdef bint contain(self, const uint8_t* addr) noexcept nogil:
        cdef uint64_t half[2]
        cdef bint v4 = is_v4(<const Addr*>addr)
        cdef const Network* n
        cdef int i
        memcpy(half, addr, 16)
        for i in range(self.count):
            n = &self.networks[i]
            if n.v4 == v4 and half[0] & n.mask[0] == n.prefix[0] and half[1] & n.mask[1] == n.prefix[1]:
                return True
        return False
