"""Servers that speak first, in lines, and may go on in TLS: how such flows are told."""
from libc.stdint cimport uint32_t

from cext.cursor cimport Cursor
from cext.parser cimport Match

cdef Match greeting(Cursor c, const char* head, uint32_t size, const char* word, uint32_t n) noexcept nogil
cdef bint is_client_hello(const Cursor* c) noexcept nogil
