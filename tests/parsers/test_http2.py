"""HTTP/2, case by case (RFC 9113), said by the h2 library; and gRPC over it."""

import gzip
import hashlib
import struct
from collections.abc import Callable

import h2.connection
import h2.events
import pytest

from tests.builders import Turns, connection, ethernet
from tests.conftest import Record, Run, run

Headers = list[tuple[str, str]]
GET: Headers = [(":method", "GET"), (":path", "/a?b=1"), (":authority", "shop.test"), (":scheme", "http")]
OK: Headers = [(":status", "200"), ("content-type", "text/plain")]


class Talk2:
    """Two ends that the h2 library speaks for; ``turns`` is what went between them."""

    def __init__(self) -> None:
        self.client = h2.connection.H2Connection()
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.turns: Turns = []
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.flush()

    def flush(self) -> None:
        for is_orig, one, other in ((True, self.client, self.server), (False, self.server, self.client)):
            said = one.data_to_send()
            if said:
                self.turns.append((is_orig, said))
                other.receive_data(said)

    def ask(self, headers: Headers, body: bytes = b"") -> int:
        stream = int(self.client.get_next_available_stream_id())
        self.client.send_headers(stream, headers, end_stream=not body)
        if body:
            self.client.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    def answer(self, stream: int, headers: Headers, body: bytes = b"", trailers: Headers | None = None) -> None:
        self.server.send_headers(stream, headers)
        self.server.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            self.server.send_headers(stream, trailers, end_stream=True)
        self.flush()

    def run(self, **options: bool) -> Run:
        return run(connection(self.turns, dport=8080).frames(), **options)


def one(act: Callable[[Talk2], None]) -> Record:
    talk = Talk2()
    act(talk)
    return talk.run().one("http")


def test_a_stream_is_a_record_of_version_2() -> None:
    record = one(lambda t: t.answer(t.ask([*GET, ("user-agent", "x"), ("referer", "y")]), OK, b"hello"))
    assert (record["method"], record["host"], record["uri"], record["version"]) == ("GET", "shop.test", "/a?b=1", "2")
    assert (record["status_code"], record["response_body_len"], record["request_body_len"]) == (200, 5, 0)
    assert (record["user_agent"], record["referrer"], record["stream_id"]) == ("x", "y", 1)
    assert record["client_header_names"] == ["USER-AGENT", "REFERER"]


def test_headers_with_values_are_told_when_asked_for_and_secrets_masked() -> None:
    talk = Talk2()
    asked = [*GET, ("cookie", "S3CR3T"), ("authorization", "Bearer S3CR3T"), ("x-api-key", "S3CR3T"), ("x-a", "b")]
    talk.answer(talk.ask(asked), [*OK, ("set-cookie", "S3CR3T")], b"hello")
    record = talk.run(http_headers=True).one("http")
    assert record["request_headers"] == ["cookie: ***", "authorization: ***", "x-api-key: ***", "x-a: b"]
    assert record["response_headers"] == ["content-type: text/plain", "set-cookie: ***"]
    assert "S3CR3T" not in str(talk.run().one("http"))


def test_streams_that_overlap_are_told_apart() -> None:
    talk = Talk2()
    first = talk.ask([*GET, ("user-agent", "first")])
    second = talk.ask(
        [(":method", "POST"), (":path", "/second"), (":authority", "b.test"), (":scheme", "http")], b"x" * 999
    )
    talk.answer(second, [(":status", "201")])
    talk.answer(first, OK, b"late")
    got = talk.run().of("http")
    assert [(r["method"], r["status_code"], r["request_body_len"]) for r in got] == [
        ("GET", 200, 0),
        ("POST", 201, 999),
    ]


def test_repeated_headers_use_the_table_of_the_connection() -> None:
    """RFC 7541, 2.3.2: what one block has said, the next refers to by number."""
    talk = Talk2()
    for number in range(20):
        talk.answer(talk.ask([*GET, ("x-trace", "t" * 40), ("cookie", f"c={number}")]), OK)
    got = talk.run().of("http")
    assert len(got) == 20
    assert all(r["host"] == "shop.test" and "X-TRACE" in r["client_header_names"] for r in got)


def test_grpc_tells_service_method_and_status() -> None:
    call: Headers = [(":method", "POST"), (":path", "/shop.v1.Orders/Find"), (":authority", "a"), (":scheme", "http")]
    call += [("content-type", "application/grpc+proto"), ("te", "trailers")]
    trailers = [("grpc-status", "5"), ("grpc-message", "no such order")]
    record = one(lambda t: t.answer(t.ask(call, b"\0\0\0\0\1x"), [(":status", "200")], b"", trailers))
    assert (record["grpc_service"], record["grpc_method"]) == ("shop.v1.Orders", "Find")
    assert (record["grpc_status"], record["grpc_message"]) == (5, "no such order")


def test_a_stream_that_is_reset_is_written() -> None:
    def act(talk: Talk2) -> None:
        stream = talk.ask(GET)
        talk.server.reset_stream(stream)
        talk.flush()

    assert "status_code" not in one(act)


def test_an_interim_answer_is_told_apart() -> None:
    def act(talk: Talk2) -> None:
        stream = talk.ask(GET)
        talk.server.send_headers(stream, [(":status", "103"), ("link", "x")])
        talk.answer(stream, OK)

    record = one(act)
    assert (record["info_code"], record["status_code"]) == (103, 200)


def test_padding_is_no_body() -> None:
    def act(talk: Talk2) -> None:
        stream = talk.ask(GET)
        talk.server.send_headers(stream, OK)
        talk.server.send_data(stream, b"12345", end_stream=True, pad_length=100)
        talk.flush()

    assert one(act)["response_body_len"] == 5


PAGE = b"<!DOCTYPE html>\n" + b"<p>tea</p>\n" * 400


@pytest.mark.parametrize("pad", [None, 77])
@pytest.mark.parametrize("piece", [1, 300, 16000])
def test_a_body_in_several_frames_has_kind_and_hash(piece: int, pad: int | None) -> None:
    packed = gzip.compress(PAGE)
    for body, coding in ((PAGE, []), (packed, [("content-encoding", "gzip")])):
        talk = Talk2()
        streams = talk.ask(GET), talk.ask(GET)
        talk.client.increment_flow_control_window(1 << 24)
        for one_of in streams:
            talk.client.increment_flow_control_window(1 << 24, one_of)
        talk.flush()
        for one_of in streams:
            talk.server.send_headers(one_of, [*OK, *coding])
        for at in range(0, len(body), piece):
            for one_of in streams:  # frames of two streams take turns
                talk.server.send_data(one_of, body[at : at + piece], end_stream=at + piece >= len(body), pad_length=pad)
            talk.flush()
        for record in talk.run(http_sha256=True).of("http"):
            assert record["resp_mime_types"] == ["text/html"]
            assert record["response_sha256"] == hashlib.sha256(PAGE).hexdigest()
            assert record["response_body_len"] == len(PAGE)
            assert record.get("response_encoded_len") == (len(packed) if coding else None)


def test_a_hole_in_a_body_leaves_the_frames_where_they_are() -> None:
    talk = Talk2()
    first = talk.ask(GET)
    talk.answer(first, OK, b"x" * 9000)
    talk.answer(talk.ask([*GET, ("user-agent", "behind")]), OK, b"y" * 5000)
    turns = connection(talk.turns, most=1000, dport=8080)
    large = [i for i, (_, is_orig, packet) in enumerate(turns.packets) if not is_orig and len(packet) == 1040]
    got = run([(time, ethernet(packet)) for i, (time, _, packet) in enumerate(turns.packets) if i != large[4]])
    assert [r["response_body_len"] for r in got.of("http")] == [9000, 5000]
    assert got.of("http")[1]["user_agent"] == "behind"


@pytest.mark.parametrize("lost", [-3, -2, -1])
def test_a_hole_in_a_body_may_reach_into_its_padding(lost: int) -> None:
    talk = Talk2()
    stream = talk.ask(GET)
    talk.server.send_headers(stream, OK)
    talk.server.send_data(stream, b"x" * 1500, end_stream=True, pad_length=250)
    talk.flush()
    talk.answer(talk.ask([*GET, ("user-agent", "behind")]), OK, b"yy")
    turns = connection(talk.turns, most=100, dport=8080)
    large = [i for i, (_, is_orig, packet) in enumerate(turns.packets) if not is_orig and len(packet) == 140]
    got = run([(time, ethernet(packet)) for i, (time, _, packet) in enumerate(turns.packets) if i != large[lost]])
    assert [(r.get("user_agent"), r["response_body_len"]) for r in got.of("http")] == [(None, 1500), ("behind", 2)]


def test_a_hole_over_the_end_of_a_frame_ends_the_reading() -> None:
    talk = Talk2()
    talk.answer(talk.ask(GET), OK, b"x" * 900)
    talk.answer(talk.ask(GET), OK, b"y" * 900)
    turns = connection(talk.turns, most=500, dport=8080)
    large = [i for i, (_, is_orig, packet) in enumerate(turns.packets) if not is_orig and len(packet) == 540]
    got = run([(time, ethernet(packet)) for i, (time, _, packet) in enumerate(turns.packets) if i != large[-1]])
    assert len(got.of("http")) == 2
    assert got.worker.memory()["owned"] == 0


def test_a_body_that_is_cut_off_counts_as_far_as_it_came() -> None:
    talk = Talk2()
    stream = talk.ask(GET)
    talk.server.send_headers(stream, OK)
    talk.server.send_data(stream, PAGE[:2000])
    talk.server.reset_stream(stream)
    talk.flush()
    record = talk.run(http_sha256=True).one("http")
    assert (record["response_body_len"], record["resp_mime_types"]) == (2000, ["text/html"])
    assert "response_sha256" not in record


def test_a_block_goes_over_several_frames() -> None:
    """RFC 9113, 6.10."""
    record = one(lambda t: t.answer(t.ask([*GET, ("x-long", "v" * 30000), ("user-agent", "behind")]), OK))
    assert record["user_agent"] == "behind"


def test_behind_an_upgrade_the_first_stream_is_answered() -> None:
    """RFC 7540, 3.2: the request that asked for the upgrade is stream 1."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client = h2.connection.H2Connection()
    settings = client.initiate_upgrade_connection()
    server.initiate_upgrade_connection(settings)
    ask = b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    server.send_headers(1, OK)
    server.send_data(1, b"hello", end_stream=True)
    turns: Turns = [
        (True, ask + (settings or b"") + b"\r\n\r\n"),
        (False, switch + server.data_to_send()),
        (True, client.data_to_send()),
    ]
    got = run(connection(turns, dport=80).frames())
    first, second = got.of("http")
    assert (first["version"], first["uri"], first["status_code"]) == ("1.1", "/up", 101)
    assert (second["version"], second["status_code"], second["response_body_len"]) == ("2", 200, 5)
    assert got.one("conn")["service"] == "http,http2"


def test_an_unpacked_flood_is_bounded() -> None:
    """A block whose references multiply what they name: the library's bound ends the parsing."""
    talk = Talk2()
    talk.ask([*GET, ("x", "y" * 3000)])
    block = b"\x82\x86\x84" + b"\xbe" * 16000
    frame = len(block).to_bytes(3, "big") + b"\1\5" + struct.pack(">I", 3) + block
    got = run(connection([*talk.turns, (True, frame)], dport=8080).frames())
    assert "HTTP2_bad_headers" in [r["name"] for r in got.of("weird")]


@pytest.mark.parametrize("frame", [b"\xff\xff\xff\1\4\0\0\0\1", b"\0\0\1\1\x08\0\0\0\1\x09", b"\0\0\1\x09\4\0\0\0\7x"])
def test_bad_frames_end_the_parsing(frame: bytes) -> None:
    talk = Talk2()
    talk.answer(talk.ask(GET), OK)
    got = run(connection([*talk.turns, (True, frame)], dport=8080).frames())
    assert got.one("http")["status_code"] == 200
    assert got.of("weird")
