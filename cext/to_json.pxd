"""Record → one JSON line."""
from libc.stdint cimport uint8_t, uint32_t

from cext.buffer cimport Buffer
from cext.record cimport Layout, Record

cdef bint json_fields(Buffer* out, const Layout* layout, Record* r, bint secrets) noexcept nogil
cdef bint json_line(Buffer* out, const Layout* layout, Record* r, const Buffer* identity, bint secrets) noexcept nogil
