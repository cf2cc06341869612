"""A libpcap expression, run on the innermost packet."""
from cython cimport final
from libc.stdint cimport uint32_t

from cext.packet cimport Packet


@final
cdef class Filter:
    cdef void* run                 # pcap_offline_filter
    cdef void* on_ip               # struct bpf_program for the IP packet, or NULL
    cdef void* on_frame            # … for the Ethernet frame, or NULL
    cdef object owner              # what keeps the programs alive

    cdef bint matches(self, const Packet* p) noexcept nogil
