"""Inputs that somebody made up to break it: each did, once."""

import struct

import pytest

from cext import owned
from tests.builders import ACK, FIN, PSH, START, Talk, Turns, connection, ethernet, geneve, ip, tcp
from tests.conftest import Run, run

SSL_REQUEST = struct.pack(">II", 8, 80877103)
NOTHING = {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}


def said(*turns: tuple[bool, bytes], most: int = 60000) -> Run:
    return run(connection(list(turns), most=most).frames())


def test_endless_hand_overs_are_bounded() -> None:
    """PostgreSQL hands over to TLS, which is not there: 4,000 times in one segment."""
    got = said((True, SSL_REQUEST * 4000), (False, b"S" * 4000))
    assert len(got.of("postgresql")) < 20
    assert got.worker.memory() == NOTHING


@pytest.mark.parametrize("times", [1, 20, 5000])
def test_endless_upgrades_are_bounded(times: int) -> None:
    """More is left behind an upgrade than the carry takes."""
    got = said((True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"http/1 101\n\n" * times))
    assert 1 <= len(got.of("http")) < 20
    assert got.worker.memory() == NOTHING


def kexinit(names: bytes) -> bytes:
    body = b"\x14" + bytes(16) + b"".join(struct.pack(">I", len(n)) + n for n in [names] + [b"a"] * 9) + bytes(5)
    return struct.pack(">IB", len(body) + 5, 4) + body + bytes(4)


def test_long_name_lists_cost_no_square() -> None:
    """Two lists of 15,900 names that have none in common; and one that fills the longest packet."""
    ours, theirs = kexinit(b",".join([b"a"] * 15900)), kexinit(b",".join([b"b"] * 15900))
    got = said((True, b"SSH-2.0-x\r\n"), (False, b"SSH-2.0-y\r\n"), (True, ours), (False, theirs))
    assert got.one("ssh")["kex_alg"] == "Algorithm negotiation failed"
    got = said(
        (True, b"SSH-2.0-x\r\n"), (False, b"SSH-2.0-y\r\n"), (True, kexinit(b"a" * 33000)), (False, kexinit(b"a"))
    )
    assert got.of("weird") == []


def test_many_flows_that_might_be_anything_do_not_starve_the_others() -> None:
    """13,000 flows say one letter each, which is kept until more comes."""
    frames = [
        (
            START + i * 1e-5,
            ethernet(ip(f"10.9.{i >> 8}.{i & 255}", "10.2.0.2", 6, tcp(5000, 80, 5, 1, ACK | PSH, b"G"))),
        )
        for i in range(13000)
    ]
    talk = Talk(start=START + 1, dport=80).open()
    talk.say([(True, b"GET /victim HTTP/1.1\r\nHo"), (True, b"st: a\r\n\r\n"), (False, b"HTTP/1.1 204 x\r\n\r\n")])
    got = run([*frames, *talk.close().frames()])
    assert got.one("http")["host"] == "a"
    assert got.counters()["parsers_shed"] == 0


def test_an_empty_acknowledgement_field_holds_nothing_back() -> None:
    talk = Talk(dport=80).open()
    talk.resp_seq = 0
    talk.send(True, PSH | ACK, b"GET /a HTTP/1.1\r\n\r\n")
    assert run(talk.frames()).one("http")["uri"] == "/a"


def test_encryption_refused_by_an_error_is_answered_at_once() -> None:
    error = b"SFATAL\0C08P01\0Mno\0\0"
    startup = struct.pack(">II", 15, 196608) + b"user\0u\0\0"
    turns: Turns = [
        (True, SSL_REQUEST),
        (False, b"E" + struct.pack(">I", 4 + len(error)) + error),
        (True, struct.pack(">I", 8 + 8) + startup[4:]),
        (False, b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"),
    ]
    got = said(*turns).of("postgresql")
    assert [(r["frontend"], r["success"]) for r in got] == [("ssl_request", False), ("startup", True)]


def test_a_lost_answer_to_the_encryption_request_leaves_tls_to_be_found() -> None:
    from tests.test_every_parser import data

    talk = Talk(dport=5432).open().say([(True, SSL_REQUEST)])
    talk.resp_seq += 1
    talk.say(data("ssl")[0])
    got = run(talk.close().frames())
    assert got.one("ssl")["established"] is True


def test_a_cut_secret_is_not_named() -> None:
    assert "_cut" not in said((True, b"GET / HTTP/1.1\r\nCookie: " + b"c" * 5000 + b"\r\n\r\n")).one("http")


def test_a_borrowed_field_that_was_cut_is_named() -> None:
    user = b"user\0" + b"u" * 300 + b"\0\0"
    assert said((True, struct.pack(">II", 8 + len(user), 196608) + user)).one("postgresql")["_cut"] == ["user"]


def test_a_hole_that_nobody_acknowledges_is_not_looked_at_for_ever() -> None:
    talk = Talk().open()
    talk.orig_seq += 100
    talk.send(True, PSH | ACK, b"x")
    got = run([*talk.frames(), *Talk(sport=40001, start=START + 4).open().frames()])
    assert len(got.of("conn")) == 2


def test_a_second_answer_to_a_request_without_a_version_is_borne() -> None:
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\nxx\r\n"
    record = said((True, b"GET /\r\n\r\n"), (False, answer)).of("http")[0]
    assert (record["version"], record["response_body_len"]) == ("0.9", len(answer))


def test_a_fin_before_the_beginning_is_no_loss() -> None:
    talk = Talk().open().say([(True, b"hello"), (False, b"world")])
    talk.send(True, FIN | ACK, seq=995)
    talk.send(False, FIN | ACK)
    got = run(talk.frames())
    assert got.one("conn")["missed_bytes"] == 0
    assert got.counters()["missed_bytes"] < 100


def test_no_byte_that_was_not_sent_is_in_a_datagram() -> None:
    """Two last fragments that end differently leave a hole of seven bytes, which must not be filled from memory."""
    segment = tcp(5000, 80, 5, 1, ACK | PSH, b"GET /" + b"u" * 40 + b" HTTP/1.1\r\n\r\n")

    def piece(at: int, data: bytes, more: bool) -> tuple[float, bytes]:
        return START, ethernet(ip("10.0.0.1", "10.0.0.2", 6, data, ident=9, frag=at // 8 | (0x2000 if more else 0)))

    frames = [piece(32, segment[32:], False), piece(24, segment[24:25], False), piece(0, segment[:24], True)]
    assert run(frames).of("http") == []


def test_repeated_headers_are_bounded() -> None:
    got = said((True, b"GET / HTTP/1.1\r\n" + (b"Host: " + b"h" * 900 + b"\r\n") * 2000 + b"\r\n"))
    assert got.one("http")["method"] == "GET"
    talk = connection([(True, b"GET / HTTP/1.1\r\n" + (b"Host: " + b"h" * 900 + b"\r\n") * 2000)])
    assert run(list(talk.frames())[:-3]).open_memory["drafts"] < 300_000


def test_ports_of_the_envelope_are_not_the_inner_flows() -> None:
    conn = run([(START, geneve(ip("10.0.0.1", "10.0.0.2", 50, b"e" * 40)))]).one("conn")
    assert (conn["id.orig_p"], conn["id.resp_p"]) == (0, 0)


def test_what_parsers_own_has_one_budget() -> None:
    """A thousand handshakes that never end, where there is room for some."""
    hello = b"\x16\x03\x01\x10\x00\x01\x00\x1f\x00" + b"\x03\x03" + bytes(4090)
    before = owned.set_budget(100_000)
    try:
        frames = []
        for port in range(1025, 2025):
            frames += list(Talk(sport=port, dport=443).open().say([(True, hello)]).frames())
        got = run(sorted(frames))
        assert 0 < got.worker.counters()["parsers_refused"] < 1000
        assert len(got.of("conn")) == 1000
        assert got.worker.memory() == NOTHING
    finally:
        owned.set_budget(before)
