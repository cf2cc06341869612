"""Flows that two tenants' mirror sessions show: one connection, seen twice.

Both ends of a connection are mirrored, each by a session of its own.  Inside of one tenant that is one flow.  Where
each VNI is a tenant, as by default, it is two, and the later one tells the uid of the first.  Two TCP connections are
one when ends and both initial sequence numbers are the same (RFC 9293, 3.4.1); two flows of UDP, when one of the first
datagrams is, within two seconds.

What was shown is kept in sets of four, where the oldest gives way.
"""
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import os

from cext.flow cimport MARK_SYN
from cext.types cimport SECOND
from cext.wire cimport be64, mix64

cdef enum:
    SETS = 1 << 14
    WAYS = 4
    COPY = 2                       # seconds in which both copies of a packet come
    LOOKS = 4                      # datagrams of a flow that are looked at
    PAYLOAD = 128                  # bytes of one that are

cdef Time EVER = <Time>1 << 62


cdef class Twins:
    def __cinit__(self):
        self.sights = <Sight*>calloc(SETS * WAYS, sizeof(Sight))
        if self.sights == NULL:
            raise MemoryError("twins")
        self.secret = int.from_bytes(os.urandom(8), "little") | 1

    def __dealloc__(self):
        free(self.sights)

    cdef void forget(self) noexcept nogil:
        """All that was shown: its times mean nothing any more."""
        memset(self.sights, 0, SETS * WAYS * sizeof(Sight))

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
        cdef uint64_t h = mix64(self.end(&p.src, p.sport, p.claimed), self.end(&p.dst, p.dport, 0) + self.secret)
        cdef uint32_t at = 0, n = p.captured if p.captured < PAYLOAD else PAYLOAD
        if n == 0 or f.side[0].packets + f.side[1].packets > LOOKS:
            return False
        while n - at >= 8:
            h = mix64(h ^ be64(p.payload + at), self.secret)
            at += 8
        while at < n:
            h = mix64(h ^ p.payload[at], self.secret)
            at += 1
        return self.look(f, h, p.ts, COPY * <Time>SECOND)

    cdef uint64_t end(self, const Addr* a, uint32_t port, uint32_t start) noexcept nogil:
        return mix64(be64(a.b) ^ self.secret, be64(a.b + 8) ^ (<uint64_t>port << 32 | start) ^ ~self.secret)

    cdef bint look(self, Flow* f, uint64_t key, Time now, Time longest) noexcept nogil:
        """Looks a key up, and keeps it where it is new."""
        cdef Sight* s = &self.sights[(key & (SETS - 1)) * WAYS]
        cdef Sight* oldest = s
        cdef int i
        for i in range(WAYS):
            if s[i].key == key:
                if s[i].tenant != f.uid_tenant and now - s[i].seen <= longest:
                    return self.meet(f, &s[i])
                oldest = &s[i]
                break
            if s[i].seen < oldest.seen:
                oldest = &s[i]
        if oldest.key and oldest.key != key and now - oldest.seen <= COPY * <Time>SECOND:
            self.forgotten += 1
        oldest.key, oldest.first, oldest.seen, oldest.tenant = key, f.first, now, f.uid_tenant
        return False

    cdef bint meet(self, Flow* f, Sight* s) noexcept nogil:
        """The later of two is the twin.  An earlier one that comes late takes the place: no two are each other's."""
        if f.first < s.first:
            s.first, s.tenant = f.first, f.uid_tenant
            return False
        f.is_twin, f.twin_first, f.twin_tenant = True, s.first, s.tenant
        self.found += 1
        return True
