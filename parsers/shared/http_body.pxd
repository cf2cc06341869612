"""HTTP bodies: how long they are, what kind they are, and their hash where it was asked for."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.parser cimport Conn
from cext.record cimport Draft
from cext.types cimport Flag, Span


cdef enum Coding:                  # RFC 9110, 8.4
    IDENTITY, GZIP, DEFLATE, BROTLI, ZSTD, UNKNOWN_CODING


cdef struct Body:
    uint8_t coding                 # a Coding
    Flag whole                     # all of it is read, for its hash
    Flag holed                     # some of it was not seen
    uint8_t tail_n                 # how many of tail are there
    uint8_t tail[4]                # the last bytes of one in gzip
    uint16_t look                  # bytes from here on that its kind is told by
    uint16_t n                     # bytes in head
    uint8_t* head                  # those, where they come in several pieces
    uint64_t seen                  # bytes as transferred
    Span kind                      # of file; a word of our own
    void* reader                   # takes the hash; owned


cdef void begin_body(Body* b, bint whole) noexcept nogil
cdef void set_coding(Body* b, Span said) noexcept nogil
cdef void expect(Body* b, uint64_t n) noexcept nogil
cdef uint64_t wanted(Conn* conn, Body* b, uint64_t run) noexcept nogil
cdef uint64_t to_skip(const Body* b, uint64_t run) noexcept nogil
cdef void take_body(Body* b, Span piece) noexcept nogil
cdef void pass_body(Body* b, uint64_t n) noexcept nogil
cdef void miss_body(Body* b, uint64_t n) noexcept nogil
cdef void tell_body(Body* b, Draft* d, bint asks, uint64_t seen, bint ended) noexcept nogil
cdef void free_body(Body* b) noexcept nogil
