"""The http record, which HTTP/1 and HTTP/2 write alike, and what its headers mean (RFC 9110)."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cext.cursor cimport (Cursor, Span, behind, byte_at, copy_span, equals_nocase, part, span, trimmed, until, within)
from cext.parser cimport HTTP_HEADERS, SECRETS
from cext.record cimport (Draft, Schema, keep_bytes, keep_item, keep_more, keep_text, lend_item, put_number,
                          put_text)
from cext.text cimport whole_text
from parsers.shared.http_headers cimport (AUTHORIZATION_HEADER, CONTENT_TYPE_HEADER, COOKIE_HEADER,
                                          GRPC_MESSAGE_HEADER, GRPC_STATUS_HEADER, HOST_HEADER, MOST_MEANINGS,
                                          ORIGIN_HEADER, PROXY_HEADER, REFERER_HEADER, SECRET_HEADER, SET_COOKIE_HEADER,
                                          USER_AGENT_HEADER)
from parsers.shared.http_lines cimport base64_value, hex_value, read_number

cdef Schema HTTP = Schema("http", "HTTP requests and their answers, a record for each pair.")
cdef int TRANS_DEPTH = HTTP.count("trans_depth", "Number of the transaction in its connection, from 1.", source="Zeek")
cdef int METHOD = HTTP.text("method", "Verb of the request.", max=64, source="RFC 9110, 9")
cdef int HOST = HTTP.text("host", "Host header of the request, with the port if it had one.", source="RFC 9110, 7.2")
cdef int URI = HTTP.text("uri", "Target of the request, percent sequences decoded.", max=8192, source="RFC 9112, 3.2")
cdef int REFERRER = HTTP.text("referrer", "Referer header of the request.", max=4096, source="RFC 9110, 10.1.3")
cdef int VERSION = HTTP.text("version", "HTTP version of the answer.", max=8, source="RFC 9112, 2.3")
cdef int USER_AGENT = HTTP.text("user_agent", "User-Agent header of the request.", source="RFC 9110, 10.1.5")
cdef int ORIGIN = HTTP.text("origin", "Origin header of the request.", source="RFC 6454, 7")
cdef int REQUEST_BODY_LEN = HTTP.count("request_body_len", "Bytes of the request's body, without chunk framing; of one "
                                       "in gzip, what it unpacks to as its end says (RFC 1952, 2.3.1).",
                                       source="RFC 9112, 6")
cdef int RESPONSE_BODY_LEN = HTTP.count("response_body_len", "The same of the answer's body.", source="RFC 9112, 6")
cdef int STATUS_CODE = HTTP.count("status_code", "Status of the answer.", source="RFC 9110, 15")
cdef int STATUS_MSG = HTTP.text("status_msg", "Reason phrase of the answer.", source="RFC 9112, 4")
cdef int INFO_CODE = HTTP.count("info_code", "Last interim status (1xx) before the answer.", source="RFC 9110, 15.2")
cdef int INFO_MSG = HTTP.text("info_msg", "Reason phrase of that.", source="RFC 9112, 4")
cdef int USERNAME = HTTP.text("username", "User name of Basic authentication.", source="RFC 7617, 2")
cdef int PASSWORD = HTTP.text("password", "Password of Basic authentication.", secret=True, source="RFC 7617, 2")
cdef int PROXIED = HTTP.texts("proxied", "Headers that tell of a proxy, as NAME -> value.", max=16,
                              source="RFC 7239, 4; RFC 9110, 7.6.3")
cdef int ORIGINAL_URI = HTTP.text("original_uri", "Target of the request as sent, where decoding changed it.", max=8192,
                                  source="RFC 9112, 3.2")
cdef int REQUEST_CONTENT_TYPE = HTTP.text("request_content_type", "Content-Type header of the request.", max=256,
                                          source="RFC 9110, 8.3")
cdef int RESPONSE_CONTENT_TYPE = HTTP.text("response_content_type", "Content-Type header of the answer.", max=256,
                                           source="RFC 9110, 8.3")
cdef int CLIENT_HEADER_NAMES = HTTP.texts("client_header_names", "Names of the request's headers, in order.", max=64,
                                          source="RFC 9112, 5")
cdef int SERVER_HEADER_NAMES = HTTP.texts("server_header_names", "Names of the answer's headers, in order.", max=64,
                                          source="RFC 9112, 5")
cdef int REQUEST_ENCODED_LEN = HTTP.count("request_encoded_len", "Bytes of an encoded request body as transferred.",
                                          source="RFC 9110, 8.4")
cdef int RESPONSE_ENCODED_LEN = HTTP.count("response_encoded_len", "Bytes of an encoded answer body as transferred.",
                                           source="RFC 9110, 8.4")
cdef int FIRST_BYTE = HTTP.interval("time_to_first_byte", "From the request's first packet to the answer's.",
                                    source="packet times")
cdef int DURATION = HTTP.interval("duration", "From the request's first packet to the last of the transaction.",
                                  source="packet times")
cdef int STREAM_ID = HTTP.count("stream_id", "Number of the stream, of HTTP/2.",
                                source="RFC 9113, 5.1.1")
cdef int GRPC_SERVICE = HTTP.text("grpc_service", "Service that was called, of gRPC.", max=256,
                                  source="gRPC over HTTP/2, Requests")
cdef int GRPC_METHOD = HTTP.text("grpc_method", "Method that was called, of gRPC.", max=256,
                                 source="gRPC over HTTP/2, Requests")
cdef int GRPC_STATUS = HTTP.count("grpc_status", "How that went: 0 is success.", source="gRPC over HTTP/2, Responses")
cdef int GRPC_MESSAGE = HTTP.text("grpc_message", "Words to that.", max=1024, source="gRPC over HTTP/2, Responses")
cdef int ORIG_MIME_TYPES = HTTP.texts("orig_mime_types", "Kind of file that the request's body is, by its first bytes.",
                                      max=1, source="content")
cdef int RESP_MIME_TYPES = HTTP.texts("resp_mime_types", "Kind of file that the answer's body is, likewise.", max=1,
                                      source="content")
cdef int REQUEST_SHA256 = HTTP.text("request_sha256", "SHA-256 of the request's body without its Content-Encoding, of "
                                    "whole bodies; when asked for (--http-sha256).", max=64, source="FIPS 180-4")
cdef int RESPONSE_SHA256 = HTTP.text("response_sha256", "The same of the answer's body.", max=64, source="FIPS 180-4")
cdef int REQUEST_HEADERS = HTTP.texts("request_headers", "Headers of the request as sent, NAME: value; when asked for "
                                      "(--http-headers). Values of secret ones are ***.", max=128, source="RFC 9112, 5")
cdef int RESPONSE_HEADERS = HTTP.texts("response_headers", "Headers of the answer, likewise.", max=128,
                                       source="RFC 9112, 5")
cdef int AUTHORIZATION = HTTP.text("authorization", "Authorization header of the request.", max=4096, secret=True,
                                   source="RFC 9110, 11.6.2")
cdef int COOKIE = HTTP.text("cookie", "Cookie header of the request.", max=4096, secret=True, source="RFC 6265, 4.2")
cdef int SET_COOKIE = HTTP.text("set_cookie", "Set-Cookie headers of the answer.", max=4096, secret=True,
                                source="RFC 6265, 4.1")

HTTP_SCHEMA = HTTP

cdef enum:
    NO_FIELD = -1
    LONGEST_PROXIED = 1024
    LONGEST_NAME = 64              # of a header, in the lists of names
    LONGEST_BASIC = 4096
    LONGEST_HEADER = 4096          # in the lists of headers


cdef int text_fields[2][MOST_MEANINGS]     # by "of a request?" and what a header means: the field that its value is

REQUEST_FIELDS = {
    AUTHORIZATION_HEADER: AUTHORIZATION, CONTENT_TYPE_HEADER: REQUEST_CONTENT_TYPE, COOKIE_HEADER: COOKIE,
    HOST_HEADER: HOST, ORIGIN_HEADER: ORIGIN, REFERER_HEADER: REFERRER, USER_AGENT_HEADER: USER_AGENT,
}
ANSWER_FIELDS = {CONTENT_TYPE_HEADER: RESPONSE_CONTENT_TYPE, GRPC_MESSAGE_HEADER: GRPC_MESSAGE}

cdef int meaning
for meaning in range(<int>MOST_MEANINGS):
    text_fields[True][meaning] = REQUEST_FIELDS.get(meaning, NO_FIELD)
    text_fields[False][meaning] = ANSWER_FIELDS.get(meaning, NO_FIELD)


cdef void keep_uri(Draft* d, Span said) noexcept nogil:
    """The target with its percent sequences decoded; the original too when that changed it."""
    cdef uint8_t* out
    cdef uint32_t i = 0, n = 0, size = said.n, high, low
    cdef Cursor c = within(said)
    until(&c, c'%')
    if c.short:
        keep_text(d, URI, said)
        return
    if size > HTTP.layout.fields[URI].max:
        size = HTTP.layout.fields[URI].max
        d.record.cut |= <uint64_t>1 << URI
    out = keep_bytes(d, size)
    if out == NULL:
        return
    while i < size:
        high, low = hex_value(byte_at(said, i + 1)), hex_value(byte_at(said, i + 2))
        out[n] = byte_at(said, i)
        if out[n] == c'%' and high < 16 and low < 16:
            out[n] = <uint8_t>(high << 4 | low)
            i += 2
        i += 1
        n += 1
    put_text(d.record, URI, span(out, n))
    if n != said.n:
        keep_text(d, ORIGINAL_URI, said)


cdef void list_header(Draft* d, bint asks, uint32_t wishes, const Header* known, Span name, Span value) noexcept nogil:
    """Adds a header of the request or answer to the lists of them; ``known`` is what find_header says of the name, and
    ``wishes`` are the operator's (policy)."""
    keep_name(d, CLIENT_HEADER_NAMES if asks else SERVER_HEADER_NAMES, known, name)
    if wishes & HTTP_HEADERS:
        keep_header(d, REQUEST_HEADERS if asks else RESPONSE_HEADERS, wishes, known, name, value)


cdef void keep_value(Draft* d, bint asks, const Header* known, Span value) noexcept nogil:
    """Keeps a header's value, if that is a field."""
    cdef int field = text_fields[asks][<int>known.meaning]
    cdef uint64_t code
    if field != NO_FIELD:
        keep_text(d, field, value)
        if known.meaning == AUTHORIZATION_HEADER:
            keep_basic(d, value)
    elif asks:
        if known.meaning == PROXY_HEADER:
            keep_proxied(d, known.capital, value)
    elif known.meaning == SET_COOKIE_HEADER:
        keep_more(d, SET_COOKIE, value, b"; ")
    elif known.meaning == GRPC_STATUS_HEADER and read_number(value, 10, &code):
        put_number(d.record, GRPC_STATUS, code)


cdef void split_grpc(Draft* d, Span path) noexcept nogil:
    """``/package.Service/Method`` (gRPC over HTTP/2, "Requests")."""
    cdef uint32_t at = path.n
    while at and byte_at(path, at - 1) != c'/':
        at -= 1
    if at > 1:
        keep_text(d, GRPC_SERVICE, part(path, 1, at - 2))
        keep_text(d, GRPC_METHOD, behind(path, at))


cdef void keep_proxied(Draft* d, Span name, Span value) noexcept nogil:
    """``NAME -> value``."""
    cdef uint8_t text[LONGEST_PROXIED]
    cdef Span kept = part(value, 0, LONGEST_PROXIED - 64)
    copy_span(text, name)
    memcpy(text + name.n, b" -> ", 4)
    copy_span(text + name.n + 4, kept)
    keep_item(d, PROXIED, span(text, name.n + 4 + kept.n))


cdef void keep_name(Draft* d, int field, const Header* known, Span name) noexcept nogil:
    """A header's name in capital letters, as Zeek writes it."""
    cdef uint8_t text[LONGEST_NAME]
    cdef uint32_t i
    if known.capital.n:
        lend_item(d, field, known.capital)
        return
    name = part(name, 0, LONGEST_NAME)
    for i in range(name.n):
        text[i] = upper(byte_at(name, i))
    keep_item(d, field, span(text, name.n))


cdef void keep_header(Draft* d, int field, uint32_t wishes, const Header* known, Span name, Span value) noexcept nogil:
    """``Name: value``, as it was sent; the value of a secret one only where secrets are written."""
    cdef uint8_t text[LONGEST_HEADER]
    cdef uint32_t n
    if not wishes & SECRETS and (known.meaning == AUTHORIZATION_HEADER or known.meaning == COOKIE_HEADER
                                 or known.meaning == SET_COOKIE_HEADER or known.meaning == SECRET_HEADER):
        value = span(<const uint8_t*>b"***", 3)
    name = part(name, 0, LONGEST_NAME)
    n = name.n
    copy_span(text, name)
    text[n], text[n + 1] = c':', c' '
    if value.n > LONGEST_HEADER - n - 2:
        d.record.cut |= <uint64_t>1 << field
        value = part(value, 0, whole_text(value.p, value.n, LONGEST_HEADER - n - 2))
    copy_span(text + n + 2, value)
    keep_item(d, field, span(text, n + 2 + value.n))


cdef inline uint8_t upper(uint8_t byte) noexcept nogil:
    return byte - 32 if c'a' <= byte <= c'z' else byte


cdef void keep_basic(Draft* d, Span value) noexcept nogil:
    """User and password of ``Basic`` credentials (RFC 7617)."""
    cdef uint8_t* out
    cdef uint32_t i, n = 0, bits = 0, held = 0, digit, at
    if value.n < 7 or not equals_nocase(part(value, 0, 6), b"basic ", 6):
        return
    value = part(trimmed(behind(value, 6)), 0, LONGEST_BASIC)
    out = keep_bytes(d, value.n)
    if out == NULL:
        return
    for i in range(value.n):
        digit = base64_value(byte_at(value, i))
        if digit > 63:
            break
        held = held << 6 | digit
        bits += 6
        if bits >= 8:
            bits -= 8
            out[n] = <uint8_t>(held >> bits)
            n += 1
    for at in range(n):
        if out[at] == c':':
            put_text(d.record, USERNAME, span(out, at))
            put_text(d.record, PASSWORD, span(out + at + 1, n - at - 1))
            return
