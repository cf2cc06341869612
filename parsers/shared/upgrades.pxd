"""The websocket record: declared here because HTTP writes it, and the parser of what follows is named by it."""
from cext.parser cimport Conn
from cext.record cimport Draft, Schema
from cext.types cimport Span
from parsers.shared.http_headers cimport Meaning

cdef Schema WEBSOCKET
cdef void websocket_header(Draft** d, bint asks, Meaning meaning, Span value) noexcept nogil
cdef Draft* new_upgrade() noexcept nogil
cdef void log_websocket(Conn* conn, Draft* d, Span host, Span uri, Span user_agent) noexcept nogil
