"""What the TCP headers of both sides add up to: sequence spaces, states, history."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cext.flow cimport Flow, Side
from cext.packet cimport Packet


cdef struct Turn:                  # one TCP packet, seen from its flow
    int64_t at                     # relative sequence number of its first payload byte
    uint64_t acks                  # relative number that it acknowledges; 0: none that can be trusted
    bint is_orig                   # the sender, after the ends may have changed places
    bint usable                    # its payload belongs to the stream
    bint closing                   # both sides are done, or one was reset: the flow's end is near


cdef void take_turn(Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil
cdef void locate(const Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil
cdef bint begins_anew(const Flow* f, const Packet* p) noexcept nogil
cdef uint64_t stream_bytes(const Flow* f, bint is_orig) noexcept nogil
cdef const char* conn_state(const Flow* f) noexcept nogil
cdef bint clean(const Flow* f) noexcept nogil
