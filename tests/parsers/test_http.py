"""HTTP/1.x, case by case from RFC 9110 and 9112."""

from collections.abc import Iterator

import pytest

from cext.record import set_most_open
from tests.builders import Talk, Turns, connection, ethernet
from tests.conftest import Record, Run, run

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(autouse=True, params=["one waits", "many wait"])
def waiting(request: pytest.FixtureRequest) -> Iterator[None]:
    """Requests that wait for their answers are folded where many do: that shows in no record."""
    before = set_most_open(0) if request.param == "many wait" else None
    yield
    if before is not None:
        set_most_open(before)


def http(*turns: tuple[bool, bytes], **options: object) -> list[Record]:
    return run(connection(list(turns)).frames(), **options).of("http")


def ask(request: bytes, answer: bytes = OK) -> Record:
    (record,) = http((True, request), (False, answer))
    return record


def test_request_and_answer_are_one_record() -> None:
    record = ask(
        b"GET /a?b=c HTTP/1.1\r\nHost: shop.test:8080\r\nUser-Agent: x/1\r\nReferer: http://r/\r\nOrigin: o\r\n\r\n"
    )
    want = {
        "trans_depth": 1,
        "method": "GET",
        "host": "shop.test:8080",
        "uri": "/a?b=c",
        "referrer": "http://r/",
        "version": "1.1",
        "user_agent": "x/1",
        "origin": "o",
        "request_body_len": 0,
        "response_body_len": 2,
        "status_code": 200,
        "status_msg": "OK",
    }
    assert {name: record[name] for name in want} == want


@pytest.mark.parametrize(
    ("head", "body", "size"),
    [
        (b"Content-Length: 5\r\n", b"hello", 5),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n", 5),
        (b"Transfer-Encoding: gzip, chunked\r\n", b"A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", 10),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 99\r\n", b"1\r\nx\r\n0\r\n\r\n", 1),
    ],
)
def test_framing_of_bodies(head: bytes, body: bytes, size: int) -> None:
    """RFC 9112, 6.3: chunked overrides a length.  A second request shows that the end was found."""
    request = b"POST / HTTP/1.1\r\n" + head + b"\r\n" + body
    answer = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body
    first, second = http((True, request), (False, answer), (True, b"GET /next HTTP/1.1\r\n\r\n"), (False, OK))
    assert (first["request_body_len"], first["response_body_len"]) == (size, size)
    assert second["uri"] == "/next"


def test_answer_without_a_length_ends_with_the_connection() -> None:
    assert ask(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 3000)["response_body_len"] == 3000


@pytest.mark.parametrize("request_", [b"HEAD / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_that_have_no_body(request_: bytes, status: bytes) -> None:
    """RFC 9112, 6.3, 1: whatever the length says."""
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 500\r\n\r\n"
    first, second = http((True, request_), (False, answer), (True, b"GET /next HTTP/1.1\r\n\r\n"), (False, OK))
    assert (first["response_body_len"], second["uri"], second["status_code"]) == (0, "/next", 200)


def test_interim_answers_are_kept_apart() -> None:
    """RFC 9110, 15.2."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    record = ask(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nxx", interim + OK)
    assert (record["status_code"], record["info_code"], record["info_msg"]) == (200, 103, "Early Hints")


def test_pipelined_requests_pair_in_order() -> None:
    """RFC 9112, 9.3.2."""
    requests = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(50))
    answers = b"".join(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % (200 + i) for i in range(50))
    records = http((True, requests), (False, answers))
    assert [(r["uri"], r["status_code"], r["trans_depth"]) for r in records] == [
        (f"/{i}", 200 + i, i + 1) for i in range(50)
    ]


def test_one_request_too_many_comes_while_an_answer_is_under_way() -> None:
    """The request that the answer began for is written without it; the rest of the head goes to the next."""
    ask = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(101)]
    turns = [(True, b"".join(ask[:100])), (False, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), (True, ask[100]),
             (False, b"Server: x\r\nX-Own: y\r\nContent-Type: a/b\r\n\r\n")]  # fmt: skip
    records = http(*turns)
    assert [record["uri"] for record in records] == [f"/{i}" for i in range(101)]
    assert (records[0]["status_code"], records[1].get("status_code")) == (200, None)
    assert records[1]["server_header_names"] == ["CONTENT-LENGTH", "SERVER", "X-OWN", "CONTENT-TYPE"]


def test_unanswered_requests_are_bounded() -> None:
    got = run(connection([(True, b"GET / HTTP/1.1\r\n\r\n" * 300)]).frames())
    assert len(got.of("http")) == 300
    assert got.of("weird")[0]["name"] == "HTTP_excessive_pipelining"


def test_an_answer_before_the_end_of_its_request_waits_for_the_length() -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345"
    (record,) = http((True, head), (False, OK), (True, b"67890"))
    assert record["request_body_len"] == 10


def test_percent_sequences_are_decoded_and_the_original_kept() -> None:
    record = ask(b"GET /a%20b%2Fc%zz%4 HTTP/1.1\r\n\r\n")
    assert (record["uri"], record["original_uri"]) == ("/a b/c%zz%4", "/a%20b%2Fc%zz%4")
    assert "original_uri" not in ask(b"GET /plain HTTP/1.1\r\n\r\n")


def test_proxies_and_basic_authentication_are_told() -> None:
    record = ask(
        b"GET / HTTP/1.1\r\nVia: 1.1 p\r\nX-Forwarded-For: 203.0.113.9\r\nAuthorization: Basic YW5hOmE6Yg==\r\n\r\n"
    )
    assert record["proxied"] == ["VIA -> 1.1 p", "X-FORWARDED-FOR -> 203.0.113.9"]
    assert record["username"] == "ana"


def test_header_names_are_of_any_case_and_values_trimmed() -> None:
    assert ask(b"GET / HTTP/1.1\r\nhOsT: \t a.test \t\r\n\r\n")["host"] == "a.test"


@pytest.mark.parametrize(
    "known", [b"te", b"p3p", b"date", b"server", b"connection", b"http2-settings", b"x-amz-request-id"]
)
def test_a_name_is_known_by_all_of_its_letters(known: bytes) -> None:
    names = [known + b"s", known[:-1], known]
    for i in range(len(known)):
        for bit in (1, 16, 32, 64):  # of bit 32 only letters do not care
            other = known[:i] + bytes([known[i] ^ bit]) + known[i + 1 :]
            if not set(other) & set(b":\r\n\t ") and min(other[0], other[-1]) > 32:
                names.append(other)
    for some in (names[:60], names[60:]):
        record = ask(b"GET / HTTP/1.1\r\n" + b"".join(b"%s: 1\r\n" % name for name in some) + b"\r\n")
        assert record.get("client_header_names", []) == [name.upper().decode() for name in some]


def test_a_line_that_is_too_long_is_cut_and_the_next_is_found() -> None:
    record = ask(b"GET / HTTP/1.1\r\nX-Long: " + b"y" * 40000 + b"\r\nHost: after.test\r\n\r\n")
    assert record["host"] == "after.test"


def test_http_0_9_has_a_body_and_no_head() -> None:
    record = ask(b"GET /old\r\n", b"<html>hello</html>")
    assert (record["version"], record["response_body_len"]) == ("0.9", 18)


def test_a_tunnel_is_handed_over() -> None:
    """CONNECT, then TLS inside (RFC 9110, 9.3.6)."""
    from tests.test_every_parser import data

    hello = data("ssl")[0]
    turns: Turns = [
        (True, b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"),
        (False, b"HTTP/1.1 200 Connection established\r\n\r\n"),
        *hello,
    ]
    got = run(connection(turns, dport=3128).frames())
    assert got.one("http")["method"] == "CONNECT"
    assert got.one("ssl")["established"] is True
    assert set(got.one("conn")["service"].split(",")) == {"http", "ssl"}


def test_an_upgrade_ends_http() -> None:
    turns: Turns = [
        (True, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
        (False, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        (False, b"\x81\x05hello"),
    ]
    got = run(connection(turns).frames())
    assert got.one("http")["status_code"] == 101


def test_the_client_is_told_by_what_it_says() -> None:
    """A flow picked up at an answer on an unknown port: the answering side is the server all the same."""
    talk = (
        Talk(dport=9000)
        .open()
        .say([(True, b"GET / HTTP/1.1\r\n\r\n"), (False, OK), (True, b"GET /2 HTTP/1.1\r\n\r\n"), (False, OK)])
    )
    late: Run = run((time, ethernet(packet)) for time, _, packet in talk.packets[4:])
    assert [r.get("uri") for r in late.of("http")] == ["/2"]


@pytest.mark.parametrize("size", [b"-1", b"fffffffffffffffff", b"", b"5 5", b"0x5"])
def test_bad_chunk_sizes_end_the_parsing_and_nothing_else(size: bytes) -> None:
    got = run(connection([(True, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nx")]).frames())
    assert got.one("http")["method"] == "POST"
    assert got.of("weird")


@pytest.mark.parametrize("size", [10000, 16340, 16384, 17000, 33000])
def test_a_long_header_line_does_not_take_the_next_line_with_it(size: int) -> None:
    turns: Turns = [
        (True, b"GET /1 HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * size + b"\r\n"),
        (True, b"\r\n"),
        (False, b"HTTP/1.1 200 OK\r\nX: " + b"x" * size + b"\r\n"),
        (False, b"Content-Length: 2\r\n\r\nok"),
        (True, b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"),
        (False, b"HTTP/1.1 404 NF\r\nContent-Length: 2\r\n\r\nno"),
    ]
    got = run(connection(turns, dport=80, most=40000).frames()).of("http")
    assert [(r["uri"], r["status_code"], r["response_body_len"]) for r in got] == [("/1", 200, 2), ("/2", 404, 2)]


def test_what_a_refused_upgrade_offered_is_not_the_next_ones() -> None:
    ask = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "
    turns: Turns = [
        (True, b"GET /a HTTP/1.1\r\n" + ask + b"one\r\n\r\n"),
        (False, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
        (True, b"GET /b HTTP/1.1\r\n" + ask + b"two\r\n\r\n"),
        (False, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    ]
    record = run(connection(turns, dport=80).frames()).one("websocket")
    assert (record["uri"], record["client_protocols"]) == ("/b", ["two"])


@pytest.mark.parametrize(
    ("head", "names", "length", "weirds"),
    [
        (b"Content-Length\r\n : 5", ["CONTENT-LENGTH"], 5, {"HTTP_space_before_colon"}),
        (b"nocolon\r\n Host: evil", ["NOCOLON\r\n HOST"], 0, set()),
        (b"nothing\r\n at all", [], 0, set()),
    ],
)
def test_a_colon_behind_a_fold_is_still_a_headers(head: bytes, names: list[str], length: int, weirds: set[str]) -> None:
    """Some server takes such a name, so it must not be passed over (RFC 9112, 5.2)."""
    body = b"hello" if length else b""
    got = run(connection([(True, b"POST / HTTP/1.1\r\n" + head + b"\r\nX: y\r\n\r\n" + body), (False, OK)]).frames())
    (record,) = got.of("http")
    assert record["client_header_names"] == [*names, "X"]
    assert record["request_body_len"] == length
    assert {weird["name"] for weird in got.of("weird")} >= weirds
