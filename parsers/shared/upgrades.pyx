"""HTTP connections that become WebSockets: what both sides agreed on (RFC 6455, 4)."""
from cext.cursor cimport Cursor, left, take_rest, trimmed, until, within
from cext.parser cimport emit_draft
from cext.record cimport keep_item, keep_text, new_draft, put_text
from parsers.shared.http_headers cimport WEBSOCKET_PROTOCOL_HEADER

cdef Schema WEBSOCKET = Schema("websocket", "HTTP connections that were upgraded to WebSockets.")
cdef int HOST = WEBSOCKET.text("host", "Host header of the request.", source="RFC 6455, 4.1")
cdef int URI = WEBSOCKET.text("uri", "Target of the request.", max=8192, source="RFC 6455, 4.1")
cdef int USER_AGENT = WEBSOCKET.text("user_agent", "User-Agent header of the request.", source="RFC 6455, 4.1")
cdef int SUBPROTOCOL = WEBSOCKET.text("subprotocol", "Protocol that the server chose.", max=256,
                                      source="RFC 6455, 11.3.4")
cdef int CLIENT_PROTOCOLS = WEBSOCKET.texts("client_protocols", "Protocols that the client offered.", max=32,
                                            source="RFC 6455, 11.3.4")
cdef int SERVER_EXTENSIONS = WEBSOCKET.texts("server_extensions", "Extensions that the server took.", max=32,
                                             source="RFC 6455, 11.3.2")
cdef int CLIENT_EXTENSIONS = WEBSOCKET.texts("client_extensions", "Extensions that the client offered.", max=32,
                                             source="RFC 6455, 11.3.2")

WEBSOCKET_SCHEMA = WEBSOCKET


cdef Draft* new_upgrade() noexcept nogil:
    """An empty record, or NULL when memory is out."""
    return new_draft(WEBSOCKET)


cdef void websocket_header(Draft** d, bint asks, Meaning meaning, Span value) noexcept nogil:
    """Keeps a header of the upgrade; makes the draft with the first."""
    cdef bint protocol = meaning == WEBSOCKET_PROTOCOL_HEADER
    if d[0] == NULL:
        d[0] = new_draft(WEBSOCKET)
        if d[0] == NULL:
            return
    if protocol and not asks:
        keep_text(d[0], SUBPROTOCOL, value)
    else:
        keep_list(d[0], CLIENT_PROTOCOLS if protocol else CLIENT_EXTENSIONS if asks else SERVER_EXTENSIONS, value)


cdef void keep_list(Draft* d, int field, Span value) noexcept nogil:
    """The members of a list with commas between."""
    cdef Cursor c = within(value)
    cdef Span one
    while left(&c):
        one = until(&c, c',')
        if c.short:
            c.short = False
            one = take_rest(&c)
        keep_item(d, field, trimmed(one))


cdef void log_websocket(Conn* conn, Draft* d, Span host, Span uri, Span user_agent) noexcept nogil:
    """Writes the record; the draft stays the caller's."""
    d.record.ts = conn.ts
    if host.n:
        put_text(d.record, HOST, host)
    if uri.n:
        put_text(d.record, URI, uri)
    if user_agent.n:
        put_text(d.record, USER_AGENT, user_agent)
    emit_draft(conn, d)
