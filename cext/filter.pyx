"""A libpcap expression, run on the innermost packet by libpcap itself.

The programs are compiled by ``sensor.pcap_filter``, which also explains an expression that libpcap refuses.  An
expression without a word of the link layer is run on the IP packet, so that ``tcp port 5432`` finds what a VLAN or
MPLS carries too; one with such a word (``ether``, ``vlan``) on the Ethernet frame.
"""
from libc.stdint cimport uint8_t
from libc.string cimport memset


cdef struct PcapHeader:            # struct pcap_pkthdr on 64-bit systems
    long seconds
    long microseconds
    uint32_t captured
    uint32_t length

ctypedef int (*Run)(const void* program, const PcapHeader* header, const uint8_t* packet) noexcept nogil


cdef class Filter:
    def __init__(self, size_t run, size_t on_ip, size_t on_frame, owner):
        """Addresses of pcap_offline_filter and of the two compiled programs; 0: there is none."""
        self.run, self.on_ip, self.on_frame, self.owner = <void*>run, <void*>on_ip, <void*>on_frame, owner

    cdef bint matches(self, const Packet* p) noexcept nogil:
        cdef PcapHeader header
        cdef const uint8_t* start = p.ip
        cdef void* program = self.on_ip
        if program == NULL:
            if not p.has_link:
                return False
            program, start = self.on_frame, p.frame
        memset(&header, 0, sizeof(header))
        header.captured = <uint32_t>(p.end - start)
        header.length = p.ip_bytes + <uint32_t>(p.ip - start)
        if header.length < header.captured:
            header.length = header.captured
        return (<Run>self.run)(program, &header, start) != 0
