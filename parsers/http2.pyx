"""HTTP/2 in clear, by prior knowledge or behind an upgrade, and gRPC in it (RFC 9113).

One ``http`` record of version 2 a stream, written when both sides have ended it.  Header blocks are unpacked by the
hpack library, with bounds of ours (RFC 7541); of data as much is looked at as in HTTP/1.  After a loss outside of data
the compression's state is gone: what is known is written, and the flow left.

    frames ─┬─ HEADERS, PUSH_PROMISE, CONTINUATION ──▶ header block ──▶ fields of the stream's record
            ├─ DATA ──▶ the stream's body              SETTINGS ──▶ the compression's table
            └─ RST_STREAM, END_STREAM ──▶ record
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from cext.buffer cimport Buffer, append
from cext.cursor cimport (Cursor, Span, equals, left, part, pass_over, peek, span, starts, take, take_rest, u8, u16,
                          u24, u32, within)
from cext.owned cimport disown, own, own_room
from cext.parser cimport (HTTP_SHA256, Conn, Match, Parser, Reason, Verdict, confirm, emit_draft, need, policy, skip,
                          weird)
from cext.record cimport (Draft, Drafts, free_draft, get_text, is_set, keep_text, new_draft, put_number, queue_draft,
                          unqueue_draft)
from parsers.shared.http_body cimport (Body, begin_body, expect, free_body, miss_body, pass_body, set_coding, take_body,
                                       tell_body, to_skip, wanted)
from parsers.shared.http_headers cimport CONTENT_ENCODING_HEADER, CONTENT_LENGTH_HEADER, Header, find_header
from parsers.shared.http_lines cimport read_number
from parsers.shared.http_record cimport (DURATION, FIRST_BYTE, HOST, HTTP, INFO_CODE, METHOD,
                                         REQUEST_BODY_LEN, REQUEST_CONTENT_TYPE, RESPONSE_BODY_LEN,
                                         STATUS_CODE, STREAM_ID, TRANS_DEPTH, URI, VERSION,
                                         keep_uri, keep_value, list_header, split_grpc)

from cext.parser import register
from parsers.shared.http_record import HTTP_SCHEMA

cdef enum:
    PREFACE = 24                   # bytes of the client's first words (RFC 9113, 3.4)
    FRAME_HEADER = 9
    LONGEST_FRAME = 32768 - FRAME_HEADER   # with headers in it; SETTINGS_MAX_FRAME_SIZE is 16,384 unless raised
    LONGEST_BLOCK = 65536          # of headers, packed; and unpacked
    LARGEST_TABLE = 65536          # of the compression
    MOST_STREAMS = 128             # open at a time; the oldest is written when there are more

cdef enum Frame:                   # RFC 9113, 6
    DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION

cdef enum Flag:
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    WITH_PRIORITY = 0x20

cdef enum Ended:                   # Draft.round: which sides of a stream have ended
    BY_SERVER = 1
    BY_CLIENT = 2
    BY_BOTH = 3


cdef struct Data:                  # a frame of it that is coming
    bint here
    bint ends                      # it is the side's last of the stream
    uint32_t stream
    uint32_t run                   # bytes of the body yet to come
    uint32_t padding               # … and those behind them


cdef struct Half:                  # what one side has sent
    Buffer block                   # a header block that goes on
    uint32_t block_stream
    bint block_ends                # it is the stream's last
    bint begun                     # the preface is behind us
    Data data


cdef class Http2Parser(Parser):
    """HTTP/2 streams and gRPC calls."""

    cdef Half half[2]              # by "is it the client?"
    cdef object decoders           # of header blocks, by "is it the client?"; made with the first
    cdef Drafts queue              # of streams that are open
    cdef uint32_t depth

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef uint32_t n = left(&c) if left(&c) < PREFACE else PREFACE
        if n == 0 or (not is_orig and is_settings(c)):
            return Match.MAYBE     # a server need not wait for the client's first words
        if not starts(&c, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", n):
            return Match.NO
        return Match.YES if n >= 6 else Match.MAYBE    # nobody else says "PRI * "

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef Half* half = &self.half[is_orig]
        cdef Verdict verdict = Verdict.MORE
        if is_orig and not half.begun:
            if left(c) < PREFACE:
                return Verdict.MORE
            if self.probe(True, c[0]) != Match.YES:    # all of it, now
                return Verdict.REJECT
            pass_over(c, PREFACE)
            half.begun = True
            confirm(conn)
        while verdict == Verdict.MORE and not conn.taps[is_orig].skipping:
            if half.data.here:
                if left(c) == 0:
                    break
                self.read_data(conn, is_orig, c)
            elif not self.frame(conn, is_orig, c, &verdict):
                break
        return verdict

    # ---- frames ----------------------------------------------------------------------------------------------------

    cdef bint frame(self, Conn* conn, bint client, Cursor* c, Verdict* verdict) noexcept nogil:
        """One frame (RFC 9113, 4.1).  False when it is not whole yet."""
        cdef Cursor m = c[0]
        cdef uint32_t size = u24(&m), stream
        cdef uint8_t kind = u8(&m), flags = u8(&m)
        stream = u32(&m) & 0x7fffffff
        if m.short:
            return False
        if kind == DATA:
            return self.begin_data(conn, client, size, flags, stream, c)
        if kind not in (HEADERS, PUSH_PROMISE, CONTINUATION, SETTINGS, RST_STREAM):
            pass_over(c, FRAME_HEADER)
            self.pass_payload(conn, client, size, c)
            return True
        if size > LONGEST_FRAME:
            weird(conn, b"HTTP2_frame_too_long")
            verdict[0] = Verdict.DONE
            return True
        if left(&m) < size:
            need(conn, client, FRAME_HEADER + size)
            return False
        pass_over(c, FRAME_HEADER)
        m = within(take(c, size))
        if kind == SETTINGS:
            if not flags & ACK:
                self.settings(client, &m)
        elif kind == RST_STREAM:
            self.write(conn, self.find(stream))
        else:
            verdict[0] = self.headers(conn, client, kind, flags, stream, &m)
        return True

    cdef void pass_payload(self, Conn* conn, bint client, uint32_t size, Cursor* c) noexcept nogil:
        if left(c) >= size:
            pass_over(c, size)
        else:
            skip(conn, client, size - left(c))
            take_rest(c)

    # ---- data ------------------------------------------------------------------------------------------------------

    cdef bint begin_data(self, Conn* conn, bint client, uint32_t size, uint8_t flags, uint32_t stream,
                         Cursor* c) noexcept nogil:
        """A piece of a body (6.1); one that is padded needs its first byte.  False when that is not here yet."""
        cdef Data* data = &self.half[client].data
        cdef uint32_t padding = 0
        if flags & PADDED and size:
            if left(c) < FRAME_HEADER + 1:
                need(conn, client, FRAME_HEADER + 1)
                return False
            size -= 1
            padding = min(<uint32_t>peek(c, FRAME_HEADER), size)
            pass_over(c, 1)
        pass_over(c, FRAME_HEADER)
        data.here, data.ends, data.stream = True, flags & END_STREAM != 0, stream
        data.run, data.padding = size - padding, padding
        self.end_data(conn, client)
        return True

    cdef void read_data(self, Conn* conn, bint client, Cursor* c) noexcept nogil:
        """Takes what of a body is looked at; the engine swallows the rest."""
        cdef Data* data = &self.half[client].data
        cdef Body* body = self.body(data.stream, client)
        cdef uint64_t n = wanted(conn, body, data.run) if body != NULL else 0
        cdef Span piece
        if n == 0:
            n = data.padding if data.run == 0 else to_skip(body, data.run) if body != NULL else data.run
            skip(conn, client, n)
            return
        piece = take(c, <uint32_t>min(n, <uint64_t>left(c)))
        take_body(body, piece)
        data.run -= piece.n
        self.end_data(conn, client)

    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil:
        """Lost bytes were transferred too; conn tells how many were missed."""
        cdef Data* data = &self.half[is_orig].data
        if data.here and data.run:
            self.count_data(is_orig, seen, missed)
        elif data.here:
            data.padding -= <uint32_t>(seen + missed)
        self.end_data(conn, is_orig)
        return Verdict.MORE

    cdef void count_data(self, bint client, uint64_t seen, uint64_t missed) noexcept nogil:
        cdef Data* data = &self.half[client].data
        cdef Body* body = self.body(data.stream, client)
        data.run -= <uint32_t>(seen + missed)
        if body != NULL:
            pass_body(body, seen)
        if body != NULL and missed:
            miss_body(body, missed)

    cdef void end_data(self, Conn* conn, bint client) noexcept nogil:
        """What follows the frame, when these were its last bytes."""
        cdef Data* data = &self.half[client].data
        if not data.here or data.run or data.padding:
            return
        data.here = False
        if data.ends:
            self.end_side(conn, data.stream, client)

    cdef Body* body(self, uint32_t stream, bint asks) noexcept nogil:
        """NULL for a stream that is not known any more."""
        cdef Draft* d = self.find(stream)
        return &(<Body*>d.extra)[asks] if d != NULL else NULL

    # ---- header blocks ---------------------------------------------------------------------------------------------

    cdef Verdict headers(self, Conn* conn, bint client, uint8_t kind, uint8_t flags, uint32_t stream,
                         Cursor* m) noexcept nogil:
        """A header block, or a part of one (6.2, 6.6, 6.10)."""
        cdef Half* half = &self.half[client]
        cdef Span piece
        cdef uint32_t padding = 0
        if kind != CONTINUATION:
            half.block.n = 0
            padding = u8(m) if flags & PADDED else 0
            if kind == HEADERS and flags & WITH_PRIORITY:
                pass_over(m, 5)
            half.block_stream = u32(m) & 0x7fffffff if kind == PUSH_PROMISE else stream
            half.block_ends = kind == HEADERS and flags & END_STREAM
        if m.short or padding > left(m) or (kind == CONTINUATION and stream != half.block_stream):
            weird(conn, b"HTTP2_bad_frame")
            return Verdict.DONE
        piece = part(span(m.p, left(m)), 0, left(m) - padding)
        if half.block.n + piece.n > LONGEST_BLOCK or not own_room(&half.block, piece.n):
            weird(conn, b"HTTP2_headers_too_long")
            return Verdict.DONE
        append(&half.block, piece.p, piece.n)
        if not flags & END_HEADERS:
            return Verdict.MORE
        # what a server promises is a request that the client did not make
        if not self.unpack(conn, client, client or kind == PUSH_PROMISE, half.block_stream):
            weird(conn, b"HTTP2_bad_headers")
            return Verdict.DONE
        half.block.n = 0
        if half.block_ends:
            self.end_side(conn, half.block_stream, client)
        return Verdict.MORE

    cdef bint unpack(self, Conn* conn, bint client, bint asks, uint32_t stream) noexcept with gil:
        """The fields of a whole header block into the stream's record.  False: the compression's state is lost."""
        cdef Half* half = &self.half[client]
        cdef bytes name, value
        cdef Draft* d
        try:
            decoder = self.decoder(client)
            fields = decoder.decode((<const char*>half.block.p)[:half.block.n], raw=True)
            d = self.find(stream)
            if d == NULL and stream:
                d = self.open(conn, stream)
                if d != NULL and not client:
                    d.round = BY_CLIENT    # a promise, or the answer to what was upgraded: no more will be asked
            if d == NULL:
                return True
            for field in fields:
                name, value = field[0], field[1]
                self.keep(conn, d, asks, span(<const uint8_t*>(<const char*>name), <uint32_t>len(name)),
                          span(<const uint8_t*>(<const char*>value), <uint32_t>len(value)))
        except Exception:          # hpack says what is wrong with it; memory can be short too
            return False
        return True

    cdef object decoder(self, bint client):
        from hpack import Decoder  # read when the first block comes
        if self.decoders is None:
            self.decoders = (Decoder(max_header_list_size=LONGEST_BLOCK), Decoder(max_header_list_size=LONGEST_BLOCK))
        return self.decoders[client]

    cdef void settings(self, bint client, Cursor* m) noexcept with gil:
        """The table that one side offers is the one that the other's blocks may use (6.5.2)."""
        cdef uint16_t what
        cdef uint32_t value
        while left(m) >= 6:
            what, value = u16(m), u32(m)
            if what != 1:          # SETTINGS_HEADER_TABLE_SIZE
                continue
            try:
                self.decoder(not client).max_allowed_table_size = min(value, <uint32_t>LARGEST_TABLE)
            except Exception:
                return

    cdef void keep(self, Conn* conn, Draft* d, bint asks, Span name, Span value) noexcept nogil:
        """One field of a stream (8.3)."""
        cdef uint64_t code
        if peek_first(name) != c':':
            self.keep_header(conn, d, asks, name, value)
        elif equals(name, b":method", 7):
            keep_text(d, METHOD, value)
        elif equals(name, b":path", 5):
            keep_uri(d, value)
        elif equals(name, b":authority", 10):
            keep_text(d, HOST, value)
        elif equals(name, b":status", 7) and read_number(value, 10, &code):
            put_number(d.record, INFO_CODE if 100 <= code <= 199 else STATUS_CODE, code)
            if not is_set(d.record, FIRST_BYTE) and conn.ts > d.record.ts:
                put_number(d.record, FIRST_BYTE, conn.ts - d.record.ts)

    cdef void keep_header(self, Conn* conn, Draft* d, bint asks, Span name, Span value) noexcept nogil:
        cdef const Header* known = find_header(name)
        cdef Body* body = &(<Body*>d.extra)[asks]
        cdef uint64_t length
        list_header(d, asks, policy(conn), known, name, value)
        keep_value(d, asks, known, value)
        if body.seen:
            return                 # a trailer
        if known.meaning == CONTENT_ENCODING_HEADER:
            set_coding(body, value)
        elif known.meaning == CONTENT_LENGTH_HEADER and read_number(value, 10, &length):
            expect(body, length)

    # ---- streams ---------------------------------------------------------------------------------------------------

    cdef Draft* find(self, uint32_t stream) noexcept nogil:
        cdef Draft* d = self.queue.first
        while d != NULL and d.mark != stream:
            d = d.after
        return d

    cdef Draft* open(self, Conn* conn, uint32_t stream) noexcept nogil:
        """A new stream, or NULL when memory is out."""
        cdef Draft* d
        cdef int i
        if self.queue.n == MOST_STREAMS:
            weird(conn, b"HTTP2_too_many_streams")
            self.write(conn, self.queue.first)
        d = new_draft(HTTP)
        if d == NULL:
            return NULL
        d.extra = own(2 * sizeof(Body))
        if d.extra == NULL:
            free_draft(d)
            return NULL
        memset(d.extra, 0, 2 * sizeof(Body))
        for i in range(2):
            begin_body(&(<Body*>d.extra)[i], policy(conn) & HTTP_SHA256 != 0)
        self.depth += 1
        d.record.ts, d.mark = conn.ts, stream
        put_number(d.record, TRANS_DEPTH, self.depth)
        put_number(d.record, STREAM_ID, stream)
        put_number(d.record, REQUEST_BODY_LEN, 0)
        put_number(d.record, RESPONSE_BODY_LEN, 0)
        keep_text(d, VERSION, span(<const uint8_t*>b"2", 1))
        queue_draft(&self.queue, d)
        return d

    cdef void end_side(self, Conn* conn, uint32_t stream, bint client) noexcept nogil:
        cdef Draft* d = self.find(stream)
        cdef Ended side = BY_CLIENT if client else BY_SERVER
        if d == NULL or d.round & side:
            return
        d.round |= side
        tell_body(&(<Body*>d.extra)[client], d, client, (<Body*>d.extra)[client].seen, True)
        if d.round == BY_BOTH:
            self.write(conn, d)

    cdef void write(self, Conn* conn, Draft* d) noexcept nogil:
        """Out of the list, and written; nothing for NULL."""
        cdef int asks
        if d == NULL:
            return
        unqueue_draft(&self.queue, d)
        for asks in range(2):
            if not d.round & (BY_CLIENT if asks else BY_SERVER):
                tell_body(&(<Body*>d.extra)[asks], d, asks, self.so_far(conn, d, asks), False)
            free_body(&(<Body*>d.extra)[asks])
        disown(d.extra)
        if conn.ts > d.record.ts:
            put_number(d.record, DURATION, conn.ts - d.record.ts)
        if equals(part(get_text(d.record, REQUEST_CONTENT_TYPE), 0, 16), b"application/grpc", 16):
            split_grpc(d, get_text(d.record, URI))
        emit_draft(conn, d)
        free_draft(d)

    cdef uint64_t so_far(self, Conn* conn, const Draft* d, bint asks) noexcept nogil:
        """Body bytes of a side, those of an unfinished skip included."""
        cdef Data* data = &self.half[asks].data
        cdef uint64_t seen = (<Body*>d.extra)[asks].seen
        if data.here and data.run and data.stream == d.mark and conn.taps[asks].skipping:
            seen += conn.taps[asks].skip_seen + conn.taps[asks].skip_missed
        return seen

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """A hole inside of a frame of data is one of a body.  Else the compression's state is lost with a frame of
        headers."""
        cdef Data* data = &self.half[is_orig].data
        cdef uint64_t of_body = min(n, <uint64_t>data.run)
        if not data.here or n - of_body > data.padding:
            return Verdict.DONE
        if of_body:
            self.count_data(is_orig, 0, of_body)
        data.padding -= <uint32_t>(n - of_body)
        self.end_data(conn, is_orig)
        return Verdict.MORE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        while self.queue.first != NULL:
            self.write(conn, self.queue.first)
        disown(self.half[0].block.p)
        disown(self.half[1].block.p)
        self.half[0].block.p = self.half[1].block.p = NULL


cdef bint is_settings(Cursor c) noexcept nogil:
    """A frame of settings that fits what is there, the first of a server (3.4, 6.5)."""
    cdef uint32_t size = u24(&c)
    cdef uint8_t kind = u8(&c), flags = u8(&c)
    cdef uint32_t stream = u32(&c)
    return not c.short and kind == SETTINGS and flags == 0 and stream == 0 and size % 6 == 0 and size <= 120


cdef inline uint8_t peek_first(Span name) noexcept nogil:
    cdef Cursor c = within(name)
    return peek(&c, 0)


register(Http2Parser, name="http2", schema=HTTP_SCHEMA, transport="tcp", ports=(80, 8080, 50051), idle_seconds=86400,
         confirms=True)
