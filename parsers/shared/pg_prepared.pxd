"""PostgreSQL's prepared statements and portals, as far as a connection has told of them."""
from libc.stdint cimport uint8_t, uint32_t

from cext.cursor cimport Cursor
from cext.types cimport Span, span

cdef enum:
    MOST_STATEMENTS = 256          # remembered for a connection; the oldest gives way
    MOST_PORTALS = 32
    MOST_DESCRIBED = 16            # questions for a statement's types without an answer
    MOST_TYPES = 64
    LONGEST_NAME = 64              # NAMEDATALEN
    LONGEST_SQL = 8192


cdef struct Statement:             # SQL that was parsed under a name, or that a portal runs
    Statement* after
    uint32_t users                 # portals and lists that point here
    uint32_t name_size
    uint32_t sql_size
    uint32_t shape_size
    uint32_t type_count
    uint32_t types[MOST_TYPES]     # of its parameters, as object ids
    uint8_t bytes[1]               # the name, the SQL, and the SQL without its values


cdef struct Portal:
    Statement* runs
    uint8_t* values                # the Bind's parameters as sent, where they are asked for
    uint32_t values_size
    uint32_t parameters
    uint8_t name[LONGEST_NAME]
    uint32_t name_size


cdef class Prepared:
    cdef Statement* statements     # newest first
    cdef uint32_t statement_count
    cdef Statement* parsed         # the last Parse of this round, for its error
    cdef Statement* described[MOST_DESCRIBED]  # whose types were asked for, the oldest first
    cdef uint32_t described_count
    cdef Portal* portals

    cdef void parse(self, Cursor* m) noexcept nogil
    cdef void bind(self, Cursor* m, bint keep_values) noexcept nogil
    cdef void describe(self, Cursor* m) noexcept nogil
    cdef void forget(self, Cursor* m) noexcept nogil
    cdef Portal* find_portal(self, Span name, bint make) noexcept nogil
    cdef const Statement* take_types(self, Cursor* m) noexcept nogil
    cdef void end_round(self, bint last) noexcept nogil
    cdef void clear(self) noexcept nogil
    cdef Statement* find_statement(self, Span name) noexcept nogil
    cdef void drop_statement(self, Span name) noexcept nogil
    cdef void drop_oldest(self) noexcept nogil
    cdef void next_described(self) noexcept nogil


cdef inline Span name_of(const Statement* s) noexcept nogil:
    return span(s.bytes, s.name_size)


cdef inline Span sql_of(const Statement* s) noexcept nogil:
    return span(s.bytes + s.name_size, s.sql_size)


cdef inline Span shape_of(const Statement* s) noexcept nogil:
    """The SQL without its values."""
    return span(s.bytes + s.name_size + s.sql_size, s.shape_size)
