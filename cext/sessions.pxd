"""Mirror sessions: what each interface and VNI sends, and how much of it is missing."""
from cython cimport final
from libc.stdint cimport uint32_t, uint64_t

from cext.packet cimport Packet
from cext.types cimport Time
from cext.writer cimport Writer


cdef struct Session:               # of one envelope
    uint64_t packets
    uint64_t bytes                 # by the inner IP headers
    Time first
    Time last
    uint64_t acks                  # that acknowledged data …
    uint64_t acked                 # … how much
    uint64_t gaps                  # of them: that acknowledged data which was not seen …
    uint64_t missed                # … how much
    uint64_t told_acks             # what of these the last record told
    uint64_t told_acked
    uint64_t told_gaps
    uint64_t told_missed


@final
cdef class Sessions:
    cdef Session* all              # by number of the envelope
    cdef Time told                 # when capture_loss was last written

    cdef void write(self, Writer writer, uint64_t count, Time now, uint64_t worker) noexcept nogil
    cdef void write_loss(self, Writer writer, uint32_t envelope, Time since, Time now, uint64_t worker) noexcept nogil

    cdef inline void see(self, const Packet* p) noexcept nogil:
        """One packet of a flow."""
        cdef Session* s = &self.all[p.envelope]
        if s.packets == 0:
            s.first = p.ts
        s.packets += 1
        s.bytes += p.ip_bytes
        if p.ts > s.last:
            s.last = p.ts

    cdef inline void acknowledge(self, uint32_t envelope, uint64_t before, uint64_t seen, uint64_t acks) noexcept nogil:
        """An acknowledgement up to ``acks``, further than ``before``, of a side whose data was ``seen`` so far."""
        cdef Session* s = &self.all[envelope]
        s.acks += 1
        s.acked += acks - before
        if acks > seen:
            s.gaps += 1
            s.missed += acks - (seen if seen > before else before)
