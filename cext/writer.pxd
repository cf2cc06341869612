"""Records → encoded bytes, by kind, with the identity of their flow in front."""
from cython cimport final
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.buffer cimport Buffer
from cext.decap cimport Decap
from cext.flow cimport Flow
from cext.networks cimport Networks
from cext.parser cimport Conn, Sink
from cext.record cimport Layout, Record
from cext.told cimport Told
from cext.types cimport Addr, Time

cdef enum:
    MOST_KINDS = 64
    CACHED = 1024                  # identities kept
    CACHED_SIZE = 512
    UID_SIZE = 18
    WRAPPINGS = 128                # envelopes kept
    WRAPPING_SIZE = 240


cdef struct Cached:                # the identity of a flow, as encoded
    uint64_t hash
    Time first
    uint32_t number
    uint32_t flips
    uint32_t envelope
    bint is_twin
    Addr orig_h
    Addr resp_h
    uint32_t size
    uint32_t count                 # keys in it
    uint8_t bytes[CACHED_SIZE]


cdef struct Wrapping:              # an envelope, as encoded
    bint known
    uint32_t number
    uint32_t size
    uint32_t count                 # keys in it
    uint8_t bytes[WRAPPING_SIZE]


@final
cdef class Writer(Sink):
    cdef Decap decap
    cdef bint msgpack
    cdef bint secrets
    cdef bint by_kind              # a buffer for each kind, not one for all
    cdef uint64_t wanted           # kinds that are written, one bit each
    cdef uint64_t seed[2]
    cdef Buffer buffers[MOST_KINDS]
    cdef Buffer spares[MOST_KINDS]
    cdef Buffer scratch
    cdef Cached* cache
    cdef Wrapping wrappings[WRAPPINGS]
    cdef uint64_t records[MOST_KINDS]
    cdef readonly uint64_t pending  # bytes that wait to be drained
    cdef uint64_t asked            # questions put to Python
    cdef dict tenant_names
    cdef bint names_tenants
    cdef Networks local
    cdef Told told                 # certificates and the like
    cdef dict weirds               # name → how often
    cdef object answers            # kind → callable(bytes) → bytes

    cdef object taken(self, int i)
    cdef void put(self, Flow* f, const Layout* layout, Record* r) noexcept nogil
    cdef Buffer identity(self, Flow* f, uint32_t* count) noexcept nogil
    cdef void encode(self, const Layout* layout, Record* r, const Buffer* identity, uint32_t count) noexcept nogil
    cdef void write_of_envelope(self, uint32_t envelope, const Layout* layout, Record* r) noexcept nogil
    cdef bint render_flow(self, Flow* f, uint32_t* count) noexcept nogil
    cdef bint render_envelope(self, uint32_t number, uint32_t* count) noexcept nogil
    cdef bint render(self, Record* r, uint32_t* count) noexcept nogil
    cdef void put_envelope(self, Record* r, uint32_t number, uint8_t* hex) noexcept nogil
    cdef void uid(self, const Flow* f, uint32_t tenant, Time first, uint8_t* text) noexcept nogil
    cdef void put_tenant(self, Record* r, uint32_t tenant) noexcept with gil
    cdef void count_weird(self, const char* name) noexcept with gil


@final
cdef class Encoded:
    cdef Buffer bytes
    cdef Writer writer             # where they go back
    cdef int kind
