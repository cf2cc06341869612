"""AF_PACKET ring → batches of frames that borrow its blocks."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.packet cimport Frame
from cext.source cimport FrameSource
from cext.types cimport Time

cdef extern from "sys/socket.h" nogil:
    enum: SOL_PACKET
    ctypedef unsigned int socklen_t
    int getsockopt(int fd, int level, int name, void* value, socklen_t* size)

cdef extern from "linux/if_packet.h" nogil:
    enum: TP_STATUS_KERNEL
    enum: TP_STATUS_USER
    enum: TP_STATUS_VLAN_VALID
    enum: TP_STATUS_VLAN_TPID_VALID
    enum: PACKET_STATISTICS
    cdef struct tpacket_hdr_v1:
        uint32_t block_status
        uint32_t num_pkts
        uint32_t offset_to_first_pkt
        uint64_t seq_num
    cdef union tpacket_bd_header_u:
        tpacket_hdr_v1 bh1
    cdef struct tpacket_block_desc:
        tpacket_bd_header_u hdr
    cdef struct tpacket_hdr_variant1:
        uint32_t tp_vlan_tci
        unsigned short tp_vlan_tpid
    cdef struct tpacket3_hdr:
        uint32_t tp_next_offset
        uint32_t tp_sec
        uint32_t tp_nsec
        uint32_t tp_snaplen
        uint32_t tp_status
        unsigned short tp_mac
        tpacket_hdr_variant1 hv1
    cdef struct tpacket_stats_v3:
        unsigned int tp_packets
        unsigned int tp_drops
        unsigned int tp_freeze_q_cnt


@final
cdef class Ring(FrameSource):
    cdef uint8_t* base
    cdef size_t size
    cdef uint32_t block_size
    cdef uint32_t block_count
    cdef uint32_t link
    cdef tpacket3_hdr* next
    cdef uint32_t left             # frames of the block in hand that were not given yet
    cdef tpacket3_hdr* ahead       # what look_ahead has come to …
    cdef uint32_t ahead_left       # … and how many it has before it, with itself

    cdef tpacket_block_desc* block_at(self, uint64_t number) noexcept nogil
    cdef bint open_block(self) noexcept nogil
    cdef void take(self, Frame* frame) noexcept nogil
