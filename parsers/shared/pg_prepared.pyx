"""PostgreSQL's prepared statements and portals, as far as a connection has told of them (manual, "Extended Query").

An Execute names a portal, a portal runs a statement, a statement has its SQL since its Parse, perhaps an hour ago.  All
is bounded; what falls out is unknown afterwards, as if it had been prepared before the capture.
"""
from libc.string cimport memcpy

from cext.cursor cimport copy_span, left, part, pass_over, same, until, u16, u32, u8
from cext.owned cimport disown, own
from parsers.shared.pg_messages cimport text_of
from parsers.shared.sql cimport fingerprint_sql


cdef class Prepared:
    """Of one connection.  All fields are zero when it is made."""

    cdef void parse(self, Cursor* m) noexcept nogil:
        """Remembers the SQL of a statement, its shape, and the types that are given (Parse)."""
        cdef Span name = part(until(m, 0), 0, LONGEST_NAME), sql = part(text_of(m), 0, LONGEST_SQL)
        cdef uint8_t shape[LONGEST_SQL]
        cdef uint32_t shape_size = fingerprint_sql(sql, shape)
        cdef Statement* s = <Statement*>own(sizeof(Statement) + name.n + sql.n + shape_size)
        if s == NULL:
            return
        s.name_size, s.sql_size, s.shape_size, s.users, s.type_count = name.n, sql.n, shape_size, 2, 0
        copy_span(s.bytes, name)
        copy_span(s.bytes + name.n, sql)
        memcpy(s.bytes + name.n + sql.n, shape, shape_size)
        read_types(s, m)
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

    cdef void bind(self, Cursor* m, bint keep_values) noexcept nogil:
        """Makes a portal of a statement, with values for its parameters (Bind)."""
        cdef Span name = part(until(m, 0), 0, LONGEST_NAME)
        cdef Statement* s = self.find_statement(part(until(m, 0), 0, LONGEST_NAME))
        cdef Portal* portal = self.find_portal(name, True)
        cdef Span values = span(m.p, left(m))
        if portal == NULL:
            return
        clear_portal(portal)
        portal.runs = s
        if s != NULL:
            s.users += 1
        pass_over(m, 2 * <uint32_t>u16(m))
        portal.parameters = u16(m)
        if m.short or not keep_values:
            return
        portal.values = <uint8_t*>own(values.n + 1)
        if portal.values != NULL:
            copy_span(portal.values, values)
            portal.values_size = values.n

    cdef void describe(self, Cursor* m) noexcept nogil:
        """Remembers whose types the server will tell next (Describe of a statement)."""
        cdef Statement* s
        if u8(m) != c'S':
            return
        s = self.find_statement(part(until(m, 0), 0, LONGEST_NAME))
        if self.described_count == MOST_DESCRIBED:
            self.next_described()
        self.described[self.described_count] = s
        self.described_count += 1
        if s != NULL:
            s.users += 1

    cdef void next_described(self) noexcept nogil:
        """The oldest of them is answered, or given up."""
        cdef uint32_t i
        if self.described_count == 0:
            return
        release(self.described[0])
        self.described_count -= 1
        for i in range(self.described_count):
            self.described[i] = self.described[i + 1]

    cdef Portal* find_portal(self, Span name, bint make) noexcept nogil:
        """The portal of a name; with ``make`` a new one in a free place, or in the last."""
        cdef int i
        cdef Portal* p
        if self.portals == NULL:
            self.portals = <Portal*>own(MOST_PORTALS * sizeof(Portal)) if make else NULL
            if self.portals == NULL:
                return NULL
            for i in range(MOST_PORTALS):
                self.portals[i].runs, self.portals[i].name_size, self.portals[i].values = NULL, 0, NULL
        for i in range(MOST_PORTALS):
            p = &self.portals[i]
            if p.runs != NULL and same(span(p.name, p.name_size), name):
                return p
        for i in range(MOST_PORTALS):
            p = &self.portals[i]
            if make and (p.runs == NULL or i == MOST_PORTALS - 1):
                copy_span(p.name, name)
                p.name_size = name.n
                return p
        return NULL

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
            clear_portal(portal)

    cdef const Statement* take_types(self, Cursor* m) noexcept nogil:
        """The types of the oldest statement that was asked for (ParameterDescription); NULL when it is unknown.

        Borrowed until the next call.
        """
        cdef Statement* s = self.described[0] if self.described_count else NULL
        if s != NULL:
            read_types(s, m)
            if s.users == 1:       # forgotten meanwhile
                s = NULL
        self.next_described()
        return s

    cdef void end_round(self, bint last) noexcept nogil:
        """The server is ready again; ``last``: nothing is under way."""
        while last and self.described_count:
            self.next_described()
        release(self.parsed)
        self.parsed = NULL

    cdef void clear(self) noexcept nogil:
        """Frees all."""
        cdef int i
        self.end_round(True)
        while self.statements != NULL:
            self.drop_oldest()
        if self.portals != NULL:
            for i in range(MOST_PORTALS):
                clear_portal(&self.portals[i])
            disown(self.portals)
        self.portals = NULL


cdef void release(Statement* s) noexcept nogil:
    if s == NULL:
        return
    s.users -= 1
    if s.users == 0:
        disown(s)


cdef void clear_portal(Portal* portal) noexcept nogil:
    release(portal.runs)
    disown(portal.values)
    portal.runs, portal.values, portal.values_size, portal.parameters = NULL, NULL, 0, 0


cdef void read_types(Statement* s, Cursor* m) noexcept nogil:
    """A number of types, then each (Parse, ParameterDescription)."""
    cdef uint32_t n = u16(m), i, oid
    if m.short:
        m.short = False
        return
    for i in range(n if n < MOST_TYPES else MOST_TYPES):
        oid = u32(m)
        if m.short:
            return
        if oid or i >= s.type_count:
            s.types[i] = oid
            s.type_count = i + 1 if i + 1 > s.type_count else s.type_count
