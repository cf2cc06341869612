"""What TLS, DTLS and QUIC have in common: the messages of a handshake, and the ssl record that they add up to."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from cext.cursor cimport Cursor
from cext.parser cimport Conn, Parser
from cext.record cimport Draft
from cext.types cimport Span, Time
from parsers.shared.fingerprints cimport Hello

cdef enum:
    HISTORY_ROOM = 100
    HANDSHAKE_HEADER = 4
    LONGEST_HANDSHAKE = 65536      # a certificate chain; longer messages are passed over

cdef enum HandshakeType:           # IANA, TLS HandshakeType
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    HELLO_VERIFY_REQUEST = 3
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CLIENT_KEY_EXCHANGE = 16


cdef class Handshake(Parser):
    cdef Draft* draft
    cdef Time began
    cdef uint8_t history[HISTORY_ROOM]
    cdef uint32_t history_size
    cdef uint8_t transport         # JA4's letter: t, q or d
    cdef uint16_t version          # that the server chose
    cdef uint8_t session[32]       # session id that the client offered
    cdef uint8_t session_size
    cdef bint ticket_offered       # a session ticket without a session id
    cdef bint psk_offered
    cdef bint key_exchange_seen
    cdef bint resumed
    cdef bint established
    cdef bint retry_seen
    cdef bint written

    cdef bint begin(self, Conn* conn, uint8_t transport, bint client_is_resp) noexcept nogil
    cdef bint is_13(self) noexcept nogil
    cdef Span server_name(self) noexcept nogil
    cdef Span first_alpn(self) noexcept nogil
    cdef void message(self, Conn* conn, bint client, uint8_t kind, Cursor* m) noexcept nogil
    cdef void change_cipher(self, bint client) noexcept nogil
    cdef void alert(self, bint client, Cursor* c) noexcept nogil
    cdef void note(self, bint client, char letter) noexcept nogil
    cdef void note_message(self, bint client, uint8_t kind) noexcept nogil
    cdef void log(self, Conn* conn) noexcept nogil
    cdef void finish(self, Conn* conn) noexcept nogil
    cdef void client_hello(self, Conn* conn, Cursor* m) noexcept nogil
    cdef void server_hello(self, Conn* conn, Cursor* m) noexcept nogil
    cdef void old_server_hello(self, Conn* conn, Cursor* m) noexcept nogil
    cdef void extensions(self, Cursor* m, bint client, Hello* h) noexcept nogil
    cdef void client_extension(self, uint16_t kind, Cursor* e, Hello* h) noexcept nogil
    cdef void server_extension(self, uint16_t kind, Cursor* e) noexcept nogil
    cdef void keep_alpns(self, Cursor* e, Hello* h) noexcept nogil
    cdef void server_key_exchange(self, Cursor* m) noexcept nogil
    cdef void certificates(self, Conn* conn, bint client, Cursor* m) noexcept nogil
    cdef bint certificate(self, Conn* conn, bint client, bint leaf, Span der, uint8_t* fingerprint) noexcept with gil
    cdef keep_leaf(self, bint client, object found)
