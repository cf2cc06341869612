"""DNS messages as the wire has them, and how Zeek says what is in them."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.cursor cimport Cursor
from cext.parser cimport Conn
from cext.types cimport Addr, Span

cdef enum:
    HEADER = 12                    # the first name of a message begins behind it (RFC 1035, 4.1)
    NAME_ROOM = 512                # a name is at most 255 bytes long (RFC 1035, 2.3.4); its bytes may be anything
    WORDS_ROOM = 4096              # of one answer
    NETBIOS_PORT = 137

cdef enum Type:
    TYPE_A = 1
    TYPE_NS = 2
    TYPE_CNAME = 5
    TYPE_SOA = 6
    TYPE_WKS = 11
    TYPE_PTR = 12
    TYPE_HINFO = 13
    TYPE_MX = 15
    TYPE_TXT = 16
    TYPE_AAAA = 28
    TYPE_LOC = 29
    TYPE_NBNS = 32
    TYPE_SRV = 33
    TYPE_NAPTR = 35
    TYPE_A6 = 38
    TYPE_OPT = 41
    TYPE_DS = 43
    TYPE_SSHFP = 44
    TYPE_RRSIG = 46
    TYPE_NSEC = 47
    TYPE_DNSKEY = 48
    TYPE_NSEC3 = 50
    TYPE_NSEC3PARAM = 51
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_SPF = 99
    TYPE_TKEY = 249
    TYPE_TSIG = 250
    TYPE_CAA = 257
    TYPE_BINDS = 65534


cdef struct Words:                 # what one answer says, while it is written
    uint32_t n
    uint8_t text[WORDS_ROOM]


cdef struct Name:
    uint32_t n
    uint8_t text[NAME_ROOM]


cdef struct Resource:              # one resource record (RFC 1035, 4.1.3)
    uint16_t type
    uint16_t cls
    uint32_t ttl
    Cursor owner                   # where its name begins; read_owner has it
    Span data


cdef bint read_name(Conn* conn, Span message, Cursor* c, Name* name) noexcept nogil
cdef void read_owner(Span message, const Resource* r, Name* name) noexcept nogil
cdef bint read_resource(Conn* conn, Span message, Cursor* c, Resource* r) noexcept nogil
cdef void decode_netbios(Name* name) noexcept nogil
cdef bint is_said(uint16_t kind, uint16_t port) noexcept nogil
cdef bint say_resource(Conn* conn, Span message, const Resource* r, Words* w) noexcept nogil
cdef void say(Words* w, const char* text, uint32_t n) noexcept nogil
cdef void say_number(Words* w, uint64_t value) noexcept nogil
cdef void say_addr(Words* w, const Addr* a) noexcept nogil
