"""Frames → packets that a flow can take."""
from cython cimport final
from libc.stdint cimport uint32_t, uint64_t

from cext.decap cimport Decap
from cext.filter cimport Filter
from cext.packet cimport BATCH, Frame, Packet
from cext.source cimport FrameSource
from cext.types cimport Time


@final
cdef class Intake:
    cdef Decap decap
    cdef Filter filter
    cdef public uint32_t shares    # of all flows, by their ends: those of other shares are passed over
    cdef public uint32_t share     # … ours, from 0
    cdef Time begin                # bounds of the packets used
    cdef Time end
    cdef Time now                  # the latest time of all frames
    cdef Time candidate            # a time far ahead that waits for a second packet to agree
    cdef uint64_t packets
    cdef uint64_t bytes
    cdef Frame frames[BATCH]
    cdef Packet batch[BATCH]
    cdef int opened                # packets in the batch

    cdef int read(self, FrameSource source, Time limit) noexcept nogil
    cdef bint admit(self, const Frame* frame, Packet* p) noexcept nogil
    cdef void advance(self, Time ts) noexcept nogil
    cdef void set_back(self, Time by) noexcept nogil
