"""Protocols that are recognised and not read: a name for each, by the first bytes that real hosts send."""

import struct

import pytest

from tests.builders import START, Turns, connection, ethernet, ip, udp
from tests.conftest import run
from tests.parsers.test_fingerprints import client_hello, record

GREETING = struct.pack("<I", 74)[:3] + b"\0\x0a8.0.36\0" + bytes(66)
SEARCH = bytes.fromhex("300c020101600702010304008000")
AS_REQ = bytes.fromhex("6a81a130819ea103020105a20302010a") + bytes(148)
SNMP = bytes.fromhex("302602010104067075626c6963a019") + bytes(25)
MONGO = struct.pack("<IIII", 26, 7, 0, 2013) + bytes(10)
KAFKA = struct.pack(">IHHIH", 18, 18, 3, 1, 8) + b"producer"


@pytest.mark.parametrize(
    "service, turns",
    [
        ("smtp", [(False, b"220 mx.test ESMTP Postfix\r\n"), (True, b"EHLO a\r\n")]),
        ("smtp", [(True, b"EHLO a\r\n")]),
        ("ftp", [(False, b"220 (vsFTPd 3.0.3)\r\n"), (True, b"USER ana\r\n")]),
        ("imap", [(False, b"* OK [CAPABILITY IMAP4rev1] ready\r\n"), (True, b"a LOGIN\r\n")]),
        ("pop3", [(False, b"+OK ready <1@test>\r\n"), (True, b"CAPA\r\n")]),
        ("ldap", [(True, SEARCH)]),
        ("smb", [(True, b"\0\0\0\x54\xfeSMB" + bytes(80))]),
        ("rdp", [(True, bytes.fromhex("0300001302e00000000000010008000b000000"))]),
        ("mysql", [(False, GREETING)]),
        ("redis", [(True, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")]),
        ("mongodb", [(True, MONGO)]),
        ("kafka", [(True, KAFKA)]),
        ("kerberos", [(True, struct.pack(">I", len(AS_REQ)) + AS_REQ)]),
    ],
)
@pytest.mark.parametrize("most", [1, 1400])
def test_a_stream_is_named_on_any_port(service: str, turns: Turns, most: int) -> None:
    got = run(connection(turns, dport=443, most=most).frames())
    assert got.one("conn")["service"] == service
    assert [r["_path"] for r in got.lines] == ["conn"]


@pytest.mark.parametrize(
    "service, payload, port",
    [
        ("kerberos", AS_REQ, 88),
        ("snmp", SNMP, 4000),
        ("ldap", SEARCH, 389),
        ("ntp", b"\x23" + bytes(47), 123),
        (None, b"\x23" + bytes(47), 4000),
    ],
)
def test_a_datagram_is_named(service: str | None, payload: bytes, port: int) -> None:
    frame = ethernet(ip("10.1.0.1", "10.2.0.2", 17, udp(40000, port, payload)))
    assert run([(START, frame)]).one("conn").get("service") == service


@pytest.mark.parametrize(
    "before",
    [
        [(False, b"220 mx.test ESMTP\r\n"), (True, b"STARTTLS\r\n"), (False, b"220 go on\r\n")],
        [(False, b"* OK IMAP4rev1\r\n"), (True, b"a STARTTLS\r\n"), (False, b"a OK\r\n")],
        [(False, b"+OK ready\r\n"), (True, b"STLS\r\n"), (False, b"+OK\r\n")],
        [(False, GREETING), (True, struct.pack("<I", 32)[:3] + b"\1" + bytes(32))],
    ],
)
def test_tls_that_begins_later_is_read(before: Turns) -> None:
    got = run(connection([*before, (True, record(client_hello()))], dport=4000).frames())
    assert got.one("ssl")["ssl_history"] == "C"
    assert "ssl" in got.one("conn")["service"].split(",")
