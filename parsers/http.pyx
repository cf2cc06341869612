"""HTTP/1.x: requests and their answers (RFC 9110, RFC 9112), and HTTP/0.9.

One record a transaction, written when the answer's body has ended.  Bodies are skipped, not read; their lengths are
counted as they are on the wire.  Answers pair with requests in order, through a bounded queue.  After a loss the
parser looks for the next start line at the beginning of a segment.  Left to others: HTTP/2, what follows an Upgrade.

    START → HEADERS ─┬─ no body ─────────────────────▶ START
                     ├─ Content-Length ── BODY ───────▶ START
                     ├─ chunked ── CHUNK ⇄ CHUNK_DATA ▶ TRAILERS ▶ START
                     └─ answer without a length ──────▶ UNTIL_CLOSE
    (any) ── loss ──▶ LOST ── a start line ──▶ START
"""
from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cext.cursor cimport (Cursor, Span, behind, byte_at, equals, equals_nocase, left, line, part, peek, span, take_rest,
                          trimmed, until, within)
from cext.parser cimport (ALL, ANYBODY, NOBODY, Conn, Match, Parser, Reason, Verdict, emit_draft, hand_over, skip,
                          weird)
from cext.record cimport (Draft, Schema, free_draft, get_text, is_set, keep_bytes, keep_more, keep_text, new_draft,
                          put_number, put_text, put_texts)

from cext.parser import register

cdef Schema HTTP = Schema("http", "HTTP requests and their answers, a record for each pair.")
cdef int TRANS_DEPTH = HTTP.count("trans_depth", "Number of the transaction in its connection, from 1.")
cdef int METHOD = HTTP.text("method", "Verb of the request.", max=64)
cdef int HOST = HTTP.text("host", "Host header of the request, with the port if it had one.")
cdef int URI = HTTP.text("uri", "Target of the request, percent sequences decoded.", max=8192)
cdef int REFERRER = HTTP.text("referrer", "Referer header of the request.", max=4096)
cdef int VERSION = HTTP.text("version", "HTTP version of the answer.", max=8)
cdef int USER_AGENT = HTTP.text("user_agent", "User-Agent header of the request.")
cdef int ORIGIN = HTTP.text("origin", "Origin header of the request.")
cdef int REQUEST_BODY_LEN = HTTP.count("request_body_len", "Bytes of the request's body, without chunk framing.")
cdef int RESPONSE_BODY_LEN = HTTP.count("response_body_len", "Bytes of the answer's body, without chunk framing.")
cdef int STATUS_CODE = HTTP.count("status_code", "Status of the answer.")
cdef int STATUS_MSG = HTTP.text("status_msg", "Reason phrase of the answer.")
cdef int INFO_CODE = HTTP.count("info_code", "Last interim status (1xx) before the answer.")
cdef int INFO_MSG = HTTP.text("info_msg", "Reason phrase of that.")
cdef int USERNAME = HTTP.text("username", "User name of Basic authentication.")
cdef int PASSWORD = HTTP.text("password", "Password of Basic authentication.", secret=True)
cdef int PROXIED = HTTP.texts("proxied", "Headers that tell of a proxy, as NAME -> value.", max=16)
cdef int ORIGINAL_URI = HTTP.text("original_uri", "Target of the request as sent, where decoding changed it.", max=8192)
cdef int CONTENT_TYPE = HTTP.text("resp_content_type", "Content-Type header of the answer.")
cdef int AUTHORIZATION = HTTP.text("authorization", "Authorization header of the request.", max=4096, secret=True)
cdef int COOKIE = HTTP.text("cookie", "Cookie header of the request.", max=4096, secret=True)
cdef int SET_COOKIE = HTTP.text("set_cookie", "Set-Cookie headers of the answer.", max=4096, secret=True)

cdef enum:
    LONGEST_LINE = 16384           # nginx and Apache refuse longer ones by default; the rest of the line is passed over
    LONGEST_METHOD = 64
    MOST_PENDING = 100             # requests without an answer, as in Zeek
    MOST_PROXIED = 16
    LONGEST_PROXIED = 1024
    LONGEST_BASIC = 4096

cdef enum State:                   # what a side waits for
    START                          # a request line or status line
    HEADERS                        # a header line, or the empty one
    BODY                           # the end of a body of known length; the engine swallows it
    CHUNK                          # the line with a chunk's size
    CHUNK_DATA                     # the end of a chunk; the engine swallows it
    CHUNK_END                      # the line end behind a chunk
    TRAILERS                       # header lines behind the last chunk
    UNTIL_CLOSE                    # the end of the stream
    LOST                           # a start line, after a loss


cdef struct Message:               # the message that a side is in the middle of
    State state
    bint cut_line                  # the rest of a line that was too long comes first
    bint chunked
    bint has_length
    uint64_t length
    uint64_t body                  # bytes seen


cdef class HttpParser(Parser):
    """HTTP/1.x requests and responses."""

    cdef Message message[2]        # by "is it a request?"
    cdef Draft* first              # of the queue: the next to be answered
    cdef Draft* last
    cdef Draft* asking             # the request whose head or body is coming; also in the queue
    cdef bint answered             # the first in the queue has a final status
    cdef bint complete             # … and its answer has ended, but not its request
    cdef bint tunnel               # it was a CONNECT that succeeded, or an upgrade
    cdef bint no_body              # its answer has none
    cdef bint simple               # it has no version: an HTTP/0.9 answer is a body without a head
    cdef uint32_t pending
    cdef uint32_t depth
    cdef int8_t client             # 1: the originator sends the requests, -1: the responder does, 0: not known yet

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef Match answer = is_answer(c)
        return is_request(c) if answer == Match.NO else answer

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef bint asks
        cdef Message* m
        cdef Verdict verdict = Verdict.MORE
        if self.client == 0:
            if is_answer(c[0]) == Match.MAYBE:
                return Verdict.MORE
            self.client = -1 if is_orig == (is_answer(c[0]) == Match.YES) else 1
        asks = is_orig == (self.client == 1)
        m = &self.message[asks]
        while left(c) and verdict == Verdict.MORE and not conn.taps[is_orig].skipping and conn.next_protocol == NOBODY:
            if m.cut_line:
                until(c, 10)
                m.cut_line = c.short
                c.short = False
                if m.cut_line:
                    take_rest(c)
            elif m.state == LOST:
                if not self.found_again(asks, c):
                    break
            elif not asks and m.state == START and self.is_simple() and is_answer(c[0]) == Match.NO:
                self.begin_simple_answer(conn, is_orig)
            elif not self.read_line(conn, is_orig, asks, c, &verdict):
                break
        return verdict

    cdef bint read_line(self, Conn* conn, bint is_orig, bint asks, Cursor* c, Verdict* verdict) noexcept nogil:
        """One line of whatever kind is due.  False when it is not whole yet."""
        cdef Message* m = &self.message[asks]
        cdef Span said = line(c)
        if c.short:
            c.short = False
            if left(c) < LONGEST_LINE:
                return False
            said = take_rest(c)
            m.cut_line = True
        if m.state == START:
            verdict[0] = self.start_line(conn, asks, said)
        elif m.state == HEADERS:
            if said.n:
                self.header(asks, said)
            else:
                self.end_head(conn, is_orig, asks)
        elif m.state == CHUNK:
            verdict[0] = self.chunk_size(conn, is_orig, asks, said)
        elif m.state == CHUNK_END:
            m.state = CHUNK
            if said.n:
                verdict[0] = self.broken(conn)
        elif said.n == 0:          # TRAILERS
            self.end_message(conn, asks)
        return True

    cdef bint found_again(self, bint asks, Cursor* c) noexcept nogil:
        """True when a start line begins here; else what is here is dropped."""
        cdef Match match = is_request(c[0]) if asks else is_answer(c[0])
        if match != Match.YES:
            take_rest(c)
            return False
        self.message[asks].state = START
        if not asks:
            self.answered = False
        return True

    # ---- start lines -----------------------------------------------------------------------------------------------

    cdef Verdict start_line(self, Conn* conn, bint asks, Span said) noexcept nogil:
        if said.n == 0:
            return Verdict.MORE    # empty lines between messages are borne (RFC 9112, 2.2)
        return self.request_line(conn, said) if asks else self.status_line(conn, said)

    cdef Verdict request_line(self, Conn* conn, Span said) noexcept nogil:
        cdef Cursor c = within(said)
        cdef Span method = until(&c, c' '), rest, version
        cdef Draft* d
        if c.short or not is_token(method):
            weird(conn, b"HTTP_bad_request_line")
            self.message[True].state = LOST
            return Verdict.MORE
        if self.pending == MOST_PENDING:
            weird(conn, b"HTTP_excessive_pipelining")
            self.write_first(conn)
        elif self.message[False].state == LOST:
            while self.pending:    # their answers are lost: a client that does not pipeline has had them
                self.write_first(conn)
        d = self.new_pending(conn)
        if d == NULL:
            return Verdict.DONE
        rest = trimmed(take_rest(&c))
        version = take_version(&rest)
        keep_text(d, METHOD, method)
        keep_uri(d, rest)
        self.asking = d
        self.begin_message(True)
        self.simple = version.n == 0 and self.pending == 1
        return Verdict.MORE

    cdef Verdict status_line(self, Conn* conn, Span said) noexcept nogil:
        """Version, three digits, reason (RFC 9112, 4).  Interim answers leave the request where it is."""
        cdef Cursor c = within(said)
        cdef Span version = until(&c, c' '), digits, reason
        cdef uint64_t code
        cdef Draft* d
        if c.short or version.n < 6 or not equals_nocase(part(version, 0, 5), b"http/", 5):
            return self.broken(conn)
        digits = trimmed(take_rest(&c))
        reason = trimmed(behind(digits, 3))
        if digits.n < 3 or not read_number(part(digits, 0, 3), 10, &code):
            return self.broken(conn)
        if self.complete:
            self.write_first(conn)
        d = self.first if self.first != NULL else self.new_pending(conn)
        if d == NULL:
            return Verdict.DONE
        keep_text(d, VERSION, behind(version, 5))
        keep_text(d, STATUS_MSG, reason)
        put_number(&d.record, STATUS_CODE, code)
        self.begin_message(False)
        self.answered = not 100 <= code <= 199 or code == 101
        if 100 <= code <= 199:
            put_number(&d.record, INFO_CODE, code)
            keep_text(d, INFO_MSG, reason)
        self.tunnel = code == 101 or (200 <= code <= 299 and method_is(d, b"CONNECT", 7))
        self.no_body = 100 <= code <= 199 or code == 204 or code == 304 or self.tunnel or method_is(d, b"HEAD", 4)
        return Verdict.MORE

    cdef void begin_message(self, bint asks) noexcept nogil:
        cdef Message* m = &self.message[asks]
        m.state = HEADERS
        m.chunked = m.has_length = False
        m.length = m.body = 0

    cdef bint is_simple(self) noexcept nogil:
        """The request that is to be answered next is one of HTTP/0.9."""
        return self.simple and self.first != NULL and not self.answered

    cdef void begin_simple_answer(self, Conn* conn, bint is_orig) noexcept nogil:
        """HTTP/0.9: all that the server says is the body (RFC 1945, 6)."""
        self.begin_message(False)
        self.message[False].state = UNTIL_CLOSE
        self.answered = True
        keep_text(self.first, VERSION, span(<const uint8_t*>b"0.9", 3))
        skip(conn, is_orig, ALL)

    # ---- head ------------------------------------------------------------------------------------------------------

    cdef void header(self, bint asks, Span said) noexcept nogil:
        """One header line; folded lines (obsolete since RFC 7230) have no name of their own and are passed over."""
        cdef Cursor c = within(said)
        cdef Span name = until(&c, c':'), value
        cdef Message* m = &self.message[asks]
        if c.short or name.n == 0 or byte_at(said, 0) == c' ' or byte_at(said, 0) == 9:
            return
        value = trimmed(take_rest(&c))
        name = trimmed(name)
        if equals_nocase(name, b"content-length", 14):
            m.has_length = read_number(value, 10, &m.length)
        elif equals_nocase(name, b"transfer-encoding", 17):
            m.chunked = value.n >= 7 and equals_nocase(behind(value, value.n - 7), b"chunked", 7)
        elif asks and self.asking != NULL:
            request_header(self.asking, name, value)
        elif not asks and self.first != NULL:
            answer_header(self.first, name, value)

    cdef void end_head(self, Conn* conn, bint is_orig, bint asks) noexcept nogil:
        """What follows the head (RFC 9112, 6.3)."""
        cdef Message* m = &self.message[asks]
        if not asks and self.no_body:
            self.end_message(conn, asks)
        elif m.chunked:
            m.state = CHUNK
        elif m.has_length and m.length:
            m.state = BODY
            skip(conn, is_orig, m.length)
        elif m.has_length or asks:
            self.end_message(conn, asks)
        else:
            m.state = UNTIL_CLOSE
            skip(conn, is_orig, ALL)

    # ---- body ------------------------------------------------------------------------------------------------------

    cdef Verdict chunk_size(self, Conn* conn, bint is_orig, bint asks, Span said) noexcept nogil:
        """Hex digits, then perhaps extensions (RFC 9112, 7.1)."""
        cdef Message* m = &self.message[asks]
        cdef Cursor c = within(said)
        cdef Span digits = until(&c, c';')
        cdef uint64_t size
        if c.short:
            digits = said
        if not read_number(trimmed(digits), 16, &size) or size >> 62:
            return self.broken(conn)
        m.state = CHUNK_DATA if size else TRAILERS
        skip(conn, is_orig, size)
        return Verdict.MORE

    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil:
        cdef bint asks = is_orig == (self.client == 1)
        cdef Message* m = &self.message[asks]
        m.body += seen + missed    # lost bytes were transferred too; conn tells how many were missed
        if m.state == CHUNK_DATA:
            m.state = CHUNK_END
        elif m.state == BODY or m.state == UNTIL_CLOSE:
            self.end_message(conn, asks)
        return Verdict.MORE

    cdef void end_message(self, Conn* conn, bint asks) noexcept nogil:
        cdef Message* m = &self.message[asks]
        m.state = START
        if asks:
            if self.asking != NULL:
                put_number(&self.asking.record, REQUEST_BODY_LEN, m.body)
                self.asking = NULL
                if self.complete:
                    self.write_first(conn)
            return
        if self.first == NULL or not self.answered:
            return
        put_number(&self.first.record, RESPONSE_BODY_LEN, m.body)
        self.complete = self.first == self.asking
        if self.complete:
            return                 # the answer came before the end of its request, whose length is still to be told
        self.write_first(conn)
        if self.tunnel:
            hand_over(conn, ANYBODY)

    # ---- loss and end ----------------------------------------------------------------------------------------------

    cdef Verdict broken(self, Conn* conn) noexcept nogil:
        weird(conn, b"HTTP_bad_framing")
        return Verdict.REJECT

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """Outside of a body the framing is lost: the transaction is written as far as it is known."""
        cdef bint asks = is_orig == (self.client == 1)
        if self.client == 0:
            return Verdict.MORE
        if asks:
            self.asking = NULL
        elif self.answered and self.first != NULL and self.message[False].state != START:
            put_number(&self.first.record, RESPONSE_BODY_LEN, self.message[False].body)
            self.write_first(conn)
        self.message[asks].state = LOST
        self.message[asks].cut_line = False
        return Verdict.MORE

    cdef Verdict eof(self, Conn* conn, bint is_orig) noexcept nogil:
        return Verdict.MORE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        if self.asking != NULL:
            put_number(&self.asking.record, REQUEST_BODY_LEN, self.body_so_far(conn, True))
        if self.answered and self.first != NULL and not self.complete:
            put_number(&self.first.record, RESPONSE_BODY_LEN, self.body_so_far(conn, False))
        while self.pending:
            self.write_first(conn)

    cdef uint64_t body_so_far(self, Conn* conn, bint asks) noexcept nogil:
        """Body bytes of the message that is under way, those of an unfinished skip included."""
        cdef bint is_orig = asks == (self.client == 1)
        if not conn.taps[is_orig].skipping:
            return self.message[asks].body
        return self.message[asks].body + conn.taps[is_orig].skip_seen + conn.taps[is_orig].skip_missed

    # ---- the queue -------------------------------------------------------------------------------------------------

    cdef Draft* new_pending(self, Conn* conn) noexcept nogil:
        """A new transaction at the end of the queue, or NULL when memory is out."""
        cdef Draft* d = new_draft(HTTP)
        if d == NULL:
            return NULL
        self.depth += 1
        self.pending += 1
        d.record.ts = conn.ts
        put_number(&d.record, TRANS_DEPTH, self.depth)
        put_number(&d.record, REQUEST_BODY_LEN, 0)
        put_number(&d.record, RESPONSE_BODY_LEN, 0)
        if self.last != NULL:
            self.last.after = d
        else:
            self.first = d
        self.last = d
        return d

    cdef void write_first(self, Conn* conn) noexcept nogil:
        cdef Draft* d = self.first
        self.first = d.after
        if self.first == NULL:
            self.last = NULL
        if self.asking == d:
            self.asking = NULL
        self.pending -= 1
        self.answered = self.complete = self.simple = False
        emit_draft(conn, d)
        free_draft(d)


# ---- what a line looks like ----------------------------------------------------------------------------------------

cdef Match is_answer(Cursor c) noexcept nogil:
    cdef uint32_t n = left(&c) if left(&c) < 5 else 5
    if n == 0 or not equals_nocase(part(take_rest(&c), 0, n), b"http/", n):
        return Match.NO
    return Match.YES if n == 5 else Match.MAYBE


cdef Match is_request(Cursor c) noexcept nogil:
    """A method, a space, and a version at the end of the line; a known method with a path is enough."""
    cdef uint32_t n = 0, here = left(&c)
    cdef Cursor ahead = c
    cdef Span method, said
    cdef uint8_t byte
    while n < here and n < LONGEST_METHOD and is_letter(peek(&c, n)):
        n += 1
    if n == here:
        return Match.MAYBE if n < LONGEST_METHOD else Match.NO
    if n == 0 or peek(&c, n) != c' ':
        return Match.NO
    method = part(take_rest(&ahead), 0, n)
    byte = peek(&c, n + 1)
    if (byte == c'/' or byte == c'*') and is_known_method(method):
        return Match.YES
    said = line(&c)
    if c.short:
        return Match.MAYBE
    return Match.YES if take_version(&said).n else Match.NO


cdef bint is_known_method(Span s) noexcept nogil:
    """RFC 9110, 9.3; RFC 5789; and the first of WebDAV (RFC 4918)."""
    return (equals(s, b"GET", 3) or equals(s, b"POST", 4) or equals(s, b"HEAD", 4) or equals(s, b"PUT", 3)
            or equals(s, b"DELETE", 6) or equals(s, b"OPTIONS", 7) or equals(s, b"PATCH", 5) or equals(s, b"TRACE", 5)
            or equals(s, b"CONNECT", 7) or equals(s, b"PROPFIND", 8))


cdef inline bint is_letter(uint8_t byte) noexcept nogil:
    return c'a' <= (byte | 0x20) <= c'z' or byte == c'-' or byte == c'_'


cdef bint is_token(Span s) noexcept nogil:
    cdef uint32_t i
    for i in range(s.n):
        if not is_letter(byte_at(s, i)):
            return False
    return 0 < s.n <= LONGEST_METHOD


cdef Span take_version(Span* rest) noexcept nogil:
    """Cuts `` HTTP/x.y`` off the end of a request line; empty when it is not there."""
    cdef uint32_t at = rest.n
    cdef Span version
    while at and byte_at(rest[0], at - 1) != c' ':
        at -= 1
    if at == 0 or rest.n - at < 6 or not equals_nocase(part(rest[0], at, 5), b"http/", 5):
        return part(rest[0], 0, 0)
    version = behind(rest[0], at + 5)
    rest[0] = trimmed(part(rest[0], 0, at - 1))
    return version


cdef bint read_number(Span s, uint32_t base, uint64_t* value) noexcept nogil:
    """Digits of the base and nothing else, below 2^60."""
    cdef uint64_t v = 0
    cdef uint32_t i, digit
    for i in range(s.n):
        digit = hex_value(byte_at(s, i))
        if digit >= base or v >> 60:
            return False
        v = v * base + digit
    value[0] = v
    return s.n > 0


cdef bint method_is(const Draft* d, const char* name, uint32_t n) noexcept nogil:
    return equals(get_text(&d.record, METHOD), name, n)


# ---- what is kept --------------------------------------------------------------------------------------------------

cdef inline uint32_t hex_value(uint8_t byte) noexcept nogil:
    if c'0' <= byte <= c'9':
        return byte - c'0'
    byte |= 0x20
    return byte - c'a' + 10 if c'a' <= byte <= c'f' else 16


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
    put_text(&d.record, URI, span(out, n))
    if n != said.n:
        keep_text(d, ORIGINAL_URI, said)


cdef void request_header(Draft* d, Span name, Span value) noexcept nogil:
    if name.n == 4 and equals_nocase(name, b"host", 4):
        keep_text(d, HOST, value)
    elif name.n == 10 and equals_nocase(name, b"user-agent", 10):
        keep_text(d, USER_AGENT, value)
    elif name.n == 7 and equals_nocase(name, b"referer", 7):
        keep_text(d, REFERRER, value)
    elif name.n == 6 and equals_nocase(name, b"origin", 6):
        keep_text(d, ORIGIN, value)
    elif name.n == 6 and equals_nocase(name, b"cookie", 6):
        keep_text(d, COOKIE, value)
    elif (name.n == 13 and equals_nocase(name, b"authorization", 13)) or (
            name.n == 19 and equals_nocase(name, b"proxy-authorization", 19)):
        keep_text(d, AUTHORIZATION, value)
        keep_basic(d, value)
    elif tells_of_proxy(name):
        keep_proxied(d, name, value)


cdef void answer_header(Draft* d, Span name, Span value) noexcept nogil:
    if name.n == 12 and equals_nocase(name, b"content-type", 12):
        keep_text(d, CONTENT_TYPE, value)
    elif name.n == 10 and equals_nocase(name, b"set-cookie", 10):
        keep_more(d, SET_COOKIE, value, b"; ")


cdef bint tells_of_proxy(Span name) noexcept nogil:
    """Zeek's list."""
    return (equals_nocase(name, b"forwarded", 9) or equals_nocase(name, b"x-forwarded-for", 15)
            or equals_nocase(name, b"x-forwarded-from", 16) or equals_nocase(name, b"client-ip", 9)
            or equals_nocase(name, b"via", 3) or equals_nocase(name, b"xroxy-connection", 16)
            or equals_nocase(name, b"proxy-connection", 16))


cdef void keep_proxied(Draft* d, Span name, Span value) noexcept nogil:
    """``NAME -> value``, in a list that the draft keeps."""
    cdef uint64_t n = d.record.slots[PROXIED].number if is_set(&d.record, PROXIED) else 0
    cdef Span* items = <Span*>d.record.slots[PROXIED].p if n else <Span*>keep_bytes(d, MOST_PROXIED * sizeof(Span))
    cdef Span kept = part(value, 0, LONGEST_PROXIED)
    cdef uint8_t* p = keep_bytes(d, name.n + 4 + kept.n)
    cdef uint32_t i
    if items == NULL or p == NULL or n == MOST_PROXIED:
        return
    for i in range(name.n):
        p[i] = upper(byte_at(name, i))
    memcpy(p + name.n, b" -> ", 4)
    memcpy(p + name.n + 4, kept.p, kept.n)
    items[n] = span(p, name.n + 4 + kept.n)
    put_texts(&d.record, PROXIED, items, <uint32_t>(n + 1))


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
            put_text(&d.record, USERNAME, span(out, at))
            put_text(&d.record, PASSWORD, span(out + at + 1, n - at - 1))
            return


cdef inline uint32_t base64_value(uint8_t byte) noexcept nogil:
    if c'A' <= byte <= c'Z':
        return byte - c'A'
    if c'a' <= byte <= c'z':
        return byte - c'a' + 26
    if c'0' <= byte <= c'9':
        return byte - c'0' + 52
    return 62 if byte == c'+' else 63 if byte == c'/' else 64


register(HttpParser, name="http", schema=HTTP, transport="tcp", ports=(80, 81, 631, 1080, 3128, 8000, 8080, 8888),
         late=True)
