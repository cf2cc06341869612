"""Inputs that somebody made up to break it: each did, once."""

import struct

import pytest

from tests.builders import ACK, PSH, START, Talk, Turns, connection, ethernet, ip, tcp
from tests.conftest import Run, run

SSL_REQUEST = struct.pack(">II", 8, 80877103)
NOTHING = {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0}


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
