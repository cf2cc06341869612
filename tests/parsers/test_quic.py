"""QUIC, case by case: RFC 9000, RFC 9001 (its appendix A), RFC 9369 (its appendix A)."""

import struct

import pytest

from parsers.shared.quic_keys import keys, open_initial
from tests.builders import START, Turns, ethernet, ip, udp
from tests.conftest import Run, run
from tests.parsers.test_fingerprints import client_hello, server_name

DCID = bytes.fromhex("8394c8f03e515708")
SERVER_FRAMES = (
    "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200130100002e0033"
    "0024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00020304"
)


@pytest.mark.parametrize(
    "version, packet",
    [
        (
            1,
            "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede"
            "4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06ed"
            "bb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
        ),
        (
            0x6B3343CF,
            "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf87263017915358230035"
            "f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2c984c707f0a0812d8cd5a6881e"
            "af21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140",
        ),
    ],
)
def test_the_sample_packets_of_the_standards_open(version: int, packet: str) -> None:
    assert open_initial(version, DCID, False, bytes.fromhex(packet), 18).hex() == SERVER_FRAMES
    assert open_initial(version, DCID, True, bytes.fromhex(packet), 18) == b""


def varint(n: int) -> bytes:
    return struct.pack(">H", 0x4000 | n) if n < 0x4000 else struct.pack(">I", 0x80000000 | n)


def crypto(at: int, data: bytes) -> bytes:
    return b"\x06" + varint(at) + varint(len(data)) + data


def initial(frames: bytes, *, number: int = 0, dcid: bytes = DCID, version: int = 1) -> bytes:
    """A client's Initial packet, protected as RFC 9001, 5 says."""
    found = keys(version, DCID, True)
    frames = frames.ljust(40, b"\0")
    head = bytes([0xC0]) + struct.pack(">I", version) + bytes([len(dcid)]) + dcid + b"\2\1\2\0"
    head += varint(1 + len(frames) + 16)
    body = found.cipher.encrypt((found.iv ^ number).to_bytes(12, "big"), frames, head + bytes([number]))
    mask = found.header.encryptor().update(body[3:19])
    return bytes([head[0] ^ (mask[0] & 15)]) + head[1:] + bytes([number ^ mask[1]]) + body


def flow(*turns: tuple[bool, bytes], port: int = 443) -> Run:
    frames = []
    for number, (is_orig, payload) in enumerate(turns):
        ends = ("10.1.0.1", "10.2.0.2") if is_orig else ("10.2.0.2", "10.1.0.1")
        ports = (40000, port) if is_orig else (port, 40000)
        frames.append((START + number * 0.01, ethernet(ip(*ends, 17, udp(*ports, payload)))))
    return run(frames)


HELLO = client_hello(extensions=[server_name("quic.example.test"), (16, b"\0\3\2h3"), (43, b"\2\3\4")])


def test_a_hello_gives_both_records() -> None:
    got = flow((True, initial(crypto(0, HELLO))))
    assert got.one("ssl")["server_name"] == "quic.example.test"
    assert got.one("ssl")["ja4"].startswith("q13d")
    record = got.one("quic")
    assert (record["version"], record["client_initial_dcid"], record["client_scid"]) == ("1", DCID.hex(), "0102")
    assert (record["client_protocol"], record["history"]) == ("h3", "IS")
    assert got.one("conn")["service"] == "quic,ssl"


def test_a_hello_that_names_nobody_has_no_name() -> None:
    record = flow((True, initial(crypto(0, client_hello(extensions=[(43, b"\2\3\4")]))))).one("quic")
    assert "server_name" not in record
    assert "client_protocol" not in record


def test_what_cannot_be_opened_is_not_tried_for_ever() -> None:
    """Each try costs keys and a cipher: after some the flow's hello is not read any more."""
    forged = [(True, initial(crypto(0, HELLO))[:-1] + b"?") for _ in range(8)]
    assert not flow(*forged, (True, initial(crypto(0, HELLO)))).of("ssl")
    assert flow(*forged[1:], (True, initial(crypto(0, HELLO)))).of("ssl")


def test_crypto_frames_come_in_any_order_and_over_several_packets() -> None:
    """RFC 9000, 7.5 and 19.6: by offset, and with parts twice."""
    pieces = [(at, HELLO[at : at + 30]) for at in range(0, len(HELLO), 25)]
    turns: Turns = [(True, initial(crypto(*piece), number=i)) for i, piece in enumerate(reversed(pieces))]
    got = flow(*turns)
    assert got.one("ssl")["server_name"] == "quic.example.test"
    assert got.one("quic")["history"] == "I" * len(pieces) + "S"


def test_one_that_is_forged_spoils_nothing() -> None:
    bad = bytearray(initial(crypto(0, HELLO), number=1))
    bad[-1] ^= 1
    got = flow((True, bytes(bad)), (True, initial(crypto(0, HELLO), number=2)))
    assert got.one("ssl")["server_name"] == "quic.example.test"
    assert got.one("weird")["name"] == "quic_initial_not_opened"


def test_after_a_retry_the_keys_are_new() -> None:
    """RFC 9001, 5.2: they follow from the connection id that the Retry gave."""
    retry = b"\xf0" + struct.pack(">I", 1) + b"\0" + bytes([len(DCID)]) + DCID + bytes(30)
    first = bytearray(initial(crypto(0, HELLO)))
    first[6:14] = b"original"
    got = flow((True, bytes(first)), (False, retry), (True, initial(crypto(0, HELLO))))
    assert got.one("quic")["client_initial_dcid"] == b"original".hex()
    assert got.one("quic")["history"] == "IrIS"


def test_versions_that_nobody_knows_are_marked() -> None:
    other = bytearray(initial(crypto(0, HELLO)))
    other[1:5] = b"\x0a\x1a\x2a\x3a"
    assert flow((True, initial(crypto(0, HELLO))), (True, bytes(other))).one("quic")["history"] == "ISU"
    assert flow((True, bytes(other))).of("quic") == []


def test_a_hello_of_endless_length_is_bounded() -> None:
    turns: Turns = [
        (True, initial(crypto(at, b"\1\xff\xff\xff" * 200), number=i)) for i, at in enumerate(range(0, 70000, 1000))
    ]
    got = flow(*turns)
    assert got.of("ssl") == []
    assert got.one("quic")["history"].startswith("III")
