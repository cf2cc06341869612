"""Names of HTTP headers: one look tells what a header means and how it is listed."""
from libc.stdint cimport uint64_t

from cext.types cimport Span


cdef enum Meaning:
    UNKNOWN_HEADER
    LISTED_HEADER
    CONTENT_ENCODING_HEADER
    CONTENT_LENGTH_HEADER
    TRANSFER_ENCODING_HEADER
    FIRST_OF_FRAMING = CONTENT_ENCODING_HEADER
    LAST_OF_FRAMING = TRANSFER_ENCODING_HEADER
    AUTHORIZATION_HEADER
    CONTENT_TYPE_HEADER
    COOKIE_HEADER
    GRPC_MESSAGE_HEADER
    GRPC_STATUS_HEADER
    HOST_HEADER
    ORIGIN_HEADER
    PROXY_HEADER
    REFERER_HEADER
    SECRET_HEADER
    SET_COOKIE_HEADER
    USER_AGENT_HEADER
    UPGRADE_HEADER
    WEBSOCKET_EXTENSIONS_HEADER
    WEBSOCKET_PROTOCOL_HEADER
    FIRST_OF_UPGRADE = UPGRADE_HEADER
    LAST_OF_UPGRADE = WEBSOCKET_PROTOCOL_HEADER
    MOST_MEANINGS                  # how many


cdef struct Header:
    Meaning meaning
    uint64_t ends                  # letters of the small one, to find it by
    uint64_t middle
    Span small                     # the name in lower case
    Span capital                   # … and in capital letters; both live as long as the process


cdef const Header* find_header(Span name) noexcept nogil
