"""Flows that two tenants' mirror sessions show: one connection, seen twice."""
from cython cimport final
from libc.stdint cimport uint32_t, uint64_t

from cext.flow cimport Flow
from cext.packet cimport Packet
from cext.types cimport Addr, Time


cdef struct Sight:                 # what was shown once
    uint64_t key                   # of a handshake, or of a datagram; 0: none
    Time first                     # of its flow
    Time seen
    uint32_t tenant


@final
cdef class Twins:
    cdef Sight* sights
    cdef uint64_t secret
    cdef uint64_t found            # flows
    cdef uint64_t forgotten        # sights that gave way to others within the time that a copy may take

    cdef void forget(self) noexcept nogil
    cdef bint is_handshake_known(self, Flow* f, Time now) noexcept nogil
    cdef bint is_datagram_known(self, Flow* f, const Packet* p) noexcept nogil
    cdef uint64_t end(self, const Addr* a, uint32_t port, uint32_t start) noexcept nogil
    cdef bint look(self, Flow* f, uint64_t key, Time now, Time longest) noexcept nogil
    cdef bint meet(self, Flow* f, Sight* s) noexcept nogil
