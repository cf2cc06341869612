"""Flows that two tenants' mirror sessions show: one connection, seen twice."""
from cython cimport final
from libc.stdint cimport uint32_t, uint64_t

from cext.flow cimport Flow
from cext.packet cimport Packet
from cext.types cimport Addr, Time


cdef enum:
    WAYS = 4


cdef struct Sights:                # what was shown once, a set of it; the first line of the cache is enough to look
    uint64_t keys[WAYS]            # of a handshake, or of a datagram; 0: none
    Time seen[WAYS]
    Time first[WAYS]               # of its flow
    uint32_t tenant[WAYS]
    uint32_t unused[WAYS]


@final
cdef class Twins:
    cdef Sights* sets
    cdef uint64_t secret
    cdef uint64_t found            # flows
    cdef uint64_t forgotten        # sights that gave way to others within the time that a copy may take

    cdef void forget(self) noexcept nogil
    cdef bint is_handshake_known(self, Flow* f, Time now) noexcept nogil
    cdef bint is_datagram_known(self, Flow* f, const Packet* p) noexcept nogil
    cdef void prefetch_sights(self, const Flow* f, Packet* p) noexcept nogil
    cdef uint64_t datagram_key(self, const Packet* p) noexcept nogil
    cdef uint64_t end(self, const Addr* a, uint32_t port, uint32_t start) noexcept nogil
    cdef bint look(self, Flow* f, uint64_t key, Time now, Time longest) noexcept nogil
    cdef bint meet(self, Flow* f, Sights* s, int way) noexcept nogil
