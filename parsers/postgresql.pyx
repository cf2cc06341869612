"""PostgreSQL: who logs in, what is asked, how it went (frontend/backend protocol 3.0 and 3.2, manual "Message Flow").

One record a round: encryption request, start-up, simple query, each Execute of the extended protocol with the SQL of
its statement, cancel request, termination.  Rows are counted, not read.  Passwords, SASL payloads, salts and cancel
keys are passed over; a PASSWORD literal inside of SQL is masked.  Left out on purpose: values of rows.

    frontend   STARTUP ──▶ MESSAGES            backend   ANSWER (one byte, to an encryption request) ──▶ MESSAGES
    rounds     each ends in ReadyForQuery; an Error aborts what is left of its round
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.cursor cimport (Cursor, Span, equals, left, part, pass_over, peek, same, span, take, take_rest,
                          until, within, u16, u32, u8)
from cext.parser cimport (ANYBODY, SECRETS, SQL_SHAPES, Conn, Match, Parser, Reason, Verdict, emit_draft, find_protocol,
                          hand_over, need, policy, weird)
from cext.record cimport (Draft, Drafts, Schema, borrow_fields, free_draft, get_text, is_set, keep_bytes, keep_item,
                          keep_more, keep_text, new_draft, put_number, put_text, put_word, queue_draft, unqueue_draft,
                          unset)
from cext.text cimport put_hex
from parsers.shared.names cimport LONGEST_UNKNOWN, NameTable
from parsers.shared.pg_messages cimport (AUTHENTICATION, BIND, CALL, CLOSE, CODE_CANCEL, CODE_GSSENC, CODE_SSL,
                                         COMMAND_COMPLETE, COPY_BOTH, COPY_DATA, COPY_DONE, COPY_FAIL, COPY_IN,
                                         COPY_OUT,
                                         DATA_ROW, DESCRIBE, EMPTY_QUERY, ERROR, EXECUTE_MESSAGE, LONGEST_STARTUP,
                                         NOTICE, NOTIFICATION, PARAMETER_DESCRIPTION, PARAMETER_STATUS, PARSE, PASSWORD,
                                         PORTAL_SUSPENDED,
                                         PROTOCOL_3, QUERY, READY_FOR_QUERY, SYNC, TERMINATE, auth_name, field_name,
                                         is_backend, is_frontend, is_midstream, is_startup, pass_message, take_message,
                                         text_of)
from parsers.shared.pg_prepared cimport LONGEST_NAME, Portal, Prepared, Statement, name_of, shape_of, sql_of
from parsers.shared.sql cimport fingerprint_sql, keep_masked

from cext.parser import register
from parsers.shared.pg_types import TYPES

cdef Schema POSTGRESQL = Schema("postgresql", "PostgreSQL logins, statements and their results.")
cdef int USER = POSTGRESQL.text("user", "User of the start-up message.", max=256,
                                source="PostgreSQL, Message Formats: StartupMessage")
cdef int DATABASE = POSTGRESQL.text("database", "Database of the start-up message.", max=256,
                                    source="PostgreSQL, Message Formats: StartupMessage")
cdef int APPLICATION_NAME = POSTGRESQL.text("application_name", "Application, as the start-up message or a later SET "
                                            "names it.", max=256,
                                            source="PostgreSQL, Message Formats: StartupMessage, ParameterStatus")
cdef int FRONTEND = POSTGRESQL.text("frontend", "What the client asked: ssl_request, gssenc_request, startup, "
                                    "simple_query, execute, parse (one that failed), function_call, cancel_request, "
                                    "terminate.", source="Zeek; PostgreSQL, Message Flow")
cdef int FRONTEND_ARG = POSTGRESQL.text("frontend_arg", "The SQL, passwords in it masked; the process of a cancel "
                                        "request.", max=8192,
                                        source="PostgreSQL, Message Formats: Query, Parse, CancelRequest")
cdef int BACKEND = POSTGRESQL.text("backend", "What the server answered, where that is more than rows.",
                                   source="Zeek; PostgreSQL, Message Flow")
cdef int BACKEND_ARG = POSTGRESQL.text("backend_arg", "Its arguments: authentication methods, or the fields of an "
                                       "error or notice.", max=4096, source="Zeek; PostgreSQL, Message Flow")
cdef int SUCCESS = POSTGRESQL.bool("success", "The request succeeded; of a start-up: the server was ready for a query.",
                                   source="PostgreSQL, Message Flow")
cdef int ROWS = POSTGRESQL.count("rows", "Rows that came back.",
                                 source="PostgreSQL, Message Formats: DataRow, CommandComplete")
cdef int STATEMENT = POSTGRESQL.text("statement", "Name of the prepared statement that was executed.", max=128,
                                     source="PostgreSQL, Message Formats: Parse, Bind")
cdef int PORTAL = POSTGRESQL.text("portal", "Name of the portal that was executed: a cursor.", max=128,
                                  source="PostgreSQL, Message Formats: Bind, Execute")
cdef int COMMAND_TAG = POSTGRESQL.text("command_tag", "Command tag of the result, such as UPDATE 3.", max=128,
                                       source="PostgreSQL, Message Formats: CommandComplete")
cdef int SEVERITY = POSTGRESQL.text("severity", "Severity of the error: ERROR, FATAL or PANIC.", max=16,
                                    source="PostgreSQL, Error and Notice Message Fields")
cdef int SQLSTATE = POSTGRESQL.text("sqlstate", "SQLSTATE code of the error.", max=8,
                                    source="PostgreSQL, Error and Notice Message Fields")
cdef int ERROR_MESSAGE = POSTGRESQL.text("error_message", "Message of the error.",
                                         source="PostgreSQL, Error and Notice Message Fields")
cdef int SQL_FINGERPRINT = POSTGRESQL.text("sql_fingerprint", "The statement without its values: literals as ?, a list "
                                           "of them as one, names in lower case.", max=8192,
                                           source="PostgreSQL, Lexical Structure")
cdef int PARAMETERS = POSTGRESQL.count("parameters", "Values that were bound to the statement.",
                                       source="PostgreSQL, Message Formats: Bind")
cdef int PARAMETER_TYPES = POSTGRESQL.texts("parameter_types", "Their types, where a message told them.", max=64,
                                            source="PostgreSQL, Message Formats: Parse, ParameterDescription")
cdef int PARAMETER_VALUES = POSTGRESQL.texts("parameter_values", "The values, as text; binary ones in hex.", max=64,
                                             secret=True, source="PostgreSQL, Message Formats: Bind")
cdef int DURATION = POSTGRESQL.interval("duration", "From the request to the end of its answer.", source="packet times")
cdef int REQUEST_BYTES = POSTGRESQL.count("request_bytes", "Bytes of the request's messages: Parse, Bind and data "
                                          "that is copied in too.", source="PostgreSQL, Message Formats")
cdef int RESPONSE_BYTES = POSTGRESQL.count("response_bytes", "Bytes of the answer's messages.",
                                           source="PostgreSQL, Message Formats")
cdef int TRANSACTION_STATUS = POSTGRESQL.text("transaction_status", "Where its transaction stood behind the round's "
                                              "last request: idle, transaction or failed.", max=16,
                                              source="PostgreSQL, Message Formats: ReadyForQuery")
cdef int COPY = POSTGRESQL.text("copy", "Data was copied: in, out or both.", max=4,
                                source="PostgreSQL, Message Formats: CopyInResponse, CopyOutResponse, CopyBothResponse")
cdef int NOTIFICATIONS = POSTGRESQL.count("notifications", "Notifications that came with the answer.",
                                          source="PostgreSQL, Message Formats: NotificationResponse")
cdef int OPTIONS = POSTGRESQL.text("options", "Options of the start-up message.",
                                   source="PostgreSQL, Message Formats: StartupMessage")
cdef int REPLICATION = POSTGRESQL.text("replication", "Replication mode of the start-up message.", max=16,
                                       source="PostgreSQL, Message Formats: StartupMessage")
cdef int PROTOCOL_VERSION = POSTGRESQL.text("protocol_version", "Version of the start-up message, such as 3.0.", max=8,
                                            source="PostgreSQL, Message Formats: StartupMessage")
cdef int PARTIAL = POSTGRESQL.bool("partial", "The connection began before the capture, or a part of it is lost: names "
                                   "may be unknown.", source="packets")
cdef int UNMASKED_ARG = POSTGRESQL.text("unmasked_arg", "The SQL as sent, where frontend_arg masks a password.",
                                        max=8192, secret=True,
                                        source="PostgreSQL, Message Formats: Query, Parse, CancelRequest")

cdef NameTable types = NameTable(TYPES, "oid-")

cdef enum:
    MOST_PENDING = 256             # requests without an answer
    LONGEST_VALUE = 256
    NULL_VALUE = 0xffffffff

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
            put_text(&d.record, FRONTEND_ARG, span(text + n, 10 - n))
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
        put_word(&d.record, BACKEND, b"ssl_reply" if ssl else b"gssenc_reply", 9 if ssl else 12)
        keep_text(d, BACKEND_ARG, take(c, 1))
        put_number(&d.record, SUCCESS, answer == c'S' or answer == c'G')
        self.write(conn, self.take_first())
        if answer == c'S':
            hand_over(conn, find_protocol(b"ssl"))
        return Verdict.DONE if answer == c'G' else Verdict.MORE

    # ---- messages of the client ------------------------------------------------------------------------------------

    cdef bint frontend(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        cdef uint8_t kind = peek(c, 0)
        cdef uint32_t size = 0
        cdef Cursor m
        if kind == COPY_DATA or kind == COPY_DONE or kind == COPY_FAIL:
            if not pass_message(conn, is_orig, c, &size, verdict):
                return False
            add_bytes(self.queue.first, REQUEST_BYTES, size)
            return True
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
                put_number(&d.record, ROWS, 0)
                put_number(&d.record, PARTIAL, True)
            return
        d = self.ask_sql(conn, EXECUTE, "execute", 7, sql_of(s), shape_of(s))
        if d == NULL:
            return
        if s.name_size:
            keep_text(d, STATEMENT, span(s.bytes, s.name_size))
        if name.n:
            keep_text(d, PORTAL, name)
        put_number(&d.record, PARAMETERS, portal.parameters)
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
        if kind == DATA_ROW or kind == COPY_DATA:      # most of the bytes: counted by their heads
            if not pass_message(conn, is_orig, c, &size, verdict):
                return False
            add_bytes(self.queue.first, RESPONSE_BYTES, size)
            if kind == DATA_ROW:
                add_bytes(self.queue.first, ROWS, 1)
            return True
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
                    same(get_text(&self.who.record, APPLICATION_NAME), value)):
                self.rename(value)
        elif kind == PARAMETER_DESCRIPTION:
            s = self.prepared.take_types(m)
            if s != NULL and asked != NULL and same(get_text(&asked.record, STATEMENT), name_of(s)):
                unset(&asked.record, PARAMETER_TYPES)
                keep_types(asked, s)
        elif asked == NULL:
            return
        elif kind == NOTICE:
            keep_fields(asked, m, False, policy(conn) & SQL_SHAPES != 0)
        elif kind == NOTIFICATION:
            add_bytes(asked, NOTIFICATIONS, 1)
        elif kind == COPY_IN:
            put_word(&asked.record, COPY, b"in", 2)
        elif kind == COPY_OUT:
            put_word(&asked.record, COPY, b"out", 3)
        elif kind == COPY_BOTH:
            put_word(&asked.record, COPY, b"both", 4)

    cdef void rename(self, Span application) noexcept nogil:
        """Another application has the session: in a new draft, since one only grows."""
        cdef Draft* who = new_draft(POSTGRESQL)
        if who == NULL:
            return
        keep_text(who, USER, get_text(&self.who.record, USER))
        keep_text(who, DATABASE, get_text(&self.who.record, DATABASE))
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
            put_word(&d.record, BACKEND, b"auth_ok", 7)    # it may still fail: no such database, too many clients
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
            put_number(&self.queue.first.record, SUCCESS, True)
            self.settle(conn, self.take_first())

    cdef void settle(self, Conn* conn, Draft* d) noexcept nogil:
        """A request has its answer.  It waits for the round's end if it is the last, which tells the status."""
        put_number(&d.record, DURATION, conn.ts - d.record.ts if conn.ts > d.record.ts else 0)
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
        put_number(&d.record, SUCCESS, False)
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
            put_word(&d.record, BACKEND, b"aborted", 7)
            put_number(&d.record, SUCCESS, False)
            self.settle(conn, self.take_first())
            d = self.queue.first

    cdef Draft* failed_parse(self, Conn* conn) noexcept nogil:
        """An error that no request waits for: that of a Parse, or one that the server sends on its own."""
        cdef Draft* d = new_draft(POSTGRESQL)
        if d == NULL:
            return NULL
        d.record.ts, d.mark = conn.ts, FUNCTION_CALL
        if self.prepared.parsed != NULL:
            put_word(&d.record, FRONTEND, b"parse", 5)
            self.keep_sql(conn, d, sql_of(self.prepared.parsed), shape_of(self.prepared.parsed))
        return d

    cdef void ready(self, Conn* conn, uint8_t status) noexcept nogil:
        """A round is over: what of it has no answer yet has it now."""
        cdef Draft* d = self.queue.first
        while d != NULL and d.round <= self.answered_round and d.mark != ENCRYPTION:
            if not is_set(&d.record, SUCCESS):
                put_number(&d.record, SUCCESS, status == c'I' or status == c'T')
            self.settle(conn, self.take_first())
            d = self.queue.first
        if self.done != NULL:
            if status == c'I':
                put_word(&self.done.record, TRANSACTION_STATUS, b"idle", 4)
            elif status == c'T':
                put_word(&self.done.record, TRANSACTION_STATUS, b"transaction", 11)
            elif status == c'E':
                put_word(&self.done.record, TRANSACTION_STATUS, b"failed", 6)
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
        put_word(&d.record, FRONTEND, name, n)
        if self.asked_bytes:
            put_number(&d.record, REQUEST_BYTES, self.asked_bytes)
            self.asked_bytes = 0
        queue_draft(&self.queue, d)
        return d

    cdef Draft* ask_sql(self, Conn* conn, Asked what, const char* name, uint32_t n, Span sql,
                        Span shape) noexcept nogil:
        cdef Draft* d = self.ask(conn, what, name, n)
        if d != NULL:
            self.keep_sql(conn, d, sql, shape)
            put_number(&d.record, ROWS, 0)
        return d

    cdef void keep_sql(self, Conn* conn, Draft* d, Span sql, Span shape) noexcept nogil:
        """The statement, its passwords masked, and its shape; the shape alone where no literal may leave the sensor."""
        cdef uint8_t* text
        if shape.p == NULL:
            text = keep_bytes(d, sql.n)
            if text == NULL:
                return
            shape = span(text, fingerprint_sql(sql, text))
            put_text(&d.record, SQL_FINGERPRINT, shape)
        else:
            keep_text(d, SQL_FINGERPRINT, shape)
        if policy(conn) & SQL_SHAPES:
            if not is_set(&d.record, SQL_FINGERPRINT):
                return             # memory is out
            d.record.slots[FRONTEND_ARG] = d.record.slots[SQL_FINGERPRINT]
            d.record.present |= <uint64_t>1 << FRONTEND_ARG
        else:
            keep_masked(d, FRONTEND_ARG, UNMASKED_ARG, sql)

    cdef Draft* take_first(self) noexcept nogil:
        """The oldest request, out of the queue; there must be one."""
        cdef Draft* d = self.queue.first
        unqueue_draft(&self.queue, d)
        return d

    cdef void write(self, Conn* conn, Draft* d) noexcept nogil:
        """Writes and frees a record, with user, database and application of the start-up."""
        if self.who != NULL and d.mark != ENCRYPTION:
            borrow_fields(&d.record, &self.who.record)
        if self.partial:
            put_number(&d.record, PARTIAL, True)
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


# ---- what is kept --------------------------------------------------------------------------------------------------

cdef void add_bytes(Draft* d, int field, uint64_t n) noexcept nogil:
    """Adds to a number; nothing where there is no record to add to."""
    if d != NULL:
        put_number(&d.record, field, (d.record.slots[field].number if is_set(&d.record, field) else 0) + n)


cdef void keep_types(Draft* d, const Statement* s) noexcept nogil:
    """The names of a statement's types, if any of them is known."""
    cdef uint8_t scratch[LONGEST_UNKNOWN]
    cdef uint32_t i, known = 0
    for i in range(s.type_count):
        known |= s.types[i]
    if known == 0 or is_set(&d.record, PARAMETER_TYPES):
        return
    for i in range(s.type_count):
        keep_item(d, PARAMETER_TYPES, types.find(s.types[i], scratch))


cdef void keep_values(Draft* d, Span bound) noexcept nogil:
    """Format codes, then each value with its length before it; -1 is NULL (Bind)."""
    cdef Cursor c = within(bound), formats
    cdef uint32_t codes, n, _i, size
    cdef uint16_t form = 0
    codes = u16(&c)
    formats = within(take(&c, 2 * codes))
    n = u16(&c)
    for _i in range(n):
        if left(&formats):
            form = u16(&formats)   # one code alone is that of all
        elif codes > 1:
            form = 0
        size = u32(&c)
        if c.short:
            return
        if size == NULL_VALUE:
            keep_item(d, PARAMETER_VALUES, span(<const uint8_t*>b"NULL", 4))
        elif form == 0:
            keep_item(d, PARAMETER_VALUES, part(span(c.p, left(&c)), 0, min(size, <uint32_t>LONGEST_VALUE)))
        else:
            keep_hex(d, part(span(c.p, left(&c)), 0, min(size, <uint32_t>LONGEST_VALUE)))
        if size != NULL_VALUE:
            if size > LONGEST_VALUE:
                d.record.cut |= <uint64_t>1 << PARAMETER_VALUES
            take(&c, size)
        if c.short:
            return


cdef void keep_hex(Draft* d, Span s) noexcept nogil:
    """``0x`` and hex digits."""
    cdef uint8_t text[2 * LONGEST_VALUE + 2]
    text[0], text[1] = c'0', c'x'
    put_hex(text + 2, s.p, s.n)
    keep_item(d, PARAMETER_VALUES, span(text, 2 * s.n + 2))


cdef void keep_fields(Draft* d, Cursor* m, bint error, bint shapes_only) noexcept nogil:
    """``Name=value`` for each field, with commas between, into backend_arg; the chief ones of an error apart.

    ``shapes_only``: without those that may quote a value.
    """
    cdef uint8_t code = u8(m)
    cdef Span value
    cdef const char* name
    cdef uint32_t n
    while code and not m.short:
        value = text_of(m)
        if error and code == c'C':
            keep_text(d, SQLSTATE, value)
        elif error and code == c'V':
            keep_text(d, SEVERITY, value)
        elif error and code == c'M' and not shapes_only:
            keep_text(d, ERROR_MESSAGE, value)
        name = field_name(code)
        if name != NULL and not (shapes_only and code in (c'M', c'D', c'H', c'W', c'q')):
            n = 0
            while name[n]:
                n += 1
            keep_more(d, BACKEND_ARG, span(<const uint8_t*>name, n), b",")
            keep_more(d, BACKEND_ARG, value, b"=")
        code = u8(m)


register(PostgresqlParser, name="postgresql", schema=POSTGRESQL, transport="tcp", ports=(5432,), idle_seconds=86400)
