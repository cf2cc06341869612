"""TLS, case by case from RFC 8446 and 5246."""

import datetime
import hashlib
import struct

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.builders import Turns, connection
from tests.conftest import Record, run
from tests.test_every_parser import data


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return struct.pack(">BHH", kind, version, len(body)) + body


def handshake(kind: int, body: bytes) -> bytes:
    return struct.pack(">I", kind << 24 | len(body)) + body


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


SNI = extension(0, struct.pack(">HBH", 8, 0, 5) + b"a.tes")
ALPN = extension(16, b"\0\x0c\x02h2\x08http/1.1")


def client_hello(extensions: bytes = SNI, session: bytes = b"") -> bytes:
    return handshake(
        1,
        struct.pack(">H32sB", 0x0303, b"r" * 32, len(session))
        + session
        + b"\0\2\x13\x01"
        + b"\1\0"
        + struct.pack(">H", len(extensions))
        + extensions,
    )


def server_hello(cipher: int = 0xC02F, extensions: bytes = b"", session: bytes = b"", version: int = 0x0303) -> bytes:
    return handshake(
        2,
        struct.pack(">H32sB", version, b"s" * 32, len(session))
        + session
        + struct.pack(">HB", cipher, 0)
        + struct.pack(">H", len(extensions))
        + extensions,
    )


def ssl(*turns: tuple[bool, bytes]) -> Record:
    return run(connection(list(turns)).frames()).one("ssl")


def test_hellos_tell_name_version_cipher_and_protocol() -> None:
    got = ssl(
        (True, record(22, client_hello(SNI + ALPN))),
        (False, record(22, server_hello(extensions=extension(16, b"\0\3\2h2")))),
    )
    want = {
        "version": "TLSv12",
        "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "server_name": "a.tes",
        "next_protocol": "h2",
        "client_alpns": ["h2", "http/1.1"],
        "established": False,
        "resumed": False,
        "ssl_history": "Cs",
    }
    assert {name: got[name] for name in want} == want


def test_tls_13_is_told_by_its_extension() -> None:
    """RFC 8446, 4.2.1: the version of the header stays 1.2."""
    got = ssl(
        (True, record(22, client_hello())),
        (False, record(22, server_hello(0x1301, extension(43, b"\3\4") + extension(51, b"\0\x1d\0\4keys")))),
    )
    assert (got["version"], got["curve"], got["cipher"]) == ("TLSv13", "x25519", "TLS_AES_128_GCM_SHA256")


@pytest.mark.parametrize("size", [1, 3, 40])
def test_handshake_messages_span_records(size: int) -> None:
    """RFC 8446, 5.1."""

    def split(message: bytes) -> bytes:
        first = record(22, message[:6])  # enough of it to know the protocol by
        return first + b"".join(record(22, message[at : at + size]) for at in range(6, len(message), size))

    got = ssl((True, split(client_hello())), (False, split(server_hello())))
    assert (got["server_name"], got["cipher"][:9]) == ("a.tes", "TLS_ECDHE")


def test_a_message_too_long_to_read_is_passed_over() -> None:
    huge = handshake(11, bytes(200_000))
    server = server_hello() + huge + handshake(14, b"")
    records = b"".join(record(22, server[at : at + 16000]) for at in range(0, len(server), 16000))
    assert ssl((True, record(22, client_hello())), (False, records))["ssl_history"] == "Csxn"


def test_a_resumed_session_is_told_by_its_id() -> None:
    """RFC 5246, 7.3."""
    ccs, finished = record(20, b"\1"), record(22, b"encrypted finished")
    got = ssl(
        (True, record(22, client_hello(session=b"i" * 32))),
        (False, record(22, server_hello(session=b"i" * 32)) + ccs + finished),
        (True, ccs + finished),
    )
    assert (got["resumed"], got["established"], got["ssl_history"]) == (True, True, "CsiI")


@pytest.mark.parametrize(("code", "name"), [(40, "handshake_failure"), (70, "protocol_version"), (199, "unknown-199")])
def test_alerts_have_names(code: int, name: str) -> None:
    got = ssl((True, record(22, client_hello())), (False, record(21, bytes([2, code]))))
    assert (got["last_alert"], got["ssl_history"]) == (name, "Cl")


def test_unknown_numbers_are_told_as_numbers() -> None:
    assert (
        ssl((True, record(22, client_hello())), (False, record(22, server_hello(0xFAFA))))["cipher"] == "unknown-64250"
    )


def test_a_broken_record_ends_the_parsing_with_what_is_known() -> None:
    got = run(connection([(True, record(22, client_hello())), (False, b"\x99garbage")]).frames())
    assert got.one("ssl")["ssl_history"] == "C"
    assert got.of("weird")[0]["name"] == "ssl_bad_record"


def test_starttls_is_found_behind_a_greeting() -> None:
    turns: Turns = [
        (False, b"220 mail.test ESMTP\r\n"),
        (True, b"EHLO a\r\n"),
        (False, b"250 STARTTLS\r\n"),
        (True, b"STARTTLS\r\n"),
        (False, b"220 go\r\n"),
        *data("ssl")[0],
    ]
    got = run(connection(turns, dport=25).frames())
    assert got.one("ssl")["established"] is True
    assert got.one("conn")["service"] == "smtp,ssl"


def old_message(kind: int, body: bytes) -> bytes:
    """One of SSL 2: its length in two bytes, of which the upper bit says that there is no padding."""
    return struct.pack(">HB", 0x8000 | len(body) + 1, kind) + body


def old_hello(version: int, ciphers: bytes = b"\x01\x00\x80\x07\x00\xc0") -> bytes:
    return old_message(1, struct.pack(">HHHH", version, len(ciphers), 0, 16) + ciphers + b"c" * 16)


def old_server_hello(certificate: bytes, ciphers: bytes = b"\x07\x00\xc0\x01\x00\x80") -> bytes:
    body = struct.pack(">BBHHHH", 0, 1, 2, len(certificate), len(ciphers), 16) + certificate + ciphers + b"i" * 16
    return old_message(4, body)


def leaf() -> bytes:
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "old.test")]),
    )
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("most", [1, 1400])
def test_ssl_2_is_told_by_its_hellos(most: int) -> None:
    """draft-hickman-netscape-ssl-00, 2.5 and 2.6."""
    der = leaf()
    turns = [(True, old_hello(2)), (False, old_server_hello(der)), (True, old_message(2, b"\x01\x00\x80" + b"k" * 60))]
    got = run(connection(turns, dport=9999, most=most).frames())
    record = got.one("ssl")
    assert (record["version"], record["cipher"]) == ("SSLv2", "SSLv20_CK_DES_192_EDE3_CBC_WITH_MD5")
    assert record["cert_chain_fps"] == [hashlib.sha256(der).hexdigest()]
    assert (record["ssl_history"], record["established"]) == ("Cs", False)
    assert got.one("x509")["fingerprint"] == hashlib.sha256(der).hexdigest()
    assert got.one("conn")["service"] == "ssl"
    assert not got.of("weird")


def test_an_old_hello_that_offers_tls_is_answered_in_tls() -> None:
    """RFC 5246, E.2."""
    got = run(connection([(True, old_hello(0x0301)), (False, record(22, server_hello(version=0x0301)))]).frames())
    assert (got.one("ssl")["version"], got.one("ssl")["ssl_history"]) == ("TLSv10", "Cs")


@pytest.mark.parametrize(
    "said",
    [
        old_hello(2)[:-1],  # shorter than it says
        old_hello(5),
        old_hello(2, b"\x01\x00"),
        old_message(1, b"\0\2\0\3\0\0\0\x10" + b"\x01\0\x80" + b"c" * 15),
        b"\x80\x2e\x01\0\2" + b"\xff" * 60,
    ],
)
def test_junk_is_no_ssl_2(said: bytes) -> None:
    got = run(connection([(True, said), (False, b"?" * 80)], dport=443).frames())
    assert got.of("ssl") == [] or "version" not in got.one("ssl")
    assert got.of("x509") == []


def test_a_server_that_refuses_ssl_2_says_nothing_more() -> None:
    got = run(connection([(True, old_hello(2)), (False, old_message(0, b"\0\1"))], dport=443).frames())
    assert got.one("ssl")["ssl_history"] == "C"
    assert "version" not in got.one("ssl")


def test_an_old_server_hello_with_lengths_too_large_is_odd() -> None:
    bad = bytearray(old_server_hello(b"x" * 30))
    bad[7:9] = b"\xff\xff"
    got = run(connection([(True, old_hello(2)), (False, bytes(bad))], dport=443).frames())
    assert got.one("weird")["name"] == "ssl_bad_server_hello"
