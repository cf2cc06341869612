"""The http record, which HTTP/1 and HTTP/2 write alike, and what its headers mean."""
from libc.stdint cimport uint8_t, uint32_t

from cext.record cimport Draft, Schema
from cext.types cimport Span
from parsers.shared.http_headers cimport Header

cdef Schema HTTP
cdef int TRANS_DEPTH, METHOD, HOST, URI, REFERRER, VERSION, USER_AGENT, ORIGIN, REQUEST_BODY_LEN
cdef int RESPONSE_BODY_LEN, STATUS_CODE, STATUS_MSG, INFO_CODE, INFO_MSG, USERNAME, PASSWORD, PROXIED
cdef int ORIGINAL_URI, REQUEST_CONTENT_TYPE, RESPONSE_CONTENT_TYPE, CLIENT_HEADER_NAMES, SERVER_HEADER_NAMES
cdef int REQUEST_ENCODED_LEN, RESPONSE_ENCODED_LEN, FIRST_BYTE, DURATION, AUTHORIZATION, COOKIE, SET_COOKIE
cdef int ORIG_MIME_TYPES, RESP_MIME_TYPES, REQUEST_SHA256, RESPONSE_SHA256
cdef int STREAM_ID, GRPC_SERVICE, GRPC_METHOD, GRPC_STATUS, GRPC_MESSAGE


cdef void keep_uri(Draft* d, Span said) noexcept nogil
cdef void list_header(Draft* d, bint asks, uint32_t wishes, const Header* known, Span name, Span value) noexcept nogil
cdef void keep_value(Draft* d, bint asks, const Header* known, Span value) noexcept nogil
cdef void split_grpc(Draft* d, Span path) noexcept nogil
