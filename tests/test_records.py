"""Records: valid JSON and UTF-8 whatever the wire held, by a rule that can be undone; msgpack says the same."""

import ipaddress
import json
import random
import re
import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import START, Talk, Turns, connection, ethernet, ip, udp
from tests.conftest import ROOT, Run, run

HEX = re.compile(r"\\x([0-9a-fA-F]{2})")


def undo(text: str) -> bytes:
    """The bytes that a text stands for: the rule of docs/records.md, undone."""
    out, at = b"", 0
    for match in HEX.finditer(text):
        out += text[at : match.start()].encode() + bytes([int(match[1], 16)])
        at = match.end()
    return out + text[at:].encode()


def agent(value: bytes, **options: object) -> Run:
    turns: Turns = [(True, b"GET / HTTP/1.1\r\nUser-Agent: " + value + b"\r\n\r\n"), (False, b"HTTP/1.1 204 x\r\n\r\n")]
    return run(connection(turns).frames(), **options)


WIRE = (
    st.binary(min_size=1, max_size=200)
    .map(lambda b: b.translate(None, b"\r\n"))
    .filter(lambda b: b.strip(b" \t") == b and b)
)
TRICKY = st.lists(
    st.sampled_from(
        [
            b"\\",
            b"\\x",
            b"\\x5c",
            b"\\x41",
            b"x",
            b"\xc3\xa9",
            b"\xc3",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98\x80",
            b"\xf4\x90\x80\x80",
            b"\xe2\x80\xa8",
            b'"',
            b"\0",
            b"\x1f",
            b"\x7f",
            b"a" * 9,
        ]
    ),
    min_size=1,
    max_size=12,
).map(b"".join)


@given(value=WIRE | TRICKY)
def test_text_can_be_undone(value: bytes) -> None:
    got = agent(value)
    assert undo(got.one("http")["user_agent"]) == value
    got.output.decode("utf-8")


@given(value=WIRE | TRICKY)
def test_msgpack_says_the_same_as_json(value: bytes) -> None:
    unpacker = msgpack.Unpacker()
    unpacker.feed(agent(value, format="msgpack").output)
    assert list(unpacker) == agent(value).lines


@pytest.mark.parametrize(
    ("wire", "json_text"),
    [
        (b"plain", '"plain"'),
        (b"caf\xc3\xa9", '"café"'),
        (b"\xff\xfe", r'"\\xff\\xfe"'),
        (b"a\\b", r'"a\\b"'),
        (b"\\x41", r'"\\x5cx41"'),
        (b"\\xzz", r'"\\xzz"'),
        (b'say "hi"', r'"say \"hi\""'),
        (b"tab\there\x01", r'"tab\there\u0001"'),
        (b"\xed\xa0\x80", r'"\\xed\\xa0\\x80"'),
    ],
)
def test_the_rule_by_example(wire: bytes, json_text: str) -> None:
    assert f'"user_agent":{json_text}'.encode() in agent(wire).output


def test_long_texts_are_cut_and_named() -> None:
    record = agent(b"a" * 1023 + "é".encode() * 20).one("http")
    assert record["_cut"] == ["user_agent"]
    assert record["user_agent"] == "a" * 1023  # no half of a character
    assert "_cut" not in agent(b"a" * 1024).one("http")


@pytest.mark.parametrize("byte", [b"a", b'"', b"\x01", b"\xff"])
def test_a_line_is_whole_wherever_its_buffer_has_to_grow(byte: bytes) -> None:
    for n in range(1, 1300, 9):
        extra = b"".join(b"\r\nX-%s%d: 1" % (byte * (n % 40), i) for i in range(n % 50))
        record = agent(byte * n + b"\r\nAccept: */*" + extra).one("http")
        assert undo(record["user_agent"]) == byte * min(n, 1024)
        names = [undo(name) for name in record["client_header_names"]]
        assert names == [b"USER-AGENT", b"ACCEPT"] + [
            (b"X-%s%d" % ((byte * (n % 40)).upper(), i))[:64] for i in range(n % 50)
        ]
        assert record.get("_cut") == (["user_agent"] if n > 1024 else None)


@given(number=st.integers(0, 2**128 - 1) | st.integers(0, 2**16).map(lambda n: n << 96 | n) | st.just(0) | st.just(1))
def test_addresses_are_written_as_rfc_5952_says(number: int) -> None:
    address = ipaddress.IPv6Address(number)
    got = run([(START, ethernet(ip(str(address), "fd00::2", 17, udp(1, 2, b"x"))))]).one("conn")
    assert got["id.orig_h"] == str(address.ipv4_mapped or address)


@given(micros=st.integers(0, 2**32 * 10**6 - 1))
def test_times_are_exact(micros: int) -> None:
    frame = ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, b"x")))
    data = (
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        + struct.pack("<IIII", micros // 10**6, micros % 10**6, len(frame), len(frame))
        + frame
    )
    assert f'"ts":{micros // 10**6}.{micros % 10**6:06},'.encode() in Run(data).output


def test_every_line_is_one_json_object_with_its_path() -> None:
    for line in agent(b"x").output.splitlines():
        assert line.startswith(b'{"_path":"') and isinstance(json.loads(line), dict)


CREDENTIALS = b"YW5hOnMzY3JldA=="  # ana:s3cret
SECRETS: Turns = [
    (True, b"GET / HTTP/1.1\r\nAuthorization: Basic " + CREDENTIALS + b"\r\nCookie: sid=8842\r\n\r\n"),
    (False, b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"),
]


def test_secrets_are_written_only_when_asked_for() -> None:
    shy = run(connection(SECRETS).frames())
    for secret in (CREDENTIALS, b"s3cret", b"8842", b"a=1"):
        assert secret not in shy.output
    assert shy.one("http")["username"] == "ana"
    open_ = run(connection(SECRETS).frames(), secrets=True).one("http")
    assert (open_["password"], open_["cookie"], open_["set_cookie"]) == ("s3cret", "sid=8842", "a=1; b=2")


def test_only_the_kinds_asked_for_are_written() -> None:
    assert {r["_path"] for r in run(connection(SECRETS).frames(), only={"http"}).lines} == {"http"}


def test_weirds_are_written_with_their_source() -> None:
    weird = run(
        Talk(dport=80).open().say([(True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"HTTP/1.1 what\r\n\r\n")]).frames()
    )
    assert [(r["name"], r["source"]) for r in weird.of("weird")] == [("HTTP_bad_framing", "http")]


@pytest.mark.parametrize("seed", range(4))
def test_what_was_drained_stays_as_it_is_for_as_long_as_somebody_holds_it(seed: int) -> None:
    chance = random.Random(seed)
    held: list[tuple[memoryview, bytes]] = []
    most = 0

    class Keeper(Run):
        def read(self) -> None:
            super().read()
            self.take()

        def take(self) -> None:
            nonlocal most
            for _, part in self.writer.drain():
                held.append((part, bytes(part)))
                self.output += bytes(part)
            most = max(most, len(held))
            assert all(part == copy for part, copy in held)
            if held and chance.random() < 0.2:  # given back, in any order
                held.pop(chance.randrange(len(held)))

    capture = (ROOT / "pcaps" / "http" / "nginx-curl.pcap").read_bytes()
    kept = Keeper(capture, chunk=500, interim=0.01)
    assert kept.output == Run(capture, chunk=500, interim=0.01).output and most > 2
