"""The postgresql record, and how what messages say is kept in it."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from cext.cursor cimport left, part, span, take, u8, u16, u32, within
from cext.record cimport is_set, keep_bytes, keep_item, keep_more, keep_text, put_text
from cext.text cimport put_hex
from parsers.shared.names cimport LONGEST_UNKNOWN, NameTable
from parsers.shared.pg_messages cimport field_name, text_of
from parsers.shared.sql cimport fingerprint_sql, keep_masked

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

POSTGRESQL_SCHEMA = POSTGRESQL

cdef NameTable types = NameTable(TYPES, "oid-")

cdef enum:
    LONGEST_VALUE = 256
    NULL_VALUE = 0xffffffff


cdef void keep_sql(Draft* d, Span sql, Span shape, bint shapes_only) noexcept nogil:
    """The statement, its passwords masked, and its shape; the shape alone where no literal may leave the sensor."""
    cdef uint8_t* text
    if shape.p == NULL:
        text = keep_bytes(d, sql.n)
        if text == NULL:
            return
        shape = span(text, fingerprint_sql(sql, text))
        put_text(d.record, SQL_FINGERPRINT, shape)
    else:
        keep_text(d, SQL_FINGERPRINT, shape)
    if shapes_only:
        if not is_set(d.record, SQL_FINGERPRINT):
            return             # memory is out
        d.record.slots[FRONTEND_ARG] = d.record.slots[SQL_FINGERPRINT]
        d.record.present |= <uint64_t>1 << FRONTEND_ARG
    else:
        keep_masked(d, FRONTEND_ARG, UNMASKED_ARG, sql)


cdef void keep_types(Draft* d, const Statement* s) noexcept nogil:
    """The names of a statement's types, if any of them is known."""
    cdef uint8_t scratch[LONGEST_UNKNOWN]
    cdef uint32_t i, known = 0
    for i in range(s.type_count):
        known |= s.types[i]
    if known == 0 or is_set(d.record, PARAMETER_TYPES):
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
