"""IP fragments → whole datagrams (RFC 791, 3.2; RFC 8200, 4.5), in bounded memory.

The first copy of a byte wins.  When the table or its memory is full the oldest datagram gives way.  A finished
datagram's memory lives to the end of the batch.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from cext.types cimport SECOND, same_addr

cdef enum:
    FIRST_ROOM = 2048              # a fragment of an Ethernet


cdef inline uint32_t bucket_of(const Addr* src, const Addr* dst, uint32_t id) noexcept nogil:
    cdef uint32_t h = id * 2654435761u
    cdef int i
    for i in range(16):
        h = (h ^ src.b[i] ^ (<uint32_t>dst.b[i] << 8)) * 16777619u
    return (h ^ (h >> 15)) & 1023


cdef bint is_whole(const Datagram* d) noexcept nogil:
    """Every unit up to the end is here; units past a lying last fragment do not count."""
    cdef uint32_t want = (d.total + 7) // 8, word
    if d.units < want:
        return False
    for word in range(want // 64):
        if d.map[word] != ~<uint64_t>0:
            return False
    if want % 64 == 0:
        return True
    return d.map[want // 64] & ((<uint64_t>1 << (want % 64)) - 1) == (<uint64_t>1 << (want % 64)) - 1


cdef class Fragments:
    def __cinit__(self, uint64_t max_bytes=16 << 20, double timeout=30.0):
        self.max_bytes = max_bytes
        self.timeout = <Time>(timeout * SECOND)

    def __dealloc__(self):
        while self.oldest != NULL:
            self.remove(self.oldest)
        self.end_batch()

    cdef Datagram* offer(self, const Addr* src, const Addr* dst, uint8_t proto, uint32_t id, uint32_t envelope,
                         Time ts, uint32_t offset, bint more, const uint8_t* p, uint32_t n,
                         const uint8_t* header, uint32_t header_size) noexcept nogil:
        """Adds a fragment.  The whole datagram when it was the last missing piece, else NULL."""
        cdef Datagram* d = self.find(src, dst, proto, id, envelope, ts)
        if d == NULL or not self.fill(d, offset, more, p, n):
            return NULL
        if offset == 0 and d.header == 0 and header_size <= LONGEST_HEADER:
            memcpy(d.data + LONGEST_HEADER - header_size, header, header_size)
            d.header = header_size
        if not d.have_last or d.header == 0 or not is_whole(d):
            return NULL
        self.remove(d)
        self.completed += 1
        return d

    cdef Datagram* find(self, const Addr* src, const Addr* dst, uint8_t proto, uint32_t id, uint32_t envelope,
                        Time ts) noexcept nogil:
        """The datagram that the fragment belongs to: an old one, a new one, or NULL when memory is out."""
        cdef uint32_t at = bucket_of(src, dst, id)
        cdef Datagram* d
        while self.oldest != NULL and ts - self.oldest.began > self.timeout:
            self.expired += 1
            self.remove(self.oldest)
        d = self.buckets[at]
        while d != NULL:
            if (d.id == id and d.proto == proto and d.envelope == envelope
                    and same_addr(&d.src, src) and same_addr(&d.dst, dst)):
                return d
            d = d.chain
        while self.oldest != NULL and (self.count >= MOST_DATAGRAMS or self.bytes >= self.max_bytes):
            self.evicted += 1
            self.remove(self.oldest)
        d = <Datagram*>calloc(1, sizeof(Datagram))
        if d == NULL:
            return NULL
        d.src, d.dst, d.id, d.proto, d.envelope, d.began = src[0], dst[0], id, proto, envelope, ts
        d.chain = self.buckets[at]
        self.buckets[at] = d
        d.older = self.newest
        if self.newest != NULL:
            self.newest.newer = d
        else:
            self.oldest = d
        self.newest = d
        self.count += 1
        self.bytes += sizeof(Datagram)
        return d

    cdef bint fill(self, Datagram* d, uint32_t offset, bint more, const uint8_t* p, uint32_t n) noexcept nogil:
        """Copies the units that were not there; offset + n is at most LARGEST_DATAGRAM."""
        cdef uint32_t want = LONGEST_HEADER + offset + n, room, unit, at, size
        cdef uint8_t* data
        if not more and d.have_last and offset + n != d.total:
            return False           # two last fragments that end differently
        if want > d.room:
            room = want if want > FIRST_ROOM else FIRST_ROOM
            data = <uint8_t*>realloc(d.data, room)
            if data == NULL:
                return False
            self.bytes += room - d.room
            d.data, d.room = data, room
        if not more and not d.have_last:
            d.have_last = True
            d.total = offset + n
        at = 0
        while at < n:
            unit = (offset + at) // 8
            size = 8 if n - at >= 8 else n - at
            if not (d.map[unit >> 6] >> (unit & 63)) & 1:
                d.map[unit >> 6] |= <uint64_t>1 << (unit & 63)
                memcpy(d.data + LONGEST_HEADER + offset + at, p + at, size)
                d.units += 1
            at += 8
        return True

    cdef void remove(self, Datagram* d) noexcept nogil:
        """Out of the table; freed at the end of the batch."""
        cdef Datagram** link = &self.buckets[bucket_of(&d.src, &d.dst, d.id)]
        while link[0] != d:
            link = &link[0].chain
        link[0] = d.chain
        if d.older != NULL:
            d.older.newer = d.newer
        else:
            self.oldest = d.newer
        if d.newer != NULL:
            d.newer.older = d.older
        else:
            self.newest = d.older
        self.count -= 1
        self.bytes -= sizeof(Datagram) + d.room
        d.chain = self.finished
        self.finished = d

    cdef void end_batch(self) noexcept nogil:
        cdef Datagram* d
        while self.finished != NULL:
            d = self.finished
            self.finished = d.chain
            free(d.data)
            free(d)
