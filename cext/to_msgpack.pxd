"""Record → one msgpack map."""
from libc.stdint cimport uint32_t

from cext.buffer cimport Buffer
from cext.record cimport Layout, Record

cdef bint msgpack_fields(Buffer* out, const Layout* layout, Record* r, bint secrets, uint32_t* count) noexcept nogil
cdef bint msgpack_map(Buffer* out, const Layout* layout, Record* r, const Buffer* identity, uint32_t identity_count,
                      bint secrets) noexcept nogil
