"""The small change that every room carries: spans, addresses, times."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cext.wire cimport be32, put_be64

ctypedef int64_t Time              # nanoseconds since 1970-01-01 UTC
ctypedef uint8_t Flag              # a bint of one byte; 0 or 1

cdef enum:
    SECOND = 1000000000            # in Time
    MILLISECOND = 1000000

cdef extern from *:
    """
    #define NEVER ((int64_t)1 << 62)
    """
    const Time NEVER               # later than any packet


cdef struct Span:                  # borrowed bytes: no owner, no end marker
    const uint8_t* p
    uint32_t n


cdef struct Addr:                  # IPv6 as on the wire; IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2)
    uint8_t b[16]


cdef inline Span span(const uint8_t* p, uint32_t n) noexcept nogil:
    """A span by call: the struct literal of an array member compiles to wrong C."""
    cdef Span s
    s.p = p
    s.n = n
    return s


cdef inline void copy_span(void* to, Span s) noexcept nogil:
    if s.n:                        # memcpy from nowhere is undefined, even of nothing
        memcpy(to, s.p, s.n)


cdef inline Time monotonic() noexcept nogil:
    """A clock that is never set; live only, for packets bring their own time."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <Time>now.tv_sec * SECOND + now.tv_nsec


cdef inline bint same_addr(const Addr* a, const Addr* b) noexcept nogil:
    return memcmp(a.b, b.b, 16) == 0


cdef inline bint is_v4(const Addr* a) noexcept nogil:
    """True for an address of the mapped form that IPv4 is kept in."""
    cdef uint64_t high
    memcpy(&high, a.b, 8)
    return high == 0 and a.b[8] == 0 and a.b[9] == 0 and a.b[10] == 0xff and a.b[11] == 0xff


cdef inline void set_v4(Addr* a, const uint8_t* wire) noexcept nogil:
    """In two halves, as it is read: a read of what was written in pieces waits for all of them."""
    put_be64(a.b, 0)
    put_be64(a.b + 8, <uint64_t>0xffff << 32 | be32(wire))


cdef inline void set_v6(Addr* a, const uint8_t* wire) noexcept nogil:
    memcpy(a.b, wire, 16)
