"""What kind of file begins so."""
from cext.types cimport Span


cdef Span mime_of(Span head) noexcept nogil
