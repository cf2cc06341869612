"""HTTP/1.x: requests and their answers (RFC 9110, RFC 9112), and HTTP/0.9.

One record a transaction, written when the answer's body has ended.  Of bodies the first bytes are looked at, the rest
is skipped; their lengths are counted as they are on the wire.  Answers pair with requests in order, through a bounded
queue.  After a loss the parser looks for the next start line at the beginning of a segment.  Left to others: HTTP/2,
what follows an Upgrade.

    START → HEADERS ─┬─ no body ─────────────────────▶ START
                     ├─ Content-Length ── BODY ───────▶ START
                     ├─ chunked ── CHUNK ⇄ CHUNK_DATA ▶ TRAILERS ▶ START
                     └─ answer without a length ──────▶ UNTIL_CLOSE
    (any) ── loss ──▶ LOST ── a start line ──▶ START
"""
from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t

from cext.cursor cimport (Cursor, Line, Span, behind, byte_at, colon_of, equals, equals_nocase, fetch_lines,
                          go_back, head_line, left, line, part, peek, since, span, take, take_rest, trimmed, until,
                          within)
from cext.parser cimport (ALL, ANYBODY, HTTP_HEADERS, HTTP_SHA256, NOBODY, Conn, Match, Parser, Reason, Verdict,
                          confirm, emit_draft, find_protocol, hand_over, policy, skip, weird)
from cext.record cimport (Draft, Drafts, Record, fold, free_draft, get_text, is_set, keep_text, lend_item,
                          new_draft, put_number, queue_draft, unfold, unqueue_draft)
from cext.types cimport Flag
from parsers.shared.http_body cimport (GZIP, Body, begin_body, expect, free_body, miss_body, pass_body, set_coding,
                                       take_body, tell_body, to_skip, wanted)
from parsers.shared.http_headers cimport (CONTENT_ENCODING_HEADER, CONTENT_LENGTH_HEADER, FIRST_OF_FRAMING,
                                          FIRST_OF_UPGRADE, LAST_OF_FRAMING, LAST_OF_UPGRADE, LISTED_HEADER,
                                          TRANSFER_ENCODING_HEADER, UPGRADE_HEADER, Header, Meaning, find_header)
from parsers.shared.http_lines cimport (bare, before_cr, is_answer, is_request, is_token, read_number,
                                        take_version, trimmed_end, unfolded)
from parsers.shared.http_record cimport (CLIENT_HEADER_NAMES, DURATION, FIRST_BYTE, HOST, HTTP, INFO_CODE, INFO_MSG,
                                         METHOD, REQUEST_BODY_LEN, RESPONSE_BODY_LEN, SERVER_HEADER_NAMES, STATUS_CODE,
                                         STATUS_MSG, TRANS_DEPTH, URI, USER_AGENT, VERSION, keep_uri, keep_value,
                                         list_header)
from parsers.shared.upgrades cimport log_websocket, new_upgrade, websocket_header

from cext.parser import register
from parsers.shared.http_record import HTTP_SCHEMA

cdef enum:
    LONGEST_LINE = 16384           # nginx and Apache refuse longer ones by default; the rest of the line is passed over
    MOST_PENDING = 100             # requests without an answer, as in Zeek
    FETCHED = 128                  # bytes of a message that lie in the lines that are fetched of any frame
    LOOKED_AT = 768                # … of a usual head, and of what its body's kind is told by

cdef enum State:                   # what a side waits for
    START                          # a request line or status line
    HEADERS                        # a header line, or the empty one
    BODY                           # the end of a body of known length
    CHUNK                          # the line with a chunk's size
    CHUNK_DATA                     # the end of a chunk
    CHUNK_END                      # the line end behind a chunk
    TRAILERS                       # header lines behind the last chunk
    UNTIL_CLOSE                    # the end of the stream
    LOST                           # a start line, after a loss


cdef struct Message:               # the message that a side is in the middle of
    State state
    Flag cut_line                  # the rest of a line that was too long comes first
    Flag cut_header                # lines that go on with it are passed over, too
    Flag chunked
    Flag has_length
    uint64_t length                # that the header tells
    uint64_t run                   # bytes that are still to come of the body or chunk; ALL: to the end of the stream
    Body body


cdef class HttpParser(Parser):
    """HTTP/1.x requests and responses."""

    cdef Message message[2]        # by "is it a request?"
    cdef Drafts queue              # of transactions; the first is the next to be answered
    cdef Draft* asking             # the request whose head or body is coming; also in the queue
    cdef Flag answered             # the first in the queue has a final status
    cdef Flag complete             # … and its answer has ended, but not its request
    cdef Flag tunnel               # it was a CONNECT that succeeded, or an upgrade
    cdef Flag no_body              # its answer has none
    cdef Flag simple               # a request had no version: an HTTP/0.9 answer is a body without a head
    cdef Flag paired               # a request and its answer were seen
    cdef Flag h2c                  # the answer's upgrade is to HTTP/2
    cdef Flag websocket            # the answer's upgrade is to this
    cdef Draft* upgrade            # what both sides say of it
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
        if m.state == START:
            fetch_lines(c, FETCHED, LOOKED_AT)
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
            elif m.state in (BODY, CHUNK_DATA, UNTIL_CLOSE):
                self.read_run(conn, is_orig, asks, c)
            elif not asks and m.state == START and self.is_simple():
                self.begin_simple_answer(conn, is_orig)
            elif m.state == HEADERS:
                if not self.read_head(conn, is_orig, asks, c):
                    break
            elif not self.read_line(conn, is_orig, asks, c, &verdict):
                break
        return verdict

    cdef bint read_head(self, Conn* conn, bint is_orig, bint asks, Cursor* c) noexcept nogil:
        """Header lines, up to the empty one that ends the head.  False when a line is not whole yet."""
        cdef Message* m = &self.message[asks]
        cdef Draft* d
        cdef int names = CLIENT_HEADER_NAMES if asks else SERVER_HEADER_NAMES
        cdef bint usual
        cdef const Header* known
        cdef Line said
        if not asks and not self.open_first():     # it may be another's: too many waited, and the first was written
            return True
        d = self.asking if asks else self.queue.first
        usual = d != NULL and not policy(conn) & HTTP_HEADERS
        while m.state == HEADERS and not m.cut_line:
            said = head_line(c)
            if c.short and not self.cut_short(m, c, &said.text):
                return False
            if said.text.n == 0:
                self.end_head(conn, is_orig, asks)
                return True
            if m.cut_header and is_blank(byte_at(said.text, 0)):
                continue           # it goes on with one that was too long
            m.cut_header = False
            if not m.cut_line and (left(c) == 0 or is_blank(peek(c, 0))) and (
                    not self.whole_header(c, &said)):
                if since(said.text, c).n + left(c) < LONGEST_LINE:
                    go_back(c, said.text)          # whether the next line goes on with it cannot be told yet
                    return False
                m.cut_line = left(c) > 0   # it is too long to wait for: what goes on with it is passed over
            m.cut_header = m.cut_line
            known = find_header(part(said.text, 0, said.colon))
            if usual and known.capital.n and said.colon < said.text.n and not (said.bare_cr or said.folded):
                lend_item(d, names, known.capital)
                if known.meaning != LISTED_HEADER:
                    self.value(conn, asks, d, known, trimmed(behind(said.text, said.colon + 1)))
            else:
                self.header(conn, asks, d, known, &said)
        return True

    cdef bint cut_short(self, Message* m, Cursor* c, Span* said) noexcept nogil:
        """A line without an end: True, and what there is of it, when it is too long to wait for."""
        c.short = False
        if left(c) < LONGEST_LINE:
            return False
        said[0] = take_rest(c)
        m.cut_line = True
        return True

    cdef bint read_line(self, Conn* conn, bint is_orig, bint asks, Cursor* c, Verdict* verdict) noexcept nogil:
        """One line of whatever other kind is due.  False when it is not whole yet."""
        cdef Message* m = &self.message[asks]
        cdef Span said = line(c)
        if c.short and not self.cut_short(m, c, &said):
            return False
        if m.state == START:
            verdict[0] = self.start_line(conn, asks, said)
        elif m.state == CHUNK:
            verdict[0] = self.chunk_size(conn, is_orig, asks, said)
        elif m.state == CHUNK_END:
            m.state = CHUNK
            if said.n:
                verdict[0] = self.broken(conn)
        elif said.n == 0:          # TRAILERS
            self.end_message(conn, asks)
        return True

    cdef bint whole_header(self, Cursor* c, Line* said) noexcept nogil:
        """Takes the lines that go on with this one: they begin with a space.  False when that cannot be told yet."""
        cdef Cursor ahead
        while left(c):
            if not is_blank(peek(c, 0)):
                return True
            ahead = c[0]
            line(&ahead)
            if ahead.short:
                return False
            c[0] = ahead
            said.text = trimmed_end(since(said.text, c))
            said.colon = colon_of(said.text)       # it may stand in a line that goes on with this one
            said.folded = True
        return False

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
        rest = trimmed(take_rest(&c))
        version = take_version(&rest)
        if c.short or not is_token(method) or (version.n == 0 and (method.n < 3 or rest.n == 0)):
            weird(conn, b"bad_HTTP_request")
            self.message[True].state = LOST
            return Verdict.MORE
        if self.queue.n == MOST_PENDING:
            weird(conn, b"HTTP_excessive_pipelining")
            self.write_first(conn)
        elif self.message[False].state == LOST:
            while self.queue.n:    # their answers are lost: a client that does not pipeline has had them
                self.write_first(conn)
        d = self.new_pending(conn)
        if d == NULL:
            return Verdict.DONE
        if not self.needs_a_pair(conn):
            confirm(conn)
        free_draft(self.upgrade)   # what an earlier request offered was not taken
        self.upgrade = NULL
        keep_text(d, METHOD, method)
        if rest.n:
            keep_uri(d, rest)
        else:
            weird(conn, b"missing_HTTP_uri")
        self.asking = d
        self.begin_message(conn, True)
        self.simple = version.n == 0
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
        d = self.queue.first if self.queue.first != NULL else self.new_pending(conn)
        if d == NULL or not unfold(d):
            return Verdict.DONE
        if is_set(d.record, METHOD):
            self.paired = True
            confirm(conn)
        keep_text(d, VERSION, behind(version, 5))
        keep_text(d, STATUS_MSG, reason)
        if not is_set(d.record, FIRST_BYTE) and conn.ts > d.record.ts:
            put_number(d.record, FIRST_BYTE, conn.ts - d.record.ts)
        put_number(d.record, STATUS_CODE, code)
        self.begin_message(conn, False)
        self.answered = not 100 <= code <= 199 or code == 101
        if 100 <= code <= 199:
            put_number(d.record, INFO_CODE, code)
            keep_text(d, INFO_MSG, reason)
        self.tunnel = code == 101 or (200 <= code <= 299 and method_is(d, b"CONNECT", 7))
        self.no_body = 100 <= code <= 199 or code == 204 or code == 304 or self.tunnel or method_is(d, b"HEAD", 4)
        return Verdict.MORE

    cdef void begin_message(self, Conn* conn, bint asks) noexcept nogil:
        cdef Message* m = &self.message[asks]
        m.state = HEADERS
        m.chunked = m.has_length = m.cut_header = False
        if not asks:
            self.websocket = self.h2c = False
        m.length = 0
        begin_body(&m.body, policy(conn) & HTTP_SHA256 != 0)

    cdef bint is_simple(self) noexcept nogil:
        """The request that is to be answered next is one of HTTP/0.9."""
        return self.simple and self.queue.first != NULL and not self.answered

    cdef void begin_simple_answer(self, Conn* conn, bint is_orig) noexcept nogil:
        """HTTP/0.9: all that the server says is the body (RFC 1945, 6)."""
        if not self.open_first():
            return
        self.begin_message(conn, False)
        self.begin_run(False, UNTIL_CLOSE, ALL)
        self.answered = self.paired = True
        confirm(conn)
        keep_text(self.queue.first, VERSION, span(<const uint8_t*>b"0.9", 3))
        put_number(self.queue.first.record, STATUS_CODE, 0)
        keep_text(self.queue.first, STATUS_MSG, span(<const uint8_t*>b"<empty>", 7))

    # ---- head ------------------------------------------------------------------------------------------------------

    cdef void header(self, Conn* conn, bint asks, Draft* d, const Header* known, const Line* said) noexcept nogil:
        """One header, with the lines that it was folded into (obsolete since RFC 7230)."""
        cdef Span name = part(said.text, 0, said.colon), value
        if name.n == 0 or name.n == said.text.n:
            return                 # no name, or no colon
        value = trimmed(behind(said.text, name.n + 1))
        if said.folded:
            value = unfolded(conn, d, value)
        elif said.bare_cr:
            value = before_cr(conn, value)
        if byte_at(name, 0) <= c' ' or byte_at(name, name.n - 1) <= c' ':
            weird(conn, b"HTTP_space_before_colon")
            name = bare(name)
            if name.n == 0:
                return
            known = find_header(name)
        if d != NULL:
            list_header(d, asks, policy(conn), known, name, value)
        self.value(conn, asks, d, known, value)

    cdef void value(self, Conn* conn, bint asks, Draft* d, const Header* known, Span value) noexcept nogil:
        """What a header says."""
        if FIRST_OF_FRAMING <= known.meaning <= LAST_OF_FRAMING:
            self.framing_header(conn, &self.message[asks], known.meaning, value)
        elif d == NULL:
            return
        elif FIRST_OF_UPGRADE <= known.meaning <= LAST_OF_UPGRADE:
            self.upgrade_header(asks, known.meaning, value)
        else:
            keep_value(d, asks, known, value)

    cdef void upgrade_header(self, bint asks, Meaning meaning, Span value) noexcept nogil:
        """What the flow is to be from here on, and how."""
        if meaning != UPGRADE_HEADER:
            websocket_header(&self.upgrade, asks, meaning, value)
        elif not asks:
            self.websocket = equals_nocase(value, b"websocket", 9)
            self.h2c = equals_nocase(value, b"h2c", 3)

    cdef void framing_header(self, Conn* conn, Message* m, Meaning meaning, Span value) noexcept nogil:
        """What says where the body ends, or how it is packed; shapes that two readers could understand differently
        are named (request smuggling)."""
        cdef uint64_t length = 0
        cdef bint good
        if meaning == CONTENT_LENGTH_HEADER:
            good = read_number(value, 10, &length)
            if not good:
                weird(conn, b"HTTP_bad_content_length")
            elif m.has_length and length != m.length:
                weird(conn, b"HTTP_content_lengths_differ")
            elif m.chunked:
                weird(conn, b"HTTP_length_and_chunked")
            if good:
                m.has_length, m.length = True, length
        elif meaning == TRANSFER_ENCODING_HEADER:
            m.chunked = value.n >= 7 and equals_nocase(behind(value, value.n - 7), b"chunked", 7)
            if not m.chunked:
                weird(conn, b"HTTP_unknown_transfer_encoding")
            elif m.has_length:
                weird(conn, b"HTTP_length_and_chunked")
        elif meaning == CONTENT_ENCODING_HEADER:
            set_coding(&m.body, value)

    cdef void end_head(self, Conn* conn, bint is_orig, bint asks) noexcept nogil:
        """What follows the head (RFC 9112, 6.3)."""
        cdef Message* m = &self.message[asks]
        if not asks and self.no_body:
            self.end_message(conn, asks)
        elif m.chunked:
            m.state = CHUNK
        elif m.has_length and m.length:
            expect(&m.body, m.length)
            self.begin_run(asks, BODY, m.length)
        elif m.has_length or asks:
            self.end_message(conn, asks)
        else:
            self.begin_run(asks, UNTIL_CLOSE, ALL)

    # ---- body ------------------------------------------------------------------------------------------------------

    cdef void begin_run(self, bint asks, State state, uint64_t size) noexcept nogil:
        """Body bytes follow."""
        self.message[asks].state, self.message[asks].run = state, size

    cdef void read_run(self, Conn* conn, bint is_orig, bint asks, Cursor* c) noexcept nogil:
        """Takes what of a body is looked at; the engine swallows the rest."""
        cdef Message* m = &self.message[asks]
        cdef uint64_t n = wanted(conn, &m.body, m.run)
        cdef Span piece
        if n == 0:
            skip(conn, is_orig, to_skip(&m.body, m.run))
            return
        piece = take(c, <uint32_t>min(n, <uint64_t>left(c)))
        take_body(&m.body, piece)
        self.end_run(conn, asks, piece.n)

    cdef void end_run(self, Conn* conn, bint asks, uint64_t n) noexcept nogil:
        """``n`` more bytes of the body or chunk are there, or lost; what follows it when they were the last."""
        cdef Message* m = &self.message[asks]
        if m.run == ALL:
            return
        m.run -= n
        if m.run:
            return
        if m.state == CHUNK_DATA:
            m.state = CHUNK_END
        else:
            self.end_message(conn, asks)

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
        if size:
            self.begin_run(asks, CHUNK_DATA, size)
        else:
            m.state = TRAILERS
        return Verdict.MORE

    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil:
        """Lost bytes were transferred too; conn tells how many were missed."""
        cdef bint asks = is_orig == (self.client == 1)
        cdef Message* m = &self.message[asks]
        pass_body(&m.body, seen)
        if missed:
            miss_body(&m.body, missed)
        if m.run != ALL and seen + missed >= to_skip(&m.body, m.run):
            self.end_run(conn, asks, seen + missed)
        elif m.state == UNTIL_CLOSE or (m.state == BODY and m.body.coding != GZIP):
            self.end_message(conn, asks)           # the stream has ended
        return Verdict.MORE

    cdef void end_message(self, Conn* conn, bint asks) noexcept nogil:
        cdef Message* m = &self.message[asks]
        cdef Draft* d = self.queue.first
        m.state = START
        if asks:
            if self.asking != NULL:
                tell_body(&m.body, self.asking, True, m.body.seen, True)
                if self.complete:
                    self.write_first(conn)
                elif d != self.asking or self.message[False].state == START:
                    fold(self.asking)      # nothing of its answer is there
                self.asking = NULL
            return
        if d == NULL or not self.answered:
            return
        tell_body(&m.body, d, False, m.body.seen, True)
        self.complete = d == self.asking
        if self.complete:
            return                 # the answer came before the end of its request, whose length is still to be told
        if self.tunnel:
            self.leave_http(conn)
        self.write_first(conn)

    cdef void leave_http(self, Conn* conn) noexcept nogil:
        """The flow is another protocol's from here on: behind CONNECT anybody's, behind an upgrade that one's."""
        cdef Record* r = self.queue.first.record
        hand_over(conn, find_protocol(b"http2") if self.h2c else ANYBODY)
        if not self.websocket:
            return
        if self.upgrade == NULL:
            self.upgrade = new_upgrade()
        if self.upgrade != NULL:
            log_websocket(conn, self.upgrade, get_text(r, HOST), get_text(r, URI), get_text(r, USER_AGENT))
        hand_over(conn, find_protocol(b"websocket"))

    # ---- loss and end ----------------------------------------------------------------------------------------------

    cdef Verdict broken(self, Conn* conn) noexcept nogil:
        weird(conn, b"HTTP_bad_framing")
        return Verdict.REJECT

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """Outside of a body the framing is lost: the transaction is written as far as it is known."""
        cdef bint asks = is_orig == (self.client == 1)
        cdef Message* m = &self.message[asks]
        if self.client == 0:
            return Verdict.MORE
        if m.state in (BODY, CHUNK_DATA, UNTIL_CLOSE) and n <= m.run:
            miss_body(&m.body, n)
            self.end_run(conn, asks, n)
            return Verdict.MORE
        if m.state == BODY or m.state == CHUNK_DATA:
            miss_body(&m.body, m.run)
            self.end_run(conn, asks, m.run)        # and something of what follows is lost, too
        if asks and self.asking != NULL:
            tell_body(&m.body, self.asking, True, m.body.seen, False)
            self.asking = NULL
        elif not asks and self.answered and self.queue.first != NULL and m.state != START:
            tell_body(&m.body, self.queue.first, False, m.body.seen, False)
            self.write_first(conn)
        m.state, m.cut_line = LOST, False
        return Verdict.MORE

    cdef Verdict eof(self, Conn* conn, bint is_orig) noexcept nogil:
        """A body that ends with the connection ends here."""
        cdef bint asks = is_orig == (self.client == 1)
        if self.message[asks].state == UNTIL_CLOSE:
            self.end_message(conn, asks)
        return Verdict.MORE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        if self.asking != NULL:
            tell_body(&self.message[True].body, self.asking, True, self.body_so_far(conn, True), False)
        if self.answered and self.queue.first != NULL and not self.complete:
            tell_body(&self.message[False].body, self.queue.first, False, self.body_so_far(conn, False), False)
        while self.queue.n:
            self.write_first(conn)
        free_body(&self.message[0].body)
        free_body(&self.message[1].body)
        free_draft(self.upgrade)
        self.upgrade = NULL

    cdef uint64_t body_so_far(self, Conn* conn, bint asks) noexcept nogil:
        """Body bytes of the message that is under way, those of an unfinished skip included."""
        cdef bint is_orig = asks == (self.client == 1)
        if not conn.taps[is_orig].skipping:
            return self.message[asks].body.seen
        return self.message[asks].body.seen + conn.taps[is_orig].skip_seen + conn.taps[is_orig].skip_missed

    # ---- the queue -------------------------------------------------------------------------------------------------

    cdef Draft* new_pending(self, Conn* conn) noexcept nogil:
        """A new transaction at the end of the queue, or NULL when memory is out."""
        cdef Draft* d = new_draft(HTTP)
        if d == NULL:
            return NULL
        self.depth += 1
        d.record.ts = conn.ts
        put_number(d.record, TRANS_DEPTH, self.depth)
        put_number(d.record, REQUEST_BODY_LEN, 0)
        put_number(d.record, RESPONSE_BODY_LEN, 0)
        queue_draft(&self.queue, d)
        return d

    cdef bint open_first(self) noexcept nogil:
        """The request whose answer comes may be written on.  False: memory is out, and the answer is lost."""
        if self.queue.first == NULL or unfold(self.queue.first):
            return True
        self.message[False].state = LOST
        return False

    cdef bint needs_a_pair(self, Conn* conn) noexcept nogil:
        """In the middle of a flow, or asked by the responder, a request is only believed with its answer."""
        return conn.midstream or self.client == -1

    cdef void write_first(self, Conn* conn) noexcept nogil:
        cdef Draft* d = self.queue.first
        unqueue_draft(&self.queue, d)
        if self.asking == d:
            self.asking = NULL
        self.answered = self.complete = False
        if self.paired or not self.needs_a_pair(conn):
            if unfold(d) and conn.ts > d.record.ts:
                put_number(d.record, DURATION, conn.ts - d.record.ts)
            emit_draft(conn, d)
        free_draft(d)


cdef inline bint is_blank(uint8_t byte) noexcept nogil:
    return byte == c' ' or byte == 9


cdef bint method_is(const Draft* d, const char* name, uint32_t n) noexcept nogil:
    return equals(get_text(d.record, METHOD), name, n)


register(HttpParser, name="http", schema=HTTP_SCHEMA, transport="tcp",
         ports=(80, 81, 631, 1080, 3128, 8000, 8080, 8888), late=True, confirms=True)
