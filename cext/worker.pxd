"""The loop; the only room that sees all others."""
from cython cimport final
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.accounts cimport Accounts
from cext.conn cimport ConnLog
from cext.decap cimport Decap
from cext.dispatch cimport Dispatch
from cext.flow cimport Flow, FlowTable
from cext.intake cimport Intake
from cext.packet cimport Packet
from cext.parser cimport Reason
from cext.sessions cimport Sessions
from cext.source cimport FrameSource
from cext.stream cimport Streams
from cext.twins cimport Twins
from cext.types cimport Time
from cext.writer cimport Writer


@final
cdef class Worker:
    cdef readonly Decap decap
    cdef readonly Writer writer
    cdef readonly Intake intake
    cdef FlowTable flows
    cdef Streams streams
    cdef Dispatch dispatch
    cdef ConnLog conns
    cdef Sessions sessions
    cdef Twins twin_flows
    cdef bint omit_twins
    cdef uint8_t server_ports[2][8192]   # by is_udp: bit set of the ports that servers use
    cdef Time interim              # between two conn records of a flow that goes on
    cdef uint64_t flow_packets
    cdef uint64_t evicted
    cdef uint64_t refused_before   # by the budget of what parsers own, before this worker began
    cdef uint64_t refused
    cdef uint64_t load_level
    cdef uint64_t load_worst       # since the owner asked
    cdef uint64_t unread
    cdef uint64_t lost             # stays 0: what a worker lost, the one that replaces it adds to its base
    cdef public uint64_t unwritten  # records that the owner could not get rid of
    cdef public uint64_t backlog   # bytes of records that the owner keeps
    cdef uint64_t memory_held
    cdef readonly Accounts accounts
    cdef FrameSource source        # whose counters are counted
    cdef uint64_t twins

    cdef int read(self, FrameSource source, Time limit) noexcept nogil
    cdef void look_at_the_load(self, FrameSource source) noexcept nogil
    cdef void book(self, FrameSource source) noexcept nogil
    cdef find_places(self, FrameSource source)
    cdef void weigh(self) noexcept nogil
    cdef void process(self, FrameSource source, Packet* batch, int n, Time now) noexcept nogil
    cdef void leave_twin(self, Flow* f) noexcept nogil
    cdef void take(self, const Packet* p) noexcept nogil
    cdef Time wake(self, const Flow* f) noexcept nogil
    cdef Flow* new_flow(self, const Packet* p, bint* is_orig) noexcept nogil
    cdef bint flips(self, const Packet* p) noexcept nogil
    cdef bint is_server_port(self, const Packet* p, uint16_t port) noexcept nogil
    cdef bint is_twin(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil
    cdef void take_twin(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil
    cdef void take_tcp(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil
    cdef void take_datagram(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil
    cdef Time timeout(self, const Flow* f) noexcept nogil
    cdef Time handshake_timeout(self, const Flow* f) noexcept nogil
    cdef void expire(self) noexcept nogil
    cdef void report(self, Flow* f, Time now) noexcept nogil
    cdef void finish(self, Flow* f, Reason why) noexcept nogil
