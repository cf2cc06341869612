"""PostgreSQL's messages as such: their frame, their kinds, and the names of what is in them."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport Cursor
from cext.parser cimport Conn, Match, Verdict
from cext.types cimport Span

cdef enum:
    HEADER = 5                     # type and length of a message
    PREFIX = 16384                 # of a message is read; the rest is passed over
    LONGEST_MESSAGE = 1 << 30      # the server's own limit, PQ_LARGE_MESSAGE_LIMIT
    LONGEST_STARTUP = 10000        # MAX_STARTUP_PACKET_LENGTH
    NEAR_ROW = 5                   # rows ahead that are fetched: some 500 and 1,600 bytes of usual ones
    FAR_ROW = 16

cdef enum StartupCode:             # manual, "Message Formats"
    PROTOCOL_3 = 3                 # upper half of StartupMessage's version
    CODE_CANCEL = 80877102
    CODE_SSL = 80877103
    CODE_GSSENC = 80877104

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
    NOTIFICATION = 0x41            # A
    PARAMETER_STATUS = 0x53        # S
    PARAMETER_DESCRIPTION = 0x74   # t
    PORTAL_SUSPENDED = 0x73        # s
    READY_FOR_QUERY = 0x5a         # Z
    COPY_IN = 0x47                 # G
    COPY_OUT = 0x48                # H
    COPY_BOTH = 0x57               # W


cdef bint take_message(Conn* conn, bint is_orig, Cursor* c, Cursor* m, uint32_t* size, Verdict* verdict) noexcept nogil
cdef uint32_t pass_run(Conn* conn, bint is_orig, Cursor* c, uint64_t* size, Verdict* verdict) noexcept nogil
cdef Span text_of(Cursor* m) noexcept nogil
cdef bint is_frontend(uint8_t kind) noexcept nogil
cdef bint is_backend(uint8_t kind) noexcept nogil
cdef Match is_startup(Cursor c) noexcept nogil
cdef bint is_midstream(Cursor c, bint client) noexcept nogil
cdef const char* auth_name(uint32_t method) noexcept nogil
cdef const char* field_name(uint8_t code) noexcept nogil
