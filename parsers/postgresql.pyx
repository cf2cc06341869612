"""PostgreSQL: who logs in, what is asked, how it went (frontend/backend protocol 3.0 and 3.2, manual "Message Flow").

One record a round: encryption request, start-up, simple query, each Execute of the extended protocol with the SQL of
its statement, cancel request, termination.  Rows are counted, not read.  Passwords, SASL payloads, salts and cancel
keys are passed over; a PASSWORD literal inside of SQL is masked.  Left out on purpose: values of rows.

    frontend   STARTUP ──▶ MESSAGES            backend   ANSWER (one byte, to an encryption request) ──▶ MESSAGES
    rounds     each ends in ReadyForQuery; an Error aborts what is left of its round
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport (Cursor, Span, equals, left, part, pass_over, peek, same, span, take, take_rest,
                          until, within, u32, u8)
from cext.parser cimport (ANYBODY, SECRETS, SQL_SHAPES, Conn, Match, Parser, Reason, Verdict, emit_draft, find_protocol,
                          hand_over, need, policy, weird)
from cext.record cimport (Draft, Drafts, borrow_fields, free_draft, get_text, is_set, keep_bytes, keep_more, keep_text,
                          new_draft, put_number, put_text, put_word, queue_draft, unqueue_draft, unset)
from parsers.shared.pg_messages cimport (AUTHENTICATION, BIND, CALL, CLOSE, CODE_CANCEL, CODE_GSSENC, CODE_SSL,
                                         COMMAND_COMPLETE, COPY_BOTH, COPY_DATA, COPY_DONE, COPY_FAIL, COPY_IN,
                                         COPY_OUT, DATA_ROW, DESCRIBE, EMPTY_QUERY, ERROR, EXECUTE_MESSAGE,
                                         LONGEST_STARTUP, NOTICE, NOTIFICATION, PARAMETER_DESCRIPTION,
                                         PARAMETER_STATUS, PARSE, PASSWORD, PORTAL_SUSPENDED, PROTOCOL_3, QUERY,
                                         READY_FOR_QUERY, SYNC, TERMINATE, auth_name, is_backend, is_frontend,
                                         is_midstream, is_startup, pass_run, take_message, text_of)
from parsers.shared.pg_prepared cimport LONGEST_NAME, Portal, Prepared, Statement, name_of, shape_of, sql_of
from parsers.shared.pg_record cimport (APPLICATION_NAME, BACKEND, BACKEND_ARG, COMMAND_TAG, COPY, DATABASE, DURATION,
                                       FRONTEND, FRONTEND_ARG, NOTIFICATIONS, OPTIONS, PARAMETERS, PARAMETER_TYPES,
                                       PARTIAL, PORTAL, POSTGRESQL, PROTOCOL_VERSION, REPLICATION, REQUEST_BYTES,
                                       RESPONSE_BYTES, ROWS, STATEMENT, SUCCESS, TRANSACTION_STATUS, USER, add_bytes,
                                       keep_fields, keep_sql, keep_types, keep_values)

from cext.parser import register
from parsers.shared.pg_record import POSTGRESQL_SCHEMA

cdef enum:
    MOST_PENDING = 256             # requests without an answer

cdef enum Asked:                   # Draft.mark: what the record is about
    STARTUP, SIMPLE_QUERY, EXECUTE, FUNCTION_CALL, ENCRYPTION


cdef class PostgresqlParser(Parser):
    """PostgreSQL frontend/backend protocol, version 3."""

    cdef Drafts queue              # of requests without an answer
    cdef uint32_t asked_round      # rounds that the client has finished
    cdef uint32_t answered_round   # rounds that the server has finished
    cdef Draft* who                # user, database and application, as texts of a record that is never written
    cdef Draft* done               # complete but for its transaction's status, which the round's end tells
    cdef uint64_t asked_bytes      # of messages that belong to no request yet
    cdef bint partial
    cdef Prepared prepared         # statements and portals
    cdef bint client_is_resp
    cdef bint known                # which side is the client
    cdef bint started              # start-up is behind us, or was before the capture
    cdef bint lost[2]              # by is_orig: framing is to be found again after a gap
    cdef bint waits_for_byte       # the server answers an encryption request with one byte

    def __cinit__(self):
        self.prepared = Prepared.__new__(Prepared)

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        cdef Match startup = is_startup(c)
        if startup != Match.NO:
            return startup
        return Match.YES if is_midstream(c, True) or is_midstream(c, False) else Match.NO

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef Verdict verdict = Verdict.MORE
        if not self.known:
            self.known = True
            self.started = is_startup(c[0]) != Match.YES
            self.partial = self.started
            self.client_is_resp = is_orig == (self.started and not is_midstream(c[0], True))
        if self.lost[is_orig]:
            if not is_midstream(c[0], is_orig != self.client_is_resp):
                take_rest(c)
                return Verdict.MORE
            self.lost[is_orig] = False
        if is_orig == self.client_is_resp:
            if self.waits_for_byte and left(c) and peek(c, 0) != ERROR:
                return self.one_byte(conn, c)
            self.waits_for_byte = False    # servers before 7.0 answer with an error message
            while verdict == Verdict.MORE and not conn.taps[is_orig].skipping:
                if not self.backend(conn, is_orig, c, &verdict):
                    break
            return verdict
        while verdict == Verdict.MORE and not conn.taps[is_orig].skipping:
            if self.waits_for_byte:
                return Verdict.WAIT    # what follows is in clear or not: the server's byte tells
            if self.started and not self.frontend(conn, is_orig, c, &verdict):
                break
            if not self.started and not self.startup(conn, is_orig, c, &verdict):
                break
        return verdict

    # ---- start-up --------------------------------------------------------------------------------------------------

    cdef bint startup(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        """A message of the client's without a type.  False when it is not whole yet."""
        cdef uint32_t size, code
        cdef Cursor m = c[0]
        size, code = u32(&m), u32(&m)
        if m.short:
            return False
        if size < 8 or size > LONGEST_STARTUP:
            verdict[0] = Verdict.REJECT
            return True
        if left(c) < size:
            need(conn, is_orig, size)
            return False
        m = within(take(c, size))
        pass_over(&m, 8)
        if code == CODE_SSL or code == CODE_GSSENC:
            self.waits_for_byte = self.ask(conn, ENCRYPTION, "ssl_request" if code == CODE_SSL else "gssenc_request",
                                           11 if code == CODE_SSL else 14) != NULL
        elif code == CODE_CANCEL:
            self.cancel(conn, &m)
            verdict[0] = Verdict.DONE
        elif code >> 16 == PROTOCOL_3:
            self.started = True
            self.asked_bytes += size
            self.begin_session(conn, code, &m)
        else:
            verdict[0] = Verdict.REJECT
        return True

    cdef void begin_session(self, Conn* conn, uint32_t code, Cursor* m) noexcept nogil:
        """Version, then names and values, each ended by a zero byte (StartupMessage)."""
        cdef Span name, value
        cdef Draft* d = self.ask(conn, STARTUP, "startup", 7)
        cdef uint8_t version[3]
        if d == NULL:
            return
        self.asked_round += 1
        version[0], version[1], version[2] = c'3', c'.', <uint8_t>(c'0' + (code & 0xffff) % 10)
        keep_text(d, PROTOCOL_VERSION, span(version, 3))
        self.who = new_draft(POSTGRESQL)
        while self.who != NULL and left(m) > 1:
            name, value = until(m, 0), until(m, 0)
            if m.short or name.n == 0:
                return
            if equals(name, b"user", 4):
                keep_text(self.who, USER, value)
            elif equals(name, b"database", 8):
                keep_text(self.who, DATABASE, value)
            elif equals(name, b"application_name", 16):
                keep_text(self.who, APPLICATION_NAME, value)
            elif equals(name, b"options", 7):
                keep_text(d, OPTIONS, value)
            elif equals(name, b"replication", 11):
                keep_text(d, REPLICATION, value)

    cdef void cancel(self, Conn* conn, Cursor* m) noexcept nogil:
        """Only the process is told; the key is a secret."""
        cdef Draft* d = self.ask(conn, ENCRYPTION, "cancel_request", 14)
        cdef uint8_t* text
        cdef uint32_t pid = u32(m), n = 10
        if d == NULL:
            return
        text = keep_bytes(d, 10)
        while text != NULL and (pid or n == 10):
            n -= 1
            text[n] = <uint8_t>(c'0' + pid % 10)
            pid //= 10
        if text != NULL:
            put_text(d.record, FRONTEND_ARG, span(text + n, 10 - n))
        self.write(conn, self.take_first())

    cdef Verdict one_byte(self, Conn* conn, Cursor* c) noexcept nogil:
        """The answer to an encryption request: S or G, and the flow is another's; N, and it goes on in clear."""
        cdef uint8_t answer = peek(c, 0)
        cdef Draft* d = self.queue.first
        cdef bint ssl
        self.waits_for_byte = False
        if d == NULL:
            return Verdict.MORE
        ssl = d.record.slots[FRONTEND].number == 11
        put_word(d.record, BACKEND, b"ssl_reply" if ssl else b"gssenc_reply", 9 if ssl else 12)
        keep_text(d, BACKEND_ARG, take(c, 1))
        put_number(d.record, SUCCESS, answer == c'S' or answer == c'G')
        self.write(conn, self.take_first())
        if answer == c'S':
            hand_over(conn, find_protocol(b"ssl"))
        return Verdict.DONE if answer == c'G' else Verdict.MORE

    # ---- messages of both sides ------------------------------------------------------------------------------------

    cdef bint pass_data(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        """Rows, and the data of a COPY, are most of the bytes: they are counted by their heads.  False when the first
        head is not here yet."""
        cdef bint answers = is_orig == self.client_is_resp
        cdef bint rows = answers and peek(c, 0) == DATA_ROW
        cdef uint64_t size
        cdef uint32_t count = pass_run(conn, is_orig, c, &size, verdict)
        if count == 0:
            return verdict[0] != Verdict.MORE
        add_bytes(self.queue.first, RESPONSE_BYTES if answers else REQUEST_BYTES, size)
        if rows:
            add_bytes(self.queue.first, ROWS, count)
        return True

    # ---- messages of the client ------------------------------------------------------------------------------------

    cdef bint frontend(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        cdef uint8_t kind = peek(c, 0)
        cdef uint32_t size = 0
        cdef Cursor m
        if kind == COPY_DATA or kind == COPY_DONE or kind == COPY_FAIL:
            return self.pass_data(conn, is_orig, c, verdict)
        if not take_message(conn, is_orig, c, &m, &size, verdict):
            return False
        if verdict[0] != Verdict.MORE:
            return True
        self.asked_bytes += size
        if kind == QUERY:
            self.ask_sql(conn, SIMPLE_QUERY, "simple_query", 12, text_of(&m), span(NULL, 0))
            self.asked_round += 1
        elif kind == PARSE:
            self.prepared.parse(&m)
        elif kind == BIND:
            self.prepared.bind(&m, policy(conn) & SECRETS != 0)
        elif kind == DESCRIBE:
            self.prepared.describe(&m)
        elif kind == EXECUTE_MESSAGE:
            self.execute(conn, &m)
        elif kind == CLOSE:
            self.prepared.forget(&m)
        elif kind == SYNC:
            self.asked_round += 1
            if self.queue.last != NULL and self.queue.last.mark == EXECUTE:
                add_bytes(self.queue.last, REQUEST_BYTES, self.asked_bytes)
                self.asked_bytes = 0
        elif kind == CALL:
            self.ask(conn, FUNCTION_CALL, "function_call", 13)
            self.asked_round += 1
        elif kind == TERMINATE:
            self.terminate(conn)
        elif kind == PASSWORD:     # never read, as all that proves an identity
            add_bytes(self.queue.first, REQUEST_BYTES, self.asked_bytes)
            self.asked_bytes = 0
        elif not is_frontend(kind):
            verdict[0] = self.lost_framing(conn)
        return True

    cdef void execute(self, Conn* conn, Cursor* m) noexcept nogil:
        """One record for each Execute, with the SQL of its portal's statement."""
        cdef Span name = part(until(m, 0), 0, LONGEST_NAME)
        cdef Portal* portal = self.prepared.find_portal(name, False)
        cdef Statement* s = portal.runs if portal != NULL else NULL
        cdef Draft* d
        if s == NULL:              # prepared before the capture began
            d = self.ask(conn, EXECUTE, "execute", 7)
            if d != NULL:
                put_number(d.record, ROWS, 0)
                put_number(d.record, PARTIAL, True)
            return
        d = self.ask_sql(conn, EXECUTE, "execute", 7, sql_of(s), shape_of(s))
        if d == NULL:
            return
        if s.name_size:
            keep_text(d, STATEMENT, span(s.bytes, s.name_size))
        if name.n:
            keep_text(d, PORTAL, name)
        put_number(d.record, PARAMETERS, portal.parameters)
        keep_types(d, s)
        if portal.values != NULL:
            keep_values(d, span(portal.values, portal.values_size))

    cdef void terminate(self, Conn* conn) noexcept nogil:
        """The client says good-bye; what had no answer is written first, as Zeek does."""
        self.write_all(conn)
        if self.ask(conn, SIMPLE_QUERY, "terminate", 9) != NULL:
            self.write(conn, self.take_first())

    # ---- messages of the server ------------------------------------------------------------------------------------

    cdef bint backend(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        cdef uint8_t kind = peek(c, 0)
        cdef uint32_t size = 0
        cdef bint late
        cdef Cursor m
        if kind == DATA_ROW or kind == COPY_DATA:
            return self.pass_data(conn, is_orig, c, verdict)
        if not take_message(conn, is_orig, c, &m, &size, verdict):
            return False
        if verdict[0] != Verdict.MORE:
            return True
        late = kind == READY_FOR_QUERY and self.done != NULL
        add_bytes(self.done if late else self.queue.first, RESPONSE_BYTES, size)
        if kind == READY_FOR_QUERY:
            self.ready(conn, u8(&m))
        elif kind == COMMAND_COMPLETE:
            self.complete(conn, text_of(&m))
        elif kind == EMPTY_QUERY or kind == PORTAL_SUSPENDED:
            self.complete(conn, span(m.p, 0))
        elif kind == ERROR:
            self.error(conn, &m)
        elif kind == AUTHENTICATION:
            self.authentication(u32(&m))
        elif is_backend(kind):
            self.remark(conn, kind, &m)
        else:
            verdict[0] = self.lost_framing(conn)
        return True

    cdef void remark(self, Conn* conn, uint8_t kind, Cursor* m) noexcept nogil:
        """What comes beside an answer."""
        cdef Span name, value
        cdef const Statement* s
        cdef Draft* asked = self.queue.first
        if kind == PARAMETER_STATUS:
            name, value = until(m, 0), until(m, 0)
            if self.who != NULL and equals(name, b"application_name", 16) and not (
                    same(get_text(self.who.record, APPLICATION_NAME), value)):
                self.rename(value)
        elif kind == PARAMETER_DESCRIPTION:
            s = self.prepared.take_types(m)
            if s != NULL and asked != NULL and same(get_text(asked.record, STATEMENT), name_of(s)):
                unset(asked.record, PARAMETER_TYPES)
                keep_types(asked, s)
        elif asked == NULL:
            return
        elif kind == NOTICE:
            keep_fields(asked, m, False, policy(conn) & SQL_SHAPES != 0)
        elif kind == NOTIFICATION:
            add_bytes(asked, NOTIFICATIONS, 1)
        elif kind == COPY_IN:
            put_word(asked.record, COPY, b"in", 2)
        elif kind == COPY_OUT:
            put_word(asked.record, COPY, b"out", 3)
        elif kind == COPY_BOTH:
            put_word(asked.record, COPY, b"both", 4)

    cdef void rename(self, Span application) noexcept nogil:
        """Another application has the session: in a new draft, since one only grows."""
        cdef Draft* who = new_draft(POSTGRESQL)
        if who == NULL:
            return
        keep_text(who, USER, get_text(self.who.record, USER))
        keep_text(who, DATABASE, get_text(self.who.record, DATABASE))
        if application.n:
            keep_text(who, APPLICATION_NAME, application)
        free_draft(self.who)
        self.who = who

    cdef void authentication(self, uint32_t method) noexcept nogil:
        """Zeek's words: auth_request for each step with its method, auth_ok in the end."""
        cdef Draft* d = self.queue.first
        cdef const char* name = auth_name(method)
        cdef uint32_t n = 0
        if d == NULL or d.mark != STARTUP:
            return
        if method == 0:
            put_word(d.record, BACKEND, b"auth_ok", 7)    # it may still fail: no such database, too many clients
            return
        while name[n]:
            n += 1
        keep_more(d, BACKEND, span(<const uint8_t*>b"auth_request", 12), b",")
        keep_more(d, BACKEND_ARG, span(<const uint8_t*>name, n), b",")

    cdef void complete(self, Conn* conn, Span tag) noexcept nogil:
        """A command is done: an Execute has its answer, a simple query may have more commands."""
        if self.queue.first == NULL:
            return
        if tag.n:
            keep_text(self.queue.first, COMMAND_TAG, tag)
        if self.queue.first.mark == EXECUTE:
            put_number(self.queue.first.record, SUCCESS, True)
            self.settle(conn, self.take_first())

    cdef void settle(self, Conn* conn, Draft* d) noexcept nogil:
        """A request has its answer.  It waits for the round's end if it is the last, which tells the status."""
        put_number(d.record, DURATION, conn.ts - d.record.ts if conn.ts > d.record.ts else 0)
        self.write_done(conn)
        self.done = d

    cdef void write_done(self, Conn* conn) noexcept nogil:
        if self.done != NULL:
            self.write(conn, self.done)
            self.done = NULL

    cdef void error(self, Conn* conn, Cursor* m) noexcept nogil:
        """An error ends its request; what is left of the round is not run."""
        cdef Draft* d = self.queue.first
        cdef bint own = d == NULL or d.round != self.answered_round
        if own:
            d = self.failed_parse(conn)
            if d == NULL:
                return
        keep_more(d, BACKEND, span(<const uint8_t*>b"error", 5), b",")
        keep_fields(d, m, True, policy(conn) & SQL_SHAPES != 0)
        put_number(d.record, SUCCESS, False)
        if own:
            self.settle(conn, d)
        elif d.mark == ENCRYPTION:
            self.write(conn, self.take_first())
        elif d.mark == EXECUTE:
            self.settle(conn, self.take_first())
            self.abort_round(conn)

    cdef void abort_round(self, Conn* conn) noexcept nogil:
        """The server passes over all up to the next Sync (manual, "Extended Query")."""
        cdef Draft* d = self.queue.first
        while d != NULL and d.round == self.answered_round and d.mark == EXECUTE:
            put_word(d.record, BACKEND, b"aborted", 7)
            put_number(d.record, SUCCESS, False)
            self.settle(conn, self.take_first())
            d = self.queue.first

    cdef Draft* failed_parse(self, Conn* conn) noexcept nogil:
        """An error that no request waits for: that of a Parse, or one that the server sends on its own."""
        cdef Draft* d = new_draft(POSTGRESQL)
        if d == NULL:
            return NULL
        d.record.ts, d.mark = conn.ts, FUNCTION_CALL
        if self.prepared.parsed != NULL:
            put_word(d.record, FRONTEND, b"parse", 5)
            keep_sql(d, sql_of(self.prepared.parsed), shape_of(self.prepared.parsed),
                     policy(conn) & SQL_SHAPES != 0)
        return d

    cdef void ready(self, Conn* conn, uint8_t status) noexcept nogil:
        """A round is over: what of it has no answer yet has it now."""
        cdef Draft* d = self.queue.first
        while d != NULL and d.round <= self.answered_round and d.mark != ENCRYPTION:
            if not is_set(d.record, SUCCESS):
                put_number(d.record, SUCCESS, status == c'I' or status == c'T')
            self.settle(conn, self.take_first())
            d = self.queue.first
        if self.done != NULL:
            if status == c'I':
                put_word(self.done.record, TRANSACTION_STATUS, b"idle", 4)
            elif status == c'T':
                put_word(self.done.record, TRANSACTION_STATUS, b"transaction", 11)
            elif status == c'E':
                put_word(self.done.record, TRANSACTION_STATUS, b"failed", 6)
            self.write_done(conn)
        if self.answered_round < self.asked_round:
            self.answered_round += 1
        self.prepared.end_round(self.answered_round == self.asked_round)

    # ---- requests --------------------------------------------------------------------------------------------------

    cdef Draft* ask(self, Conn* conn, Asked what, const char* name, uint32_t n) noexcept nogil:
        """A new request at the end of the queue, or NULL when memory is out."""
        cdef Draft* d
        if self.queue.n == MOST_PENDING:
            weird(conn, b"postgresql_excessive_pipelining")
            self.write(conn, self.take_first())
        d = new_draft(POSTGRESQL)
        if d == NULL:
            return NULL
        d.record.ts, d.mark, d.round = conn.ts, what, self.asked_round
        put_word(d.record, FRONTEND, name, n)
        if self.asked_bytes:
            put_number(d.record, REQUEST_BYTES, self.asked_bytes)
            self.asked_bytes = 0
        queue_draft(&self.queue, d)
        return d

    cdef Draft* ask_sql(self, Conn* conn, Asked what, const char* name, uint32_t n, Span sql,
                        Span shape) noexcept nogil:
        cdef Draft* d = self.ask(conn, what, name, n)
        if d != NULL:
            keep_sql(d, sql, shape, policy(conn) & SQL_SHAPES != 0)
            put_number(d.record, ROWS, 0)
        return d

    cdef Draft* take_first(self) noexcept nogil:
        """The oldest request, out of the queue; there must be one."""
        cdef Draft* d = self.queue.first
        unqueue_draft(&self.queue, d)
        return d

    cdef void write(self, Conn* conn, Draft* d) noexcept nogil:
        """Writes and frees a record, with user, database and application of the start-up."""
        if self.who != NULL and d.mark != ENCRYPTION:
            borrow_fields(d.record, self.who.record)
        if self.partial:
            put_number(d.record, PARTIAL, True)
        emit_draft(conn, d)
        free_draft(d)

    cdef void write_all(self, Conn* conn) noexcept nogil:
        self.write_done(conn)
        while self.queue.first != NULL:
            self.write(conn, self.take_first())

    # ---- loss and end ----------------------------------------------------------------------------------------------

    cdef Verdict lost_framing(self, Conn* conn) noexcept nogil:
        weird(conn, b"postgresql_bad_framing")
        return Verdict.REJECT

    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil:
        return Verdict.MORE

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """What waited for an answer is written as it is; messages are found again where one begins a segment."""
        self.write_all(conn)
        self.partial = True
        self.answered_round = self.asked_round
        if self.waits_for_byte:    # the server's one byte: what follows is in clear or not
            self.waits_for_byte = False
            hand_over(conn, ANYBODY)
        self.lost[is_orig] = True
        self.started = True
        return Verdict.MORE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        self.write_all(conn)
        free_draft(self.who)
        self.who = NULL
        self.prepared.clear()


register(PostgresqlParser, name="postgresql", schema=POSTGRESQL_SCHEMA, transport="tcp", ports=(5432,),
         idle_seconds=86400)
