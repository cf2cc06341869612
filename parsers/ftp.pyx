"""FTP, the control connection (RFC 959): recognised, and watched for what leads to TLS.

Two ways lead there: a client hello behind AUTH TLS (RFC 4217, 4), and handshakes inside of the tokens of AUTH GSSAPI
(RFC 2228, 3), as GridFTP sends them.  Commands and replies are not logged.

    LINES ─┬─ a hello begins a segment ──▶ ssl
           ├─ ADAT token ── unwrapped, until nobody wants more
           └─ WATCHED_LINES ──▶ done
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cext.cursor cimport Cursor, behind, equals_nocase, left, line, part
from cext.parser cimport Conn, Match, Parser, Verdict, ask, find_protocol, hand_over, unwrap
from cext.types cimport Span, span
from parsers.shared.greetings cimport greeting, is_client_hello

from cext.parser import register

cdef enum:
    WATCHED_LINES = 256
    TOKEN_ROOM = 24576             # what 32,768 characters of Base64 decode to


cdef class FtpParser(Parser):
    """File transfer, the control connection (RFC 959)."""

    cdef uint32_t lines
    cdef bint torn                 # a token could not be read, or was not wanted: and so none behind it

    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil:
        return greeting(c, b"220", 3, b"ftp", 3)

    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil:
        cdef Span said
        if self.lines and is_client_hello(c):
            hand_over(conn, find_protocol(b"ssl"))
            return Verdict.MORE
        while left(c) and self.lines < WATCHED_LINES:
            said = line(c)
            if c.short:
                return Verdict.MORE
            self.lines += 1
            self.look_for_token(conn, is_orig, said)
        return Verdict.MORE if self.lines < WATCHED_LINES else Verdict.DONE

    cdef void look_for_token(self, Conn* conn, bint is_orig, Span said) noexcept nogil:
        """``ADAT token`` of the client, ``335 ADAT=token`` and ``235 ADAT=token`` of the server (RFC 2228, 3)."""
        if is_orig and equals_nocase(part(said, 0, 5), b"adat ", 5):
            self.token(conn, is_orig, behind(said, 5))
        elif not is_orig and equals_nocase(part(said, 1, 8), b"35 adat=", 8):
            self.token(conn, is_orig, behind(said, 9))

    cdef void token(self, Conn* conn, bint is_orig, Span text) noexcept nogil:
        cdef uint8_t plain[TOKEN_ROOM]
        cdef uint32_t n
        if self.torn:
            return
        n = ask(conn, b"base64_decoded", text, plain, TOKEN_ROOM)
        self.torn = n == 0 or not unwrap(conn, is_orig, span(plain, n))

    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
        """Which tokens were lost is not known: what is inside ends here."""
        self.torn = True
        return Verdict.MORE


register(FtpParser, name="ftp", schema=None, ports=(21,))
