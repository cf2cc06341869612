"""WebSocket frames and what they carry, case by case from RFC 6455."""

import itertools

import pytest

from tests.builders import Turns, connection, ethernet
from tests.conftest import Run, facts, run
from tests.parsers.test_tls import client_hello, record, server_hello
from tests.test_every_parser import INFERRED, RECORDS, data

UPGRADE: Turns = [
    (True, b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    (False, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
]
TEXT, BINARY, CONTINUED, PING, FIN, COMPRESSED = 1, 2, 0, 9, 0x80, 0x40
GET = b"GET /inside HTTP/1.1\r\nHost: b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def frame(payload: bytes, first: int = FIN | BINARY, key: bytes = b"") -> bytes:
    size = len(payload)
    code, length = (size, b"") if size < 126 else (126, size.to_bytes(2)) if size < 65536 else (127, size.to_bytes(8))
    head = bytes([first, code | (0x80 if key else 0)]) + length
    return head + key + bytes(a ^ b for a, b in zip(payload, itertools.cycle(key or b"\0"), strict=False))


def ask(payload: bytes, first: int = FIN | BINARY) -> tuple[bool, bytes]:
    return True, frame(payload, first, b"\x81\x02\xf3\x44")


def tell(payload: bytes, first: int = FIN | BINARY) -> tuple[bool, bytes]:
    return False, frame(payload, first)


def told(*turns: tuple[bool, bytes]) -> Run:
    return run(connection(UPGRADE + list(turns), dport=80).frames())


def test_a_frame_of_absurd_length_ends_the_reading() -> None:
    """RFC 6455, 5.2: the upper bit of a length is zero."""
    got = told((True, b"\x82\xff" + b"\xff" * 8 + b"\x83\x83\x83\x83\x83\x83\x83" * 9))
    assert got.one("weird")["name"] == "websocket_bad_length"


def test_tls_inside_is_read() -> None:
    got = told(ask(record(22, client_hello())), tell(record(22, server_hello())))
    assert (got.one("ssl")["server_name"], got.one("ssl")["version"]) == ("a.tes", "TLSv12")
    assert got.one("conn")["service"] == "http,ssl,websocket"
    assert got.one("ssl")["uid"] == got.one("websocket")["uid"]


def test_messages_in_several_frames_with_a_ping_between_are_one_stream() -> None:
    """RFC 6455, 5.4: control frames stand between those of a message."""
    got = told(
        ask(GET[:9], BINARY),
        ask(b"are you there?", FIN | PING),
        ask(GET[9:], FIN | CONTINUED),
        tell(OK[:20]),
        tell(OK[20:]),
    )
    outer, inner = got.of("http")
    assert (outer["status_code"], inner["uri"], inner["response_body_len"]) == (101, "/inside", 2)


def test_what_is_compressed_is_not_looked_at() -> None:
    """RFC 7692, 6: RSV1 says so."""
    got = told(ask(GET, FIN | COMPRESSED | TEXT), tell(OK), tell(b"x" * 70000))
    assert len(got.of("http")) == 1
    assert not got.of("weird")


def test_what_nobody_knows_is_stepped_over() -> None:
    chat = [turn for i in range(300) for turn in (ask(b'{"n": %d}' % i, FIN | TEXT), tell(b'{"ok": true}', FIN | TEXT))]
    got = told(*chat, ask(b"x" * 5000), tell(b"y" * 70000))
    assert not got.of("weird")
    assert (len(got.of("http")), got.one("conn")["service"]) == (1, "http,websocket")


def test_a_rejected_guess_inside_takes_nothing_from_the_outside() -> None:
    got = told(ask(GET), tell(b"\0\1\2 this is no answer\n" * 9), ask(b"\0\0\0\0\n" * 9))
    assert got.one("conn")["service"] == "http,websocket"


@pytest.mark.parametrize("most", [7, 60000])
def test_a_rejected_guess_inside_is_no_service_however_it_is_split(most: int) -> None:
    turns = [*UPGRADE, ask(record(22, client_hello())), ask(b"\xff\xff\xff garbage" * 9)]
    conn = run(connection(turns, dport=80, most=most).frames()).one("conn")
    assert (conn["service"], conn["failed_service"]) == ("http,websocket", "ssl")


@pytest.mark.parametrize("lost", [0, 1])
def test_a_hole_inside_of_a_payload_is_one_of_the_stream_inside(lost: int) -> None:
    """The answer's body lacks a segment; the next transaction is read all the same."""
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000
    turns = [*UPGRADE, ask(GET), tell(body), ask(GET.replace(b"inside", b"next")), tell(OK)]
    talk = connection(turns, most=1000, dport=80)
    large = [i for i, (_, is_orig, packet) in enumerate(talk.packets) if not is_orig and len(packet) == 1040]
    frames = [(time, ethernet(packet)) for i, (time, _, packet) in enumerate(talk.packets) if i != large[1 + lost]]
    got = run(frames)
    assert [r["uri"] for r in got.of("http")] == ["/ws", "/inside", "/next"]
    assert got.of("http")[2]["response_body_len"] == 2


def test_an_oddity_is_told_once_of_a_flow_whatever_runs_inside_of_what() -> None:
    odd = b"POST /%d HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    inside = [turn for i in range(2) for turn in (ask(odd % i), tell(OK))]
    got = run(connection([(True, odd % 2), (False, OK), *UPGRADE, *inside], dport=80).frames())
    assert len(got.of("http")) == 4
    assert [r["name"] for r in got.of("weird")] == ["HTTP_length_and_chunked"]


def test_streams_inside_of_streams_have_a_bound() -> None:
    """Each layer upgrades to the next.  The innermost is not looked for."""
    turns = [*UPGRADE, (True, GET), (False, OK)]
    for _ in range(12):
        turns = [*UPGRADE, *(ask(text) if is_orig else tell(text) for is_orig, text in turns)]
    talk = connection(turns, most=60000, dport=80)
    got = run(talk.frames())
    assert 3 < len(got.of("websocket")) < 12
    assert got.worker.memory() == {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}


def test_the_end_of_a_stream_is_that_of_the_stream_inside() -> None:
    """A body without a length ends with the connection (RFC 9112, 6.3)."""
    got = told(ask(GET), tell(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300))
    assert got.of("http")[1]["response_body_len"] == 300


@pytest.mark.parametrize("kind", ["http", "http2", "postgresql", "ssh", "ssl"])
@pytest.mark.parametrize("piece", [3, 1000])
def test_what_runs_inside_says_what_it_says_outside(kind: str, piece: int) -> None:
    """Every conversation of the bundled captures, in frames of at most so many bytes."""
    name = RECORDS.get(kind, kind)
    for turns in data(kind):
        framed = [
            ask(text[at : at + piece]) if is_orig else tell(text[at : at + piece])
            for is_orig, text in turns
            for at in range(0, len(text), piece)
        ]
        outside = run(connection(turns, most=1000, dport=80).frames()).of(name)
        inside = told(*framed).of(name)[1 if name == "http" else 0 :]
        assert facts(inside, INFERRED.get(kind, ())) == facts(outside, INFERRED.get(kind, ()))
