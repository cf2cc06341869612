"""Mirror sessions: what each mirrored interface and VNI sends, and how much of it is missing.

A cloud drops mirrored copies before it drops traffic, and says so nowhere.  A receiver's acknowledgement of data of
which no copy came shows it, as Zeek's capture_loss does; here for each session, for one may be starved and others not.
What a mirror shows a little late counts as missing, too: it is an estimate.
"""
from libc.stdlib cimport calloc, free

from cext.decap cimport MOST_ENVELOPES
from cext.record cimport Record, Schema, clear, put_number

cdef Schema TUNNEL = Schema("tunnel", "A mirror session: does it still send?  Written with each stats record, live.")
cdef int PACKETS = TUNNEL.count("packets", "Packets in flows since the worker began.", source="packets")
cdef int BYTES = TUNNEL.count("bytes", "Bytes of them, by the inner IP headers.", source="RFC 791, 3.1; RFC 8200, 3")
cdef int FIRST_SEEN = TUNNEL.time("first_seen", "Time of the first packet.", source="packet times")
cdef int LAST_SEEN = TUNNEL.time("last_seen", "Time of the last packet.", source="packet times")
cdef int TUNNEL_WORKER = TUNNEL.count("worker", "Number of the worker that saw these; others may have seen more.",
                                      source="packets")

cdef Schema LOSS = Schema("capture_loss", "How much of a mirror session is missing, by what was acknowledged without "
                                          "having been seen.  Written with each stats record, live.")
cdef int TS_DELTA = LOSS.interval("ts_delta", "Time that is judged: since the record before.", source="Zeek")
cdef int GAPS = LOSS.count("gaps", "Acknowledgements of data that was not seen.", source="Zeek; RFC 9293, 3.4")
cdef int ACKS = LOSS.count("acks", "Acknowledgements of data.", source="Zeek; RFC 9293, 3.4")
cdef int PERCENT_LOST = LOSS.real("percent_lost", "gaps of acks, in percent.", source="Zeek")
cdef int MISSED_BYTES = LOSS.count("missed_bytes", "Bytes that were acknowledged without having been seen.",
                                   source="RFC 9293, 3.4")
cdef int ACKED_BYTES = LOSS.count("acked_bytes", "Bytes that were acknowledged.", source="RFC 9293, 3.4")
cdef int LOSS_WORKER = LOSS.count("worker", "Number of the worker that saw these.", source="packets")


cdef class Sessions:
    def __cinit__(self):
        self.all = <Session*>calloc(MOST_ENVELOPES, sizeof(Session))
        if self.all == NULL:
            raise MemoryError("sessions")

    def __dealloc__(self):
        free(self.all)

    cdef void write(self, Writer writer, uint64_t count, Time now, uint64_t worker) noexcept nogil:
        """A tunnel record of each session, and a capture_loss record of each in which data was acknowledged."""
        cdef Record r
        cdef uint32_t i
        cdef Session* s
        for i in range(count):
            s = &self.all[i]
            if s.packets == 0:
                continue
            clear(&r)
            r.ts = now
            put_number(&r, PACKETS, s.packets)
            put_number(&r, BYTES, s.bytes)
            put_number(&r, FIRST_SEEN, <uint64_t>s.first)
            put_number(&r, LAST_SEEN, <uint64_t>s.last)
            put_number(&r, TUNNEL_WORKER, worker)
            writer.write_of_envelope(i, &TUNNEL.layout, &r)
            if s.acks > s.told_acks:
                self.write_loss(writer, i, self.told if self.told else s.first, now, worker)
        self.told = now

    cdef void write_loss(self, Writer writer, uint32_t envelope, Time since, Time now, uint64_t worker) noexcept nogil:
        cdef Session* s = &self.all[envelope]
        cdef Record r
        cdef uint64_t acks = s.acks - s.told_acks, gaps = s.gaps - s.told_gaps
        clear(&r)
        r.ts = now
        put_number(&r, TS_DELTA, <uint64_t>(now - since))
        put_number(&r, GAPS, gaps)
        put_number(&r, ACKS, acks)
        put_number(&r, PERCENT_LOST, gaps * 100000000 // acks * 1000)
        put_number(&r, MISSED_BYTES, s.missed - s.told_missed)
        put_number(&r, ACKED_BYTES, s.acked - s.told_acked)
        put_number(&r, LOSS_WORKER, worker)
        writer.write_of_envelope(envelope, &LOSS.layout, &r)
        s.told_acks, s.told_acked, s.told_gaps, s.told_missed = s.acks, s.acked, s.gaps, s.missed
