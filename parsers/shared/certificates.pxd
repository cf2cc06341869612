"""Certificates seen on the wire → x509 records, and what an ssl record says of its leaf."""
from cext.parser cimport Conn
from cext.types cimport Span


cdef object read_certificate(Conn* conn, Span der, bint leaf, bint client)
