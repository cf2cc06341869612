"""FTP's ways into TLS: tokens of AUTH GSSAPI (RFC 2228), and AUTH TLS (RFC 4217)."""

from base64 import b64encode

from tests.builders import Turns, connection, ethernet
from tests.conftest import Run, run
from tests.parsers.test_tls import client_hello, handshake, record, server_hello

GREETING = (False, b"220 alpha GridFTP Server ready.\r\n")
AUTH: Turns = [GREETING, (True, b"AUTH GSSAPI\r\n"), (False, b"334 ADAT must follow.\r\n")]


def ask(token: bytes) -> tuple[bool, bytes]:
    return True, b"ADAT " + b64encode(token) + b"\r\n"


def tell(token: bytes) -> tuple[bool, bytes]:
    return False, b"335 ADAT=" + b64encode(token) + b"\r\n"


def ftp(*turns: tuple[bool, bytes], most: int = 1400) -> Run:
    return run(connection(list(turns), dport=2811, most=most).frames())


def test_a_handshake_in_tokens_is_read() -> None:
    for most in (1, 1400):
        got = ftp(*AUTH, ask(record(22, client_hello())), tell(record(22, server_hello())), most=most)
        assert (got.one("ssl")["server_name"], got.one("ssl")["ssl_history"]) == ("a.tes", "Cs")
        assert got.one("conn")["service"] == "ftp,ssl"


def test_a_message_may_stand_in_two_tokens() -> None:
    hello = record(22, client_hello())
    got = ftp(*AUTH, ask(hello[:20]), ask(hello[20:]), tell(record(22, server_hello())))
    assert got.one("ssl")["ssl_history"] == "Cs"


def test_behind_a_torn_token_nothing_is_read() -> None:
    done = record(22, handshake(14, b""))
    torn = (True, b"ADAT Fg=MB!\r\n")
    got = ftp(*AUTH, ask(record(22, client_hello())), tell(record(22, server_hello())), torn, tell(done), ask(done))
    assert got.one("ssl")["ssl_history"] == "Cs"
    assert not got.of("weird")


def test_tokens_of_other_mechanisms_say_nothing() -> None:
    kerberos = bytes.fromhex("6082010006092a864886f71201020201") + bytes(240)
    got = ftp(*AUTH, *([ask(kerberos), tell(kerberos)] * 40), (True, b"ADAT\r\n"), (False, b"335 ADAT=\r\n"))
    assert (got.of("ssl"), got.one("conn")["service"]) == ([], "ftp")


def test_behind_a_loss_nothing_is_read() -> None:
    done = tell(record(22, handshake(14, b"")))
    turns = [*AUTH, ask(record(22, client_hello())), tell(record(22, server_hello())), done, (True, b"NOOP\r\n")]
    talk = connection(turns, dport=2811)
    lost = next(i for i, (_, _, packet) in enumerate(talk.packets) if packet[40:].startswith(b"335 ADAT="))
    got = run([(time, ethernet(packet)) for i, (time, _, packet) in enumerate(talk.packets) if i != lost])
    assert got.one("ssl")["ssl_history"] == "C"


def test_auth_tls_is_handed_over() -> None:
    got = ftp(GREETING, (True, b"AUTH TLS\r\n"), (False, b"234 go\r\n"), (True, record(22, client_hello())))
    assert got.one("ssl")["server_name"] == "a.tes"
    assert got.one("conn")["service"] == "ftp,ssl"


def test_auth_tls_behind_a_failed_handshake_in_tokens_is_handed_over() -> None:
    junk = b"\xff\xff\xff garbage" * 9
    ends = [(False, b"535 failed\r\n"), (True, b"AUTH TLS\r\n"), (False, b"234 go\r\n")]
    got = ftp(*AUTH, ask(record(22, client_hello())), ask(junk), *ends, (True, record(22, client_hello())))
    assert [r["server_name"] for r in got.of("ssl")] == ["a.tes"] * 2
    assert got.one("conn")["service"] == "ftp,ssl"


def test_a_long_session_without_either_is_left() -> None:
    chat = [(i % 2 == 0, b"NOOP\r\n" if i % 2 == 0 else b"200 ok\r\n") for i in range(600)]
    got = ftp(GREETING, *chat, (True, record(22, client_hello())))
    assert got.of("ssl") == []
