"""PostgreSQL: who logs in, what is asked, how it went (frontend/backend protocol 3.0, manual chapter "Message Flow").

One record a round: encryption request, start-up, simple query, each Execute of the extended protocol with the SQL of
its statement, cancel request, termination.  Rows are counted, not read.  Passwords, SASL payloads, salts and cancel
keys are passed over; a PASSWORD literal inside of SQL is masked.  Left out on purpose: values of rows and parameters.

    frontend   STARTUP ──▶ MESSAGES            backend   ANSWER (one byte, to an encryption request) ──▶ MESSAGES
    rounds     each ends in ReadyForQuery; an Error aborts what is left of its round
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cext.cursor cimport (Cursor, Span, byte_at, equals, equals_nocase, left, part, pass_over, peek, span, take,
                          take_rest, u8, u32, until, within)
from cext.parser cimport (ANYBODY, Conn, Match, Parser, Reason, Verdict, emit_draft, find_protocol, hand_over, need,
                          skip, weird)
from cext.record cimport (Draft, Schema, borrow_fields, free_draft, is_set, keep_bytes, keep_more, keep_text, new_draft,
                          put_number, put_text, put_word)

from cext.parser import register

cdef Schema POSTGRESQL = Schema("postgresql", "PostgreSQL logins, statements and their results.")
cdef int USER = POSTGRESQL.text("user", "User of the start-up message.", max=256)
cdef int DATABASE = POSTGRESQL.text("database", "Database of the start-up message.", max=256)
cdef int APPLICATION_NAME = POSTGRESQL.text("application_name", "Application of the start-up message.", max=256)
cdef int FRONTEND = POSTGRESQL.text("frontend", "What the client asked: ssl_request, gssenc_request, startup, "
                                    "simple_query, execute, parse (one that failed), function_call, cancel_request, "
                                    "terminate.")
cdef int FRONTEND_ARG = POSTGRESQL.text("frontend_arg", "The SQL, passwords in it masked; the process of a cancel "
                                        "request.", max=8192)
cdef int BACKEND = POSTGRESQL.text("backend", "What the server answered, where that is more than rows.")
cdef int BACKEND_ARG = POSTGRESQL.text("backend_arg", "Its arguments: authentication methods, or the fields of an "
                                       "error or notice.", max=4096)
cdef int SUCCESS = POSTGRESQL.bool("success", "The request succeeded.")
cdef int ROWS = POSTGRESQL.count("rows", "Rows that came back.")
cdef int STATEMENT = POSTGRESQL.text("statement", "Name of the prepared statement that was executed.", max=128)
cdef int COMMAND_TAG = POSTGRESQL.text("command_tag", "Command tag of the result, such as UPDATE 3.", max=128)
cdef int SQLSTATE = POSTGRESQL.text("sqlstate", "SQLSTATE code of the error.", max=8)
cdef int UNMASKED_ARG = POSTGRESQL.text("unmasked_arg", "The SQL as sent, where frontend_arg masks a password.",
                                        max=8192, secret=True)

cdef enum:
    HEADER = 5                     # type and length of a message
    PREFIX = 16384                 # of a message is read; the rest is passed over
    LONGEST_MESSAGE = 1 << 30      # the server's own limit, PQ_LARGE_MESSAGE_LIMIT
    LONGEST_STARTUP = 10000        # MAX_STARTUP_PACKET_LENGTH
    MOST_PENDING = 256             # requests without an answer
    MOST_STATEMENTS = 256          # prepared statements remembered for a connection
    MOST_PORTALS = 32
    LONGEST_NAME = 64              # NAMEDATALEN

cdef enum StartupCode:             # manual, "Message Formats"
    PROTOCOL_3 = 3                 # upper half of StartupMessage's version
    CODE_CANCEL = 80877102
    CODE_SSL = 80877103
    CODE_GSSENC = 80877104

cdef enum Asked:                   # Draft.mark: what the record is about
    STARTUP, SIMPLE_QUERY, EXECUTE, FUNCTION_CALL, ENCRYPTION

cdef enum Frontend:                # message types of the client
    BIND = 0x42                    # B
    CLOSE = 0x43                   # C
    DESCRIBE = 0x44                # D
    EXECUTE_MESSAGE = 0x45         # E
    CALL = 0x46                    # F
    FLUSH = 0x48                   # H
    PARSE = 0x50                   # P
    QUERY = 0x51                   # Q
    SYNC = 0x53                    # S
    TERMINATE = 0x58               # X
    PASSWORD = 0x70                # p
    COPY_DATA = 0x64               # d
    COPY_DONE = 0x63               # c
    COPY_FAIL = 0x66               # f

cdef enum Backend:                 # message types of the server
    AUTHENTICATION = 0x52          # R
    COMMAND_COMPLETE = 0x43        # C
    DATA_ROW = 0x44                # D
    EMPTY_QUERY = 0x49             # I
    ERROR = 0x45                   # E
    NOTICE = 0x4e                  # N
    PORTAL_SUSPENDED = 0x73        # s
    READY_FOR_QUERY = 0x5a         # Z


cdef struct Statement:             # SQL that was parsed under a name, or that a portal runs
    Statement* after
    uint32_t users                 # portals and lists that point here
    uint32_t name_size
    uint32_t sql_size
    uint8_t bytes[1]               # the name, then the SQL


cdef struct Portal:
    Statement* runs
    uint8_t name[LONGEST_NAME]
    uint32_t name_size


cdef class PostgresqlParser(Parser):
    """PostgreSQL frontend/backend protocol, version 3."""

    cdef Draft* first              # the oldest request without an answer
    cdef Draft* last
    cdef uint32_t pending
    cdef uint32_t asked_round      # rounds that the client has finished
    cdef uint32_t answered_round   # rounds that the server has finished
    cdef Draft* who                # user, database and application, as texts of a record that is never written
    cdef Statement* statements     # newest first
    cdef uint32_t statement_count
    cdef Statement* parsed         # the last Parse of this round, for its error
    cdef Portal* portals
    cdef bint client_is_resp
    cdef bint known                # which side is the client
    cdef bint started              # start-up is behind us, or was before the capture
    cdef bint lost[2]              # by is_orig: framing is to be found again after a gap
    cdef bint waits_for_byte       # the server answers an encryption request with one byte

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
            self.read_parameters(&m)
            if self.ask(conn, STARTUP, "startup", 7) != NULL:
                self.asked_round += 1
        else:
            verdict[0] = Verdict.REJECT
        return True

    cdef void read_parameters(self, Cursor* m) noexcept nogil:
        """Names and values, each ended by a zero byte (StartupMessage)."""
        cdef Span name, value
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
        self.write_first(conn)

    cdef Verdict one_byte(self, Conn* conn, Cursor* c) noexcept nogil:
        """The answer to an encryption request: S or G, and the flow is another's; N, and it goes on in clear."""
        cdef uint8_t answer = peek(c, 0)
        cdef Draft* d = self.first
        cdef bint ssl
        self.waits_for_byte = False
        if d == NULL:
            return Verdict.MORE
        ssl = d.record.slots[FRONTEND].number == 11
        put_word(&d.record, BACKEND, b"ssl_reply" if ssl else b"gssenc_reply", 9 if ssl else 12)
        keep_text(d, BACKEND_ARG, take(c, 1))
        put_number(&d.record, SUCCESS, answer == c'S' or answer == c'G')
        self.write_first(conn)
        if answer == c'S':
            hand_over(conn, find_protocol(b"ssl"))
        return Verdict.DONE if answer == c'G' else Verdict.MORE

    # ---- messages of the client ------------------------------------------------------------------------------------

    cdef bint frontend(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        cdef uint8_t kind = peek(c, 0)
        cdef Cursor m
        if not take_message(conn, is_orig, c, &m, verdict):
            return False
        if verdict[0] != Verdict.MORE:
            return True
        if kind == QUERY:
            self.ask_sql(conn, SIMPLE_QUERY, "simple_query", 12, text_of(&m))
            self.asked_round += 1
        elif kind == PARSE:
            self.parse(&m)
        elif kind == BIND:
            self.bind(&m)
        elif kind == EXECUTE_MESSAGE:
            self.execute(conn, &m)
        elif kind == CLOSE:
            self.forget(&m)
        elif kind == SYNC:
            self.asked_round += 1
        elif kind == CALL:
            self.ask(conn, FUNCTION_CALL, "function_call", 13)
            self.asked_round += 1
        elif kind == TERMINATE:
            self.terminate(conn)
        elif not is_frontend(kind):
            verdict[0] = self.lost_framing(conn)
        return True

    cdef void parse(self, Cursor* m) noexcept nogil:
        """Remembers the SQL of a statement (Parse)."""
        cdef Span name = until(m, 0), sql = text_of(m)
        cdef Statement* s
        name, sql = part(name, 0, LONGEST_NAME), part(sql, 0, POSTGRESQL.layout.fields[FRONTEND_ARG].max)
        s = <Statement*>malloc(sizeof(Statement) + name.n + sql.n)
        if s == NULL:
            return
        s.name_size, s.sql_size, s.users = name.n, sql.n, 2
        memcpy(s.bytes, name.p, name.n)
        memcpy(s.bytes + name.n, sql.p, sql.n)
        self.drop_statement(name)
        s.after = self.statements
        self.statements = s
        self.statement_count += 1
        if self.statement_count > MOST_STATEMENTS:
            self.drop_oldest()
        release(self.parsed)
        self.parsed = s

    cdef Statement* find_statement(self, Span name) noexcept nogil:
        cdef Statement* s = self.statements
        while s != NULL and not same(span(s.bytes, s.name_size), name):
            s = s.after
        return s

    cdef void drop_statement(self, Span name) noexcept nogil:
        cdef Statement** link = &self.statements
        cdef Statement* s
        while link[0] != NULL:
            s = link[0]
            if same(span(s.bytes, s.name_size), name):
                link[0] = s.after
                self.statement_count -= 1
                release(s)
                return
            link = &s.after

    cdef void drop_oldest(self) noexcept nogil:
        cdef Statement** link = &self.statements
        while link[0] != NULL and link[0].after != NULL:
            link = &link[0].after
        if link[0] != NULL:
            release(link[0])
            link[0] = NULL
            self.statement_count -= 1

    cdef void bind(self, Cursor* m) noexcept nogil:
        """Makes a portal of a statement (Bind)."""
        cdef Span name = part(until(m, 0), 0, LONGEST_NAME)
        cdef Statement* s = self.find_statement(part(until(m, 0), 0, LONGEST_NAME))
        cdef Portal* portal = self.find_portal(name, True)
        if portal == NULL:
            return
        release(portal.runs)
        portal.runs = s
        if s != NULL:
            s.users += 1

    cdef Portal* find_portal(self, Span name, bint make) noexcept nogil:
        """The portal of a name; with ``make`` a new one in a free place, or in the last."""
        cdef int i
        cdef Portal* p
        if self.portals == NULL:
            self.portals = <Portal*>malloc(MOST_PORTALS * sizeof(Portal)) if make else NULL
            if self.portals == NULL:
                return NULL
            for i in range(MOST_PORTALS):
                self.portals[i].runs, self.portals[i].name_size = NULL, 0
        for i in range(MOST_PORTALS):
            p = &self.portals[i]
            if p.runs != NULL and same(span(p.name, p.name_size), name):
                return p
        for i in range(MOST_PORTALS):
            p = &self.portals[i]
            if make and (p.runs == NULL or i == MOST_PORTALS - 1):
                memcpy(p.name, name.p, name.n)
                p.name_size = name.n
                return p
        return NULL

    cdef void execute(self, Conn* conn, Cursor* m) noexcept nogil:
        """One record for each Execute, with the SQL of its portal's statement."""
        cdef Portal* portal = self.find_portal(part(until(m, 0), 0, LONGEST_NAME), False)
        cdef Statement* s = portal.runs if portal != NULL else NULL
        cdef Draft* d
        if s == NULL:              # prepared before the capture began
            d = self.ask(conn, EXECUTE, "execute", 7)
            if d != NULL:
                put_number(&d.record, ROWS, 0)
            return
        d = self.ask_sql(conn, EXECUTE, "execute", 7, span(s.bytes + s.name_size, s.sql_size))
        if d != NULL and s.name_size:
            keep_text(d, STATEMENT, span(s.bytes, s.name_size))

    cdef void forget(self, Cursor* m) noexcept nogil:
        """Close of a statement (S) or portal (P)."""
        cdef uint8_t kind = u8(m)
        cdef Span name = part(until(m, 0), 0, LONGEST_NAME)
        cdef Portal* portal
        if kind == c'S':
            self.drop_statement(name)
            return
        portal = self.find_portal(name, False)
        if portal != NULL:
            release(portal.runs)
            portal.runs = NULL

    cdef void terminate(self, Conn* conn) noexcept nogil:
        """The client says good-bye; what had no answer is written first, as Zeek does."""
        while self.pending:
            self.write_first(conn)
        if self.ask(conn, SIMPLE_QUERY, "terminate", 9) != NULL:
            self.write_first(conn)

    # ---- messages of the server ------------------------------------------------------------------------------------

    cdef bint backend(self, Conn* conn, bint is_orig, Cursor* c, Verdict* verdict) noexcept nogil:
        cdef uint8_t kind = peek(c, 0)
        cdef Cursor m
        if kind == DATA_ROW or kind == COPY_DATA:
            return self.pass_row(conn, is_orig, c, kind, verdict)
        if not take_message(conn, is_orig, c, &m, verdict):
            return False
        if verdict[0] != Verdict.MORE:
            return True
        if kind == READY_FOR_QUERY:
            self.ready(conn, u8(&m))
        elif kind == COMMAND_COMPLETE:
            self.complete(conn, text_of(&m))
        elif kind == EMPTY_QUERY or kind == PORTAL_SUSPENDED:
            self.complete(conn, span(m.p, 0))
        elif kind == ERROR:
            self.error(conn, &m)
        elif kind == NOTICE:
            if self.first != NULL:
                keep_fields(self.first, &m, False)
        elif kind == AUTHENTICATION:
            self.authentication(u32(&m))
        elif not is_backend(kind):
            verdict[0] = self.lost_framing(conn)
        return True

    cdef bint pass_row(self, Conn* conn, bint is_orig, Cursor* c, uint8_t kind, Verdict* verdict) noexcept nogil:
        """Rows are most of the bytes: counted by their heads, one after the other, without a copy."""
        cdef uint32_t size
        cdef Cursor m = c[0]
        pass_over(&m, 1)
        size = u32(&m)
        if m.short:
            return False
        if size < 4 or size > LONGEST_MESSAGE:
            verdict[0] = self.lost_framing(conn)
            return True
        if kind == DATA_ROW and self.first != NULL:
            put_number(&self.first.record, ROWS, self.first.record.slots[ROWS].number + 1
                       if is_set(&self.first.record, ROWS) else 1)
        if left(&m) >= size - 4:
            pass_over(c, 1 + size)
        else:
            skip(conn, is_orig, size - 4 - left(&m))
            take_rest(c)
        return True

    cdef void authentication(self, uint32_t method) noexcept nogil:
        """Zeek's words: auth_request for each step with its method, auth_ok in the end."""
        cdef Draft* d = self.first
        cdef const char* name = auth_name(method)
        cdef uint32_t n = 0
        if d == NULL or d.mark != STARTUP:
            return
        if method == 0:
            put_word(&d.record, BACKEND, b"auth_ok", 7)
            put_number(&d.record, SUCCESS, True)
            return
        while name[n]:
            n += 1
        keep_more(d, BACKEND, span(<const uint8_t*>b"auth_request", 12), b",")
        keep_more(d, BACKEND_ARG, span(<const uint8_t*>name, n), b",")

    cdef void complete(self, Conn* conn, Span tag) noexcept nogil:
        """A command is done: an Execute has its answer, a simple query may have more commands."""
        if self.first == NULL:
            return
        if tag.n:
            keep_text(self.first, COMMAND_TAG, tag)
        if self.first.mark == EXECUTE:
            put_number(&self.first.record, SUCCESS, True)
            self.write_first(conn)

    cdef void error(self, Conn* conn, Cursor* m) noexcept nogil:
        """An error ends its request; what is left of the round is not run."""
        cdef Draft* d = self.first
        if d == NULL or d.round != self.answered_round:
            d = self.failed_parse(conn)
            if d == NULL:
                return
        keep_more(d, BACKEND, span(<const uint8_t*>b"error", 5), b",")
        keep_fields(d, m, True)
        put_number(&d.record, SUCCESS, False)
        if d == self.first and d.mark == ENCRYPTION:
            self.write_first(conn)
            return
        if d != self.first:
            emit_draft(conn, d)
            free_draft(d)
            return
        if d.mark != EXECUTE:
            return
        self.write_first(conn)
        while self.first != NULL and self.first.round == self.answered_round and self.first.mark == EXECUTE:
            put_word(&self.first.record, BACKEND, b"aborted", 7)
            put_number(&self.first.record, SUCCESS, False)
            self.write_first(conn)

    cdef Draft* failed_parse(self, Conn* conn) noexcept nogil:
        """An error that no request waits for: that of a Parse, or one that the server sends on its own."""
        cdef Draft* d = new_draft(POSTGRESQL)
        if d == NULL:
            return NULL
        d.record.ts = conn.ts
        self.say_who(d)
        if self.parsed != NULL:
            put_word(&d.record, FRONTEND, b"parse", 5)
            keep_sql(d, span(self.parsed.bytes + self.parsed.name_size, self.parsed.sql_size))
        return d

    cdef void ready(self, Conn* conn, uint8_t status) noexcept nogil:
        """A round is over: what of it has no answer yet has it now."""
        while self.first != NULL and self.first.round <= self.answered_round and self.first.mark != ENCRYPTION:
            if not is_set(&self.first.record, SUCCESS):
                put_number(&self.first.record, SUCCESS, status == c'I' or status == c'T')
            self.write_first(conn)
        if self.answered_round < self.asked_round:
            self.answered_round += 1
        release(self.parsed)
        self.parsed = NULL

    # ---- requests --------------------------------------------------------------------------------------------------

    cdef Draft* ask(self, Conn* conn, Asked what, const char* name, uint32_t n) noexcept nogil:
        """A new request at the end of the queue, or NULL when memory is out."""
        cdef Draft* d
        if self.pending == MOST_PENDING:
            weird(conn, b"postgresql_excessive_pipelining")
            self.write_first(conn)
        d = new_draft(POSTGRESQL)
        if d == NULL:
            return NULL
        d.record.ts, d.mark, d.round = conn.ts, what, self.asked_round
        put_word(&d.record, FRONTEND, name, n)
        self.pending += 1
        if self.last != NULL:
            self.last.after = d
        else:
            self.first = d
        self.last = d
        return d

    cdef Draft* ask_sql(self, Conn* conn, Asked what, const char* name, uint32_t n, Span sql) noexcept nogil:
        cdef Draft* d = self.ask(conn, what, name, n)
        if d != NULL:
            keep_sql(d, sql)
            put_number(&d.record, ROWS, 0)
        return d

    cdef void say_who(self, Draft* d) noexcept nogil:
        """User, database and application of the start-up, borrowed for the moment of writing."""
        if self.who != NULL and d.mark != ENCRYPTION:
            borrow_fields(&d.record, &self.who.record)

    cdef void write_first(self, Conn* conn) noexcept nogil:
        cdef Draft* d = self.first
        if d == NULL:
            return
        self.first = d.after
        if self.first == NULL:
            self.last = NULL
        self.pending -= 1
        self.say_who(d)
        emit_draft(conn, d)
        free_draft(d)

    # ---- loss and end ----------------------------------------------------------------------------------------------

    cdef Verdict lost_framing(self, Conn* conn) noexcept nogil:
        weird(conn, b"postgresql_bad_framing")
        return Verdict.REJECT

    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil:
        return Verdict.MORE

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """What waited for an answer is written as it is; messages are found again where one begins a segment."""
        while self.pending:
            self.write_first(conn)
        self.answered_round = self.asked_round
        if self.waits_for_byte:    # the server's one byte: what follows is in clear or not
            self.waits_for_byte = False
            hand_over(conn, ANYBODY)
        self.lost[is_orig] = True
        self.started = True
        return Verdict.MORE

    cdef void end(self, Conn* conn, Reason why) noexcept nogil:
        cdef int i
        while self.pending:
            self.write_first(conn)
        free_draft(self.who)
        release(self.parsed)
        while self.statements != NULL:
            self.drop_oldest()
        if self.portals != NULL:
            for i in range(MOST_PORTALS):
                release(self.portals[i].runs)
            free(self.portals)
        self.who, self.parsed, self.portals = NULL, NULL, NULL


# ---- messages ------------------------------------------------------------------------------------------------------

cdef bint take_message(Conn* conn, bint is_orig, Cursor* c, Cursor* m, Verdict* verdict) noexcept nogil:
    """The body of the next message, or its first PREFIX bytes.  False when they are not here yet."""
    cdef uint32_t size, wanted
    cdef Cursor head = c[0]
    pass_over(&head, 1)
    size = u32(&head)
    if head.short:
        return False
    if size < 4 or size > LONGEST_MESSAGE:
        verdict[0] = Verdict.REJECT
        return True
    wanted = size - 4 if size - 4 < PREFIX else PREFIX
    if left(&head) < wanted:
        need(conn, is_orig, HEADER + wanted)
        return False
    pass_over(c, HEADER)
    m[0] = within(take(c, wanted))
    if size - 4 > wanted:
        skip(conn, is_orig, size - 4 - wanted)
    return True


cdef Span text_of(Cursor* m) noexcept nogil:
    """Up to the next zero byte, or to the end of what is read of a message."""
    cdef Span s = until(m, 0)
    if m.short:
        m.short = False
        s = take_rest(m)
    return s


cdef inline bint same(Span a, Span b) noexcept nogil:
    return equals(a, <const char*>b.p, b.n)


cdef void release(Statement* s) noexcept nogil:
    if s == NULL:
        return
    s.users -= 1
    if s.users == 0:
        free(s)


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


cdef void keep_fields(Draft* d, Cursor* m, bint error) noexcept nogil:
    """``Name=value`` for each field, with commas between, into backend_arg; the SQLSTATE of an error apart."""
    cdef uint8_t code = u8(m)
    cdef Span value
    cdef const char* name
    cdef uint32_t n
    while code and not m.short:
        value = text_of(m)
        if error and code == c'C':
            keep_text(d, SQLSTATE, value)
        name = field_name(code)
        if name != NULL:
            n = 0
            while name[n]:
                n += 1
            keep_more(d, BACKEND_ARG, span(<const uint8_t*>name, n), b",")
            keep_more(d, BACKEND_ARG, value, b"=")
        code = u8(m)


# ---- SQL -----------------------------------------------------------------------------------------------------------

cdef void keep_sql(Draft* d, Span sql) noexcept nogil:
    """The statement, with every literal behind PASSWORD masked; as it was too, as a secret."""
    cdef uint32_t begin = 0, start = 0, end = 0
    if not find_password(sql, 0, &start, &end):
        keep_text(d, FRONTEND_ARG, sql)
        return
    keep_text(d, UNMASKED_ARG, sql)
    keep_text(d, FRONTEND_ARG, part(sql, 0, start))
    while end:
        keep_more(d, FRONTEND_ARG, span(<const uint8_t*>b"'***'", 5), b"")
        begin = end
        if not find_password(sql, begin, &start, &end):
            start, end = sql.n, 0
        keep_more(d, FRONTEND_ARG, part(sql, begin, start - begin), b"")


cdef bint find_password(Span sql, uint32_t begin, uint32_t* start, uint32_t* end) noexcept nogil:
    """The next string literal behind the word PASSWORD: its first byte and the one behind its last."""
    cdef uint32_t i = begin, at
    while i + 10 < sql.n:
        if byte_at(sql, i) | 0x20 != c'p' or not equals_nocase(part(sql, i, 8), b"password", 8):
            i += 1
            continue
        at = i + 8
        while byte_at(sql, at) in (c' ', 9, 10, 13, c'='):
            at += 1
        if byte_at(sql, at) | 0x20 == c'e' and byte_at(sql, at + 1) == c"'":
            at += 1
        if byte_at(sql, at) == c"'" or byte_at(sql, at) == c'$':
            start[0] = at
            end[0] = literal_end(sql, at)
            return True
        i += 8
    return False


cdef uint32_t literal_end(Span sql, uint32_t at) noexcept nogil:
    """Behind a quoted or dollar-quoted literal; to the end where it does not close (manual, "String Constants")."""
    cdef uint32_t tag = 1, i
    if byte_at(sql, at) == c'$':
        while at + tag < sql.n and byte_at(sql, at + tag) != c'$':
            tag += 1
        i = at + tag + 1
        while i < sql.n and not same(part(sql, i, tag + 1), part(sql, at, tag + 1)):
            i += 1
        return i + tag + 1 if i + tag + 1 < sql.n else sql.n
    i = at + 1
    while i < sql.n:
        if byte_at(sql, i) == c'\\' and i + 1 < sql.n:
            i += 1
        elif byte_at(sql, i) == c"'":
            if byte_at(sql, i + 1) != c"'":
                return i + 1
            i += 1
        i += 1
    return sql.n


register(PostgresqlParser, name="postgresql", schema=POSTGRESQL, transport="tcp", ports=(5432,), idle_seconds=86400)
