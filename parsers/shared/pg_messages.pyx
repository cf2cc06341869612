"""PostgreSQL's messages as such: their frame, their kinds, and the names of what is in them.

The frontend/backend protocol, versions 3.0 and 3.2: manual, chapter "Frontend/Backend Protocol".
"""
from cext.cursor cimport (Cursor, Span, byte_at, fetch_ahead, left, pass_over, peek, take, take_rest, u8, u32, until,
                          within)
from cext.parser cimport Conn, Match, Verdict, need, skip


cdef bint take_message(Conn* conn, bint is_orig, Cursor* c, Cursor* m, uint32_t* size, Verdict* verdict) noexcept nogil:
    """The body of the next message, or its first PREFIX bytes.  False when they are not here yet.

    ``size`` is that of the whole message, its type included.
    """
    cdef uint32_t wanted
    cdef Cursor head = c[0]
    pass_over(&head, 1)
    size[0] = u32(&head)
    if head.short:
        return False
    if size[0] < 4 or size[0] > LONGEST_MESSAGE:
        verdict[0] = Verdict.REJECT
        return True
    wanted = size[0] - 4 if size[0] - 4 < PREFIX else PREFIX
    if left(&head) < wanted:
        need(conn, is_orig, HEADER + wanted)
        return False
    pass_over(c, HEADER)
    m[0] = within(take(c, wanted))
    if size[0] - 4 > wanted:
        skip(conn, is_orig, size[0] - 4 - wanted)
    size[0] += 1
    return True


cdef uint32_t pass_run(Conn* conn, bint is_orig, Cursor* c, uint64_t* size, Verdict* verdict) noexcept nogil:
    """Steps over the messages of one type that come here one behind the other, by their heads, without a copy.

    How many they are, and their bytes; 0 when the head of the first is not here yet, or is none.

    Trick "rows are alike": only a head tells where the next is, so each would be waited for.  Where all are as long as
    this one, those some rows on are fetched: of this segment, and of the next behind it in a file.
    """
    cdef uint8_t kind = peek(c, 0)
    cdef uint32_t count = 0, body
    cdef Cursor m = c[0]
    size[0] = 0
    while left(&m) >= HEADER and u8(&m) == kind:
        body = u32(&m)
        if body < 4 or body > LONGEST_MESSAGE:
            verdict[0] = Verdict.REJECT
            break
        fetch_ahead(&m, <size_t>NEAR_ROW * body)
        fetch_ahead(&m, <size_t>FAR_ROW * body)
        count += 1
        size[0] += body + 1
        body -= 4
        if left(&m) < body:
            skip(conn, is_orig, body - left(&m))
            body = left(&m)
        pass_over(&m, body)
        c[0] = m
    return count


cdef Span text_of(Cursor* m) noexcept nogil:
    """Up to the next zero byte, or to the end of what is read of a message."""
    cdef Span s = until(m, 0)
    if m.short:
        m.short = False
        s = take_rest(m)
    return s


cdef bint is_frontend(uint8_t kind) noexcept nogil:
    return kind in (BIND, CLOSE, DESCRIBE, EXECUTE_MESSAGE, CALL, FLUSH, PARSE, QUERY, SYNC, TERMINATE, PASSWORD,
                    COPY_DATA, COPY_DONE, COPY_FAIL)


cdef bint is_backend(uint8_t kind) noexcept nogil:
    """ParameterStatus, BackendKeyData, RowDescription and the other types that carry nothing for a record, too."""
    return kind in (AUTHENTICATION, COMMAND_COMPLETE, DATA_ROW, EMPTY_QUERY, ERROR, NOTICE, PORTAL_SUSPENDED,
                    READY_FOR_QUERY, c'S', c'K', c'T', c't', c'n', c'1', c'2', c'3', c'A', c'G', c'H', c'W', c'd', c'c',
                    c'V', c'v')


cdef Match is_startup(Cursor c) noexcept nogil:
    """The untyped first message: a length and one of four codes."""
    cdef uint32_t size, code
    if left(&c) < 8:
        return Match.MAYBE if left(&c) == 0 or peek(&c, 0) == 0 else Match.NO
    size, code = u32(&c), u32(&c)
    if size < 8 or size > LONGEST_STARTUP:
        return Match.NO
    if size == 8 and (code == CODE_SSL or code == CODE_GSSENC):
        return Match.YES
    if code == CODE_CANCEL:
        return Match.YES if 16 <= size <= 268 else Match.NO
    return Match.YES if code >> 16 == PROTOCOL_3 and code & 0xffff < 16 and size > 8 else Match.NO


cdef bint is_midstream(Cursor c, bint client) noexcept nogil:
    """A chain of whole messages of one side that ends, with the bytes, in a Sync, a Query or a ReadyForQuery."""
    cdef uint8_t kind
    cdef uint32_t size
    cdef Span body
    while left(&c) >= HEADER:
        kind, size = u8(&c), u32(&c)
        if size < 4 or not (is_frontend(kind) if client else is_backend(kind)):
            return False
        body = take(&c, size - 4)
        if c.short:
            return False
        if left(&c) == 0:
            if not client:
                return kind == READY_FOR_QUERY and size == 5 and byte_at(body, 0) in (c'I', c'T', c'E')
            if kind == QUERY:
                return body.n > 1 and byte_at(body, body.n - 1) == 0
            return kind == SYNC and size == 4
    return False


cdef const char* auth_name(uint32_t method) noexcept nogil:
    """Zeek's names of the authentication methods (AuthenticationRequest)."""
    if method == 2:
        return b"KerberosV5"
    if method == 3:
        return b"CleartextPassword"
    if method == 5:
        return b"MD5Password"
    if method == 7:
        return b"GSSAPI"
    if method == 8:
        return b"GSSAPIContinue"
    if method == 9:
        return b"SSPI"
    if method == 10:
        return b"SASL"
    if method == 11:
        return b"SASLContinue"
    return b"SASLFinal" if method == 12 else b"unknown"


# the code of a field and Zeek's name for it
cdef const char* ERROR_FIELDS = (
    b"SSeverityLocalized\0VSeverity\0CCode\0MMessage\0DDetail\0HHint\0PPosition\0pInternalPosition\0qInternalQuery\0"
    b"WWhere\0sSchema\0tTable\0cColumn\0dData\0nConstraint\0FFile\0LLine\0RRoutine\0")


cdef const char* field_name(uint8_t code) noexcept nogil:
    """Zeek's names of the fields of an error or notice (manual, "Error and Notice Message Fields")."""
    cdef const char* names = ERROR_FIELDS
    while names[0]:
        if <uint8_t>names[0] == code:
            return names + 1
        while names[0]:
            names += 1
        names += 1
    return NULL
