"""A table of the header names in use, found by their length and the letters at their ends.

Trick "known name": a header is listed by a word of our own, neither turned to capitals nor copied.  One look also
replaces a chain of comparisons for what it means.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport byte_at, equals_nocase, load4, load8, same_letters
from cext.types cimport span
from cext.words cimport add_word

cdef enum:
    SLOTS = 512                    # about four times as many as there are names; slot_of gives nine bits

cdef Header table[SLOTS]           # an empty slot has no name
cdef Header unknown                # all zero
cdef list alive = []               # what the table points into

MEANINGS = {
    "authorization": AUTHORIZATION_HEADER, "proxy-authorization": AUTHORIZATION_HEADER,
    "content-encoding": CONTENT_ENCODING_HEADER,
    "content-length": CONTENT_LENGTH_HEADER,
    "content-type": CONTENT_TYPE_HEADER,
    "cookie": COOKIE_HEADER,
    "grpc-message": GRPC_MESSAGE_HEADER, "grpc-status": GRPC_STATUS_HEADER,
    "host": HOST_HEADER,
    "origin": ORIGIN_HEADER,
    "referer": REFERER_HEADER,
    "set-cookie": SET_COOKIE_HEADER,
    "transfer-encoding": TRANSFER_ENCODING_HEADER,
    "upgrade": UPGRADE_HEADER,
    "user-agent": USER_AGENT_HEADER,
    "sec-websocket-extensions": WEBSOCKET_EXTENSIONS_HEADER,
    "sec-websocket-protocol": WEBSOCKET_PROTOCOL_HEADER,
}
PROXY = "forwarded x-forwarded-for x-forwarded-from client-ip via xroxy-connection proxy-connection"   # Zeek's list
SECRETS = """
authentication-info cookie2 private-token proxy-authentication-info set-cookie2 x-access-token x-amz-security-token
x-api-key x-auth-token x-aws-ec2-metadata-token x-csrf-token x-vault-token x-xsrf-token
"""
OTHERS = """
accept accept-charset accept-encoding accept-language accept-patch accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc cache-control
cdn-loop cf-cache-status cf-connecting-ip cf-ray clear-site-data connection content-disposition content-language
content-location content-range content-security-policy content-security-policy-report-only
cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy date depth destination
device-memory dnt downlink early-data etag expect expires from grpc-accept-encoding grpc-encoding grpc-timeout
http2-settings if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified link
location max-forwards nel origin-agent-cluster p3p permissions-policy pragma priority proxy-authenticate range
referrer-policy report-to retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode
sec-fetch-site sec-fetch-user sec-gpc sec-websocket-accept sec-websocket-key sec-websocket-version server
server-timing soapaction strict-transport-security te timing-allow-origin traceparent tracestate trailer
upgrade-insecure-requests vary warning www-authenticate x-amz-cf-id x-amz-cf-pop x-amz-content-sha256 x-amz-date
x-amz-id-2 x-amz-request-id x-amz-target x-amzn-requestid x-amzn-trace-id x-aspnet-version
x-aws-ec2-metadata-token-ttl-seconds x-b3-sampled x-b3-spanid x-b3-traceid x-cache x-cache-hits x-content-type-options
x-correlation-id x-dns-prefetch-control x-envoy-upstream-service-time x-forwarded-host x-forwarded-port
x-forwarded-proto x-frame-options x-powered-by x-real-ip x-request-id x-requested-with x-robots-tag x-served-by
x-timer x-ua-compatible x-xss-protection
"""


cdef const Header* find_header(Span name) noexcept nogil:
    """What is known of a name; for an unknown one a Header with neither meaning nor names."""
    cdef uint64_t ends = ends_of(name), middle = middle_of(name)
    cdef uint32_t at = slot_of(ends, name.n)
    while table[at].small.n:
        if is_at(&table[at], name, ends, middle):
            return &table[at]
        at = (at + 1) & (SLOTS - 1)
    return &unknown


cdef inline bint is_at(const Header* known, Span name, uint64_t ends, uint64_t middle) noexcept nogil:
    return known.small.n == name.n and same_letters(ends, known.ends) and same_letters(middle, known.middle) and (
        name.n <= 16 or equals_nocase(name, <const char*>known.small.p, known.small.n))


cdef inline uint64_t ends_of(Span name) noexcept nogil:
    """Its first four letters and its last four, which may be the same ones; of a short one each."""
    if name.n >= 4:
        return load4(name.p) | load4(name.p + name.n - 4) << 32
    return byte_at(name, 0) | <uint32_t>byte_at(name, 1) << 8 | <uint32_t>byte_at(name, 2) << 16


cdef inline uint64_t middle_of(Span name) noexcept nogil:
    """The eight in the middle, which are all that is not at the ends of one of at most sixteen."""
    return load8(name.p + (name.n >> 1) - 4) if name.n >= 8 else 0


cdef inline uint32_t slot_of(uint64_t ends, uint32_t n) noexcept nogil:
    """The first slot to look into, whatever the case of the letters."""
    return <uint32_t>(((ends | 0x2020202020202020u) + n) * 0x9e3779b97f4a7c15u >> 55)


cdef add(str name, Meaning meaning):
    cdef bytes small = name.encode()
    cdef Span key = span(<const uint8_t*>(<const char*>small), <uint32_t>len(small))
    cdef uint32_t at = slot_of(ends_of(key), key.n)
    while table[at].small.n:
        at = (at + 1) & (SLOTS - 1)
    alive.append(small)
    table[at].meaning, table[at].small = meaning, key
    table[at].ends, table[at].middle = ends_of(key), middle_of(key)
    table[at].capital = add_word(name.upper())


for name, meaning in MEANINGS.items():
    add(name, meaning)
for name in PROXY.split():
    add(name, PROXY_HEADER)
for name in SECRETS.split():
    add(name, SECRET_HEADER)
for name in OTHERS.split():
    add(name, LISTED_HEADER)
