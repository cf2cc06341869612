"""The postgresql record, and how what messages say is kept in it."""
from libc.stdint cimport uint64_t

from cext.cursor cimport Cursor
from cext.record cimport Draft, Schema, is_set, put_number
from cext.types cimport Span
from parsers.shared.pg_prepared cimport Statement

cdef Schema POSTGRESQL
cdef int USER, DATABASE, APPLICATION_NAME, FRONTEND, FRONTEND_ARG, BACKEND, BACKEND_ARG, SUCCESS, ROWS
cdef int STATEMENT, PORTAL, COMMAND_TAG, SEVERITY, SQLSTATE, ERROR_MESSAGE, SQL_FINGERPRINT, PARAMETERS
cdef int PARAMETER_TYPES, PARAMETER_VALUES, DURATION, REQUEST_BYTES, RESPONSE_BYTES, TRANSACTION_STATUS
cdef int COPY, NOTIFICATIONS, OPTIONS, REPLICATION, PROTOCOL_VERSION, PARTIAL, UNMASKED_ARG


cdef void keep_sql(Draft* d, Span sql, Span shape, bint shapes_only) noexcept nogil
cdef void keep_types(Draft* d, const Statement* s) noexcept nogil
cdef void keep_values(Draft* d, Span bound) noexcept nogil
cdef void keep_fields(Draft* d, Cursor* m, bint error, bint shapes_only) noexcept nogil


cdef inline void add_bytes(Draft* d, int field, uint64_t n) noexcept nogil:
    """Adds to a number; nothing where there is no record to add to."""
    if d != NULL:
        put_number(d.record, field, (d.record.slots[field].number if is_set(d.record, field) else 0) + n)
