"""Names and resource records of DNS messages, and how Zeek says what they hold (RFC 1035, 3 and 4.1).

    bytes ──▶ Name, Resource ──▶ Words
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cext.cursor cimport behind, copy_lower, left, part, pass_over, take, u8, u16, u32, within
from cext.parser cimport weird
from cext.text cimport LONGEST_ADDR, put_address, put_decimal, put_hex
from cext.types cimport set_v4, set_v6

cdef enum:
    MOST_JUMPS = 32                # compression pointers in a name


cdef bint read_name(Conn* conn, Span message, Cursor* c, Name* name) noexcept nogil:
    """A name with its compression (RFC 1035, 4.1.4), in lower case, without the last dot.  False: not readable.

    ``conn`` is told what is odd; NULL when only a probe asks.  ``name`` is NULL where it is only passed over.
    """
    return walk_name(conn, message, c, name, 255 if conn != NULL and conn.flow.resp_p == NETBIOS_PORT else 63)


cdef void read_owner(Span message, const Resource* r, Name* name) noexcept nogil:
    """Whose a resource record is, which has been read: what was odd of the name is told."""
    cdef Cursor c = r.owner
    walk_name(NULL, message, &c, name, 255)


cdef bint walk_name(Conn* conn, Span message, Cursor* c, Name* name, uint32_t longest) noexcept nogil:
    """The same, with labels of up to ``longest`` bytes.  A pointer leads backwards only, so that it ends.  One to the
    first name of the message, as most answers have it, is not followed in vain: that name was read before."""
    cdef Cursor at = c[0]
    cdef bint is_first = left(c) + HEADER >= message.n
    cdef uint32_t size, target, here, jumps = 0, n = 0, end = message.n
    cdef Span label
    if name != NULL:
        name.n = 0
    while True:
        here = end - left(&at)
        size = u8(&at)
        if at.short or size == 0:
            break
        if size & 0xc0 == 0xc0:
            target = (size & 0x3f) << 8 | u8(&at)
            if jumps == 0:
                c[0] = at
            jumps += 1
            if at.short or target >= here or jumps > MOST_JUMPS:
                odd(conn, b"DNS_label_forward_compress_offset" if target >= here else b"DNS_excessive_compression")
                c.short = jumps > MOST_JUMPS
                break
            if target == HEADER and n == 0 and name == NULL and not is_first:
                break
            at = within(part(message, target, here - target))
            end = here
            continue
        label = take(&at, size)
        if at.short:
            odd(conn, b"DNS_label_len_gt_pkt")
            return False
        if size > longest:
            odd(conn, b"DNS_label_too_long")
            return False
        if n + size + 1 > NAME_ROOM:
            odd(conn, b"DNS_label_len_gt_name_len")
            return False
        if name != NULL:
            copy_lower(name.text + n, label)
            name.text[n + size] = c'.'
            name.n = n + size      # without the dot behind it
        n += size + 1
    if jumps == 0:
        c[0] = at
        c.short = False
    if n >= 255:
        odd(conn, b"DNS_NAME_too_long")
    return not c.short


cdef void odd(Conn* conn, const char* what) noexcept nogil:
    if conn != NULL:
        weird(conn, what)


cdef void decode_netbios(Name* name) noexcept nogil:
    """A NetBIOS name of 16 bytes, each in two letters from A to P (RFC 1001, 14.1); its last byte is a type."""
    cdef uint32_t i, n = 0, byte
    if name.n < 32:
        return
    for i in range(15):
        byte = (<uint32_t>name.text[2 * i] - c'a') << 4 | ((<uint32_t>name.text[2 * i + 1] - c'a') & 15)
        if byte <= 32 and byte > 2 or byte > 126 or byte == 0:
            break
        name.text[n] = <uint8_t>byte
        n += 1
    name.n = n


cdef bint read_resource(Conn* conn, Span message, Cursor* c, Resource* r) noexcept nogil:
    """RFC 1035, 4.1.3.  False where the message cannot be read on."""
    cdef uint32_t size
    r.owner = c[0]
    if not read_name(conn, message, c, NULL):
        return False
    if left(c) < 4:
        odd(conn, b"DNS_truncated_ans_too_short")
        return False
    r.type, r.cls, r.ttl, size = u16(c), u16(c), u32(c), u16(c)
    r.data = take(c, size)
    if c.short:
        odd(conn, b"DNS_truncated_RR_rdlength_lt_len")
        return False
    return True


# ---- resource data in words ----------------------------------------------------------------------------------------

cdef void say(Words* w, const char* text, uint32_t n) noexcept nogil:
    if n > WORDS_ROOM - w.n:
        n = WORDS_ROOM - w.n
    memcpy(w.text + w.n, text, n)
    w.n += n


cdef inline void say_span(Words* w, Span s) noexcept nogil:
    say(w, <const char*>s.p, s.n)


cdef inline void say_name(Words* w, const Name* name) noexcept nogil:
    say(w, <const char*>name.text, name.n)


cdef void say_number(Words* w, uint64_t value) noexcept nogil:
    cdef uint8_t digits[24]
    say(w, <const char*>digits, <uint32_t>(put_decimal(digits, value) - digits))


cdef void say_addr(Words* w, const Addr* a) noexcept nogil:
    cdef uint8_t text[LONGEST_ADDR + 1]
    say(w, <const char*>text, <uint32_t>(put_address(text, a) - text))


cdef void say_hex(Words* w, Span s) noexcept nogil:
    s.n = min(s.n, (WORDS_ROOM - w.n) // 2)
    put_hex(w.text + w.n, s.p, s.n)
    w.n += 2 * s.n


cdef bint say_resource(Conn* conn, Span message, const Resource* r, Words* w) noexcept nogil:
    """The data of one resource record, as Zeek says it.  False where the rest of the message is not to be trusted."""
    cdef Cursor c = within(r.data)
    cdef uint16_t kind = r.type
    cdef Addr a
    if kind == TYPE_A:
        if r.data.n != 4:
            odd(conn, b"DNS_RR_bad_length")
            return False
        set_v4(&a, r.data.p)
        say_addr(w, &a)
    elif kind == TYPE_AAAA or kind == TYPE_A6:
        if r.data.n >= 16:
            set_v6(&a, r.data.p)
            say_addr(w, &a)
    elif kind in (TYPE_NS, TYPE_CNAME, TYPE_PTR, TYPE_SOA):
        return say_name_at(conn, message, r, 0, w)
    elif kind == TYPE_MX:
        return say_name_at(conn, message, r, 2, w)
    elif kind == TYPE_SRV:
        if conn.flow.resp_p != NETBIOS_PORT:
            return say_name_at(conn, message, r, 6, w)
    elif kind == TYPE_TXT or kind == TYPE_SPF:
        return say_strings(conn, b"TXT " if kind == TYPE_TXT else b"SPF ", &c, w)
    elif kind in (TYPE_DS, TYPE_DNSKEY, TYPE_SSHFP, TYPE_LOC, TYPE_RRSIG, TYPE_NSEC, TYPE_NSEC3, TYPE_NSEC3PARAM,
                  TYPE_BINDS, TYPE_NAPTR):
        return say_rarer(conn, message, r, &c, w)
    elif kind != TYPE_WKS and is_said(kind, conn.flow.resp_p):
        say(w, b"<unknown type=", 14)
        say_number(w, kind)
        say(w, b">", 1)
    return True


cdef bint is_said(uint16_t kind, uint16_t port) noexcept nogil:
    """Types that Zeek logs as answers; others leave rtt, AA and RA as they are, too."""
    return kind not in (TYPE_HINFO, TYPE_NBNS, TYPE_SVCB, TYPE_HTTPS, TYPE_TKEY, TYPE_TSIG, TYPE_CAA) and not (
        kind == TYPE_SRV and port == NETBIOS_PORT)


cdef bint say_rarer(Conn* conn, Span message, const Resource* r, Cursor* c, Words* w) noexcept nogil:
    """DNSSEC (RFC 4034, RFC 5155), SSHFP (RFC 4255), LOC (RFC 1876), NAPTR (RFC 3403)."""
    cdef uint16_t kind = r.type
    cdef Name owner
    if kind == TYPE_RRSIG:
        say(w, b"RRSIG ", 6)
        say_number(w, u16(c))
        say(w, b" ", 1)
        return say_signer(conn, message, r, w)
    if kind == TYPE_NSEC:
        say(w, b"NSEC ", 5)
        read_owner(message, r, &owner)
        say_name(w, &owner)
        say(w, b" ", 1)
        return say_name_at(conn, message, r, 0, w)
    if kind == TYPE_DS:
        pass_over(c, 2)
        say(w, b"DS ", 3)
        say_number(w, u8(c))
        say(w, b" ", 1)
        say_number(w, u8(c))
    elif kind == TYPE_DNSKEY:
        pass_over(c, 3)
        say(w, b"DNSKEY ", 7)
        say_number(w, u8(c))
    elif kind == TYPE_SSHFP:
        say(w, b"SSHFP: ", 7)
        say_hex(w, behind(r.data, 2))
    elif kind == TYPE_LOC:
        pass_over(c, 1)
        say(w, b"LOC:  ", 6)
        say_number(w, u8(c))
        say(w, b" ", 1)
        say_number(w, u8(c))
        say(w, b" ", 1)
        say_number(w, u8(c))
        c.short |= r.data.n < 15   # shorter data is none (Zeek)
    elif kind == TYPE_NSEC3:
        say(w, b"NSEC3", 5)
    elif kind == TYPE_NSEC3PARAM:
        say(w, b"NSEC3PARAM", 10)
    elif kind == TYPE_NAPTR:
        return say_naptr(conn, message, r, c, w)
    else:
        say(w, b"BIND9 signing signal", 20)
    if c.short:
        w.n = 0
    return not c.short


cdef Cursor inside(Span message, const Resource* r, uint32_t at) noexcept nogil:
    """A cursor ``at`` bytes into a resource's data that ends with the message, so that names can be told apart."""
    return within(behind(message, <uint32_t>(r.data.p - message.p) + at))


cdef bint say_name_at(Conn* conn, Span message, const Resource* r, uint32_t at, Words* w) noexcept nogil:
    cdef Cursor c = inside(message, r, at)
    cdef Name name
    if at > r.data.n or not read_name(conn, message, &c, &name):
        return False
    say_name(w, &name)
    return True


cdef bint say_signer(Conn* conn, Span message, const Resource* r, Words* w) noexcept nogil:
    """The signer's name stands behind 18 bytes (RFC 4034, 3.1)."""
    cdef uint32_t before = w.n
    if r.data.n < 18 or not say_name_at(conn, message, r, 18, w):
        w.n = 0
        return False
    if w.n == before:
        say(w, b"<Root>", 6)
    return True


cdef bint say_strings(Conn* conn, const char* head, Cursor* c, Words* w) noexcept nogil:
    """``TXT``, length and text of each string, with spaces between (RFC 1035, 3.3.14)."""
    cdef Span s
    while left(c):
        s = take(c, u8(c))
        if c.short:
            odd(conn, b"DNS_TXT_char_str_past_rdlen")
            return False
        if w.n:
            say(w, b" ", 1)
        say(w, head, 4)
        say_number(w, s.n)
        say(w, b" ", 1)
        say_span(w, s)
    return True


cdef bint say_naptr(Conn* conn, Span message, const Resource* r, Cursor* c, Words* w) noexcept nogil:
    cdef int _i
    cdef Span s
    say(w, b"NAPTR ", 6)
    for _i in range(2):
        say_number(w, u16(c))
        say(w, b" ", 1)
    for _i in range(3):
        s = take(c, u8(c))
        say_span(w, s)
        say(w, b" ", 1)
    if c.short:
        w.n = 0
        return False
    return say_name_at(conn, message, r, r.data.n - left(c), w)
