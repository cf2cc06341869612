"""JA3, JA3S and JA4: a hello → its fingerprint."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from cext.parser cimport Conn
from cext.record cimport Draft
from cext.types cimport Span

cdef enum:
    MOST_NUMBERS = 256             # of a list in a hello; real ones have fewer than a hundred


cdef struct Numbers:               # one list of a hello, as it stands there
    uint32_t n
    uint16_t items[MOST_NUMBERS]


cdef struct Hello:                 # what fingerprints are made of
    uint16_t version               # of the hello itself
    uint16_t best                  # the highest that supported_versions names; 0: none
    bint names_host
    Span alpn                      # the first
    Numbers ciphers
    Numbers extensions
    Numbers groups
    Numbers formats                # of points
    Numbers signatures


cdef void add_number(Numbers* list, uint16_t number) noexcept nogil
cdef void keep_ja3(Conn* conn, Draft* d, int field, const Hello* h) noexcept nogil
cdef void keep_ja3s(Conn* conn, Draft* d, int field, const Hello* h) noexcept nogil
cdef void keep_ja4(Conn* conn, Draft* d, int field, const Hello* h, uint8_t transport) noexcept nogil
cdef bint is_grease(uint16_t number) noexcept nogil
