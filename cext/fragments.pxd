"""IP fragments → whole datagrams, in bounded memory."""
from cython cimport final
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.types cimport Addr, Time

cdef enum:
    MOST_DATAGRAMS = 4096          # being put together at a time
    LONGEST_HEADER = 60            # of the IP header kept in front
    LARGEST_DATAGRAM = 65535
    MAP_WORDS = 128                # a bit for each unit of 8 bytes (RFC 791, 3.1)


cdef struct Datagram:
    Addr src
    Addr dst
    uint32_t id
    uint32_t envelope              # fragments of different envelopes never meet
    uint8_t proto
    bint have_last
    uint32_t header                # bytes of the IP header in front of data
    uint32_t total                 # payload bytes, once the last fragment is here
    uint32_t units                 # units here
    uint32_t room
    Time began
    uint8_t* data                  # LONGEST_HEADER bytes of room, then the payload
    Datagram* chain                # same bucket, or free list, or finished list
    Datagram* older
    Datagram* newer
    uint64_t map[MAP_WORDS]


@final
cdef class Fragments:
    cdef Datagram* buckets[1024]
    cdef Datagram* finished        # handed out, freed at the end of the batch
    cdef Datagram* oldest
    cdef Datagram* newest
    cdef uint32_t count
    cdef uint64_t bytes
    cdef uint64_t max_bytes
    cdef Time timeout
    cdef uint64_t evicted          # gave way to newer ones
    cdef uint64_t expired
    cdef uint64_t completed

    cdef Datagram* offer(self, const Addr* src, const Addr* dst, uint8_t proto, uint32_t id, uint32_t envelope,
                         Time ts, uint32_t offset, bint more, const uint8_t* p, uint32_t n,
                         const uint8_t* header, uint32_t header_size) noexcept nogil
    cdef void end_batch(self) noexcept nogil
    cdef Datagram* find(self, const Addr* src, const Addr* dst, uint8_t proto, uint32_t id, uint32_t envelope,
                        Time ts) noexcept nogil
    cdef bint fill(self, Datagram* d, uint32_t offset, bint more, const uint8_t* p, uint32_t n) noexcept nogil
    cdef void remove(self, Datagram* d) noexcept nogil
