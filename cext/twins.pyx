"""Flows that two tenants' mirror sessions show: one connection, seen twice.

Both ends of a connection are mirrored, each by a session of its own.  Inside of one tenant that is one flow.  Where
each VNI is a tenant, as by default, it is two, and the later one tells the uid of the first.  Two TCP connections are
one when ends and both initial sequence numbers are the same (RFC 9293, 3.4.1); two flows of UDP, when one of the first
datagrams is, within two seconds.

What was shown is kept in sets of four, where the oldest gives way.
"""
from libc.stdlib cimport free
from libc.string cimport memset

import os

from cext.flow cimport MARK_SYN
from cext.pool cimport take_pages
from cext.types cimport SECOND
from cext.wire cimport be64, mix64, prefetch

cdef enum:
    SETS = 1 << 14
    COPY = 2                       # seconds in which both copies of a packet come
    LOOKS = 4                      # datagrams of a flow that are looked at
    PAYLOAD = 128                  # bytes of one that are

cdef Time EVER = <Time>1 << 62


cdef class Twins:
    def __cinit__(self):
        self.sets = <Sights*>take_pages(SETS * sizeof(Sights))
        if self.sets == NULL:
            raise MemoryError("twins")
        self.forget()
        self.secret = int.from_bytes(os.urandom(8), "little") | 1

    def __dealloc__(self):
        free(self.sets)

    cdef void forget(self) noexcept nogil:
        """All that was shown: its times mean nothing any more."""
        memset(self.sets, 0, SETS * sizeof(Sights))

    cdef bint is_handshake_known(self, Flow* f, Time now) noexcept nogil:
        """A SYN has come.  True when both are here, and another tenant has shown them too."""
        cdef uint64_t a, b
        if not f.marks & MARK_SYN or not f.marks >> 16 & MARK_SYN:
            return False
        a = self.end(&f.orig_h, f.orig_p, f.side[True].start)
        b = self.end(&f.resp_h, f.resp_p, f.side[False].start)
        return self.look(f, mix64(a ^ self.secret, b + self.secret), now, EVER)

    cdef bint is_datagram_known(self, Flow* f, const Packet* p) noexcept nogil:
        """One of a flow's first datagrams has come.  True when another tenant has shown it too."""
        if p.captured == 0 or f.ends[0].packets + f.ends[1].packets > LOOKS:
            return False
        return self.look(f, p.sight if p.sight else self.datagram_key(p), p.ts, COPY * <Time>SECOND)

    cdef void prefetch_sights(self, const Flow* f, Packet* p) noexcept nogil:
        """Where is_datagram_known will look; NULL for a packet that begins a flow."""
        if f == NULL or f.ends[0].packets + f.ends[1].packets < LOOKS:
            p.sight = self.datagram_key(p)
            prefetch(&self.sets[p.sight & (SETS - 1)])

    cdef uint64_t datagram_key(self, const Packet* p) noexcept nogil:
        cdef uint64_t h = mix64(self.end(&p.src, p.sport, p.claimed), self.end(&p.dst, p.dport, 0) + self.secret)
        cdef uint32_t at = 0, n = p.captured if p.captured < PAYLOAD else PAYLOAD
        while n - at >= 8:
            h = mix64(h ^ be64(p.payload + at), self.secret)
            at += 8
        if n >= 8:                 # the last eight, some of them once more
            return mix64(h ^ be64(p.payload + n - 8), self.secret)
        while at < n:
            h = mix64(h ^ p.payload[at], self.secret)
            at += 1
        return h

    cdef uint64_t end(self, const Addr* a, uint32_t port, uint32_t start) noexcept nogil:
        return mix64(be64(a.b) ^ self.secret, be64(a.b + 8) ^ (<uint64_t>port << 32 | start) ^ ~self.secret)

    cdef bint look(self, Flow* f, uint64_t key, Time now, Time longest) noexcept nogil:
        """Looks a key up, and keeps it where it is new."""
        cdef Sights* s = &self.sets[key & (SETS - 1)]
        cdef int i, oldest = 0
        for i in range(WAYS):
            if s.keys[i] == key:
                if s.tenant[i] != f.uid_tenant and now - s.seen[i] <= longest:
                    return self.meet(f, s, i)
                oldest = i
                break
            if s.seen[i] < s.seen[oldest]:
                oldest = i
        if s.keys[oldest] and s.keys[oldest] != key and now - s.seen[oldest] <= COPY * <Time>SECOND:
            self.forgotten += 1
        s.keys[oldest], s.first[oldest], s.seen[oldest], s.tenant[oldest] = key, f.first, now, f.uid_tenant
        return False

    cdef bint meet(self, Flow* f, Sights* s, int way) noexcept nogil:
        """The later of two is the twin.  An earlier one that comes late takes the place: no two are each other's."""
        if f.first < s.first[way]:
            s.first[way], s.tenant[way] = f.first, f.uid_tenant
            return False
        f.is_twin, f.twin_first, f.twin_tenant = True, s.first[way], s.tenant[way]
        self.found += 1
        return True
