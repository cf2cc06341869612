"""SQL text: secrets in it masked, and its shape without its values."""
from libc.stdint cimport uint8_t, uint32_t

from cext.record cimport Draft
from cext.types cimport Span


cdef bint find_password(Span sql, uint32_t begin, uint32_t* start, uint32_t* end) noexcept nogil
cdef bint keep_masked(Draft* d, int field, int unmasked_field, Span sql) noexcept nogil
cdef uint32_t fingerprint_sql(Span sql, uint8_t* out) noexcept nogil
