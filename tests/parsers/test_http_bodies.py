"""What is told of HTTP bodies: their kind, their hash, and all headers where they were asked for."""

import gzip
import hashlib
import itertools
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from parsers.shared import content_codings
from tests.builders import Talk, Turns, connection
from tests.conftest import Record, run

PAGE = b"<!DOCTYPE html>\n<title>Tea</title>\n" + b"<p>green, black, white</p>\n" * 400
RAW = zlib.compressobj(wbits=-15)
PACKED = {
    "identity": PAGE,
    "gzip": gzip.compress(PAGE),
    "x-gzip": gzip.compress(PAGE),
    "deflate": zlib.compress(PAGE),
    "Deflate": RAW.compress(PAGE) + RAW.flush(),  # without zlib's head, as some servers send it
    "br": brotli.compress(PAGE),
    "zstd": zstandard.compress(PAGE),
}


def answer(body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), head, body)


def chunked(body: bytes, size: int, head: bytes = b"") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n" + data + b"0\r\n\r\n"


def ask(*answers: bytes, request: bytes = b"GET / HTTP/1.1\r\n\r\n", **options: bool) -> Record:
    turns: Turns = [(True, request), *((False, part) for part in answers)]
    return run(connection(turns, dport=80).frames(), **options).one("http")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\1\0\1\0", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/x-wav"),
        (b"MZ\x90\0\3\0\0\0", "application/x-dosexec"),
        (b"\x7fELF\2\1\1\0", "application/x-executable"),
        (b"PK\3\4\x14\0", "application/zip"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\x1f\x8b\x08\0", "application/x-gzip"),
        (b"\0" * 257 + b"ustar\0" + b"0" * 300, "application/x-tar"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"  <HTML><body>", "text/html"),
        (b"<!doctype HTML>", "text/html"),
        (b"<abbr>no anchor", "text/plain"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "application/xml"),
        (b'{"a": 1}', "text/json"),
        (b'\r\n [ {"a": 1} ]', "text/json"),
        (b"[section]\nkey=1\n", "text/plain"),
        (b"#!/bin/sh\necho\n", "text/x-shellscript"),
        (b"-----BEGIN CERTIFICATE-----\n", "application/x-pem"),
        (b"hello", "text/plain"),
        ("grün".encode(), "text/plain"),
        (b"BM is a town", "text/plain"),
        (b"\1\2\3\4", None),
        (bytes(600), None),
        (b"", None),
    ],
)
def test_a_body_is_known_by_its_first_bytes(body: bytes, kind: str | None) -> None:
    record = ask(answer(body), request=b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert record.get("resp_mime_types") == ([kind] if kind else None)
    assert record.get("orig_mime_types") == ([kind] if kind else None)


@pytest.mark.parametrize("where", [3, 20, 33, 46])
def test_one_byte_that_text_has_not_is_enough(where: int) -> None:
    """47 bytes: two vectors and what is left, which is looked at with some of the second."""
    for byte in range(256):
        body = b"x" * where + bytes([byte]) + b"y" * (46 - where)
        is_text = byte >= 32 or 9 <= byte <= 13 or byte == 27
        assert ask(answer(body)).get("resp_mime_types") == (["text/plain"] if is_text else None), byte


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_kind_and_hash_are_those_of_the_body_without_its_coding(coding: str, framing: str) -> None:
    body, head = PACKED[coding], b"Content-Encoding: %s\r\n" % coding.encode()
    data = {
        "length": answer(body, head),
        "chunks": chunked(body, 100, head),
        "close": b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body,
    }[framing]
    record = ask(data, http_sha256=True)
    assert record["resp_mime_types"] == ["text/html"]
    assert record["response_sha256"] == hashlib.sha256(PAGE).hexdigest()
    unseen = ask(data)
    assert unseen["resp_mime_types"] == ["text/html"]
    assert "response_sha256" not in unseen
    assert unseen["response_body_len"] == record["response_body_len"]


@given(st.sampled_from(sorted(PACKED)), st.integers(1, 2000), st.lists(st.integers(1, 3000), max_size=8))
def test_any_split_gives_the_same(coding: str, chunk: int, cuts: list[int]) -> None:
    data = chunked(PACKED[coding], chunk, b"Content-Encoding: %s\r\n" % coding.encode())
    edges = [0, *sorted(set(cuts)), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges) if data[a:b]]
    record = ask(*pieces, http_sha256=True)
    assert record["response_sha256"] == hashlib.sha256(PAGE).hexdigest()
    assert record["resp_mime_types"] == ["text/html"]


@pytest.mark.parametrize("size", [0, 1, 3, 100, 511, 512, 513, 5000])
def test_a_body_with_a_hole_has_its_length_and_no_hash(size: int) -> None:
    """The framing stays known: the next transaction is read."""
    reply = answer(PAGE)
    cut = len(reply) - len(PAGE) + size
    talk = Talk(dport=80).open().say([(True, b"GET / HTTP/1.1\r\n\r\n" * 2), (False, reply[:cut])])
    talk.resp_seq += 200  # lost at the mirror: the client has them
    talk.say([(False, reply[cut + 200 :] + answer(b"next"))]).close()
    first, second = run(talk.frames(), http_sha256=True).of("http")
    assert first["response_body_len"] == len(PAGE)
    assert "response_sha256" not in first
    assert second["response_sha256"] == hashlib.sha256(b"next").hexdigest()


@pytest.mark.parametrize(("size", "seen", "lost"), [(400, 0, 500), (3000, 100, 3000), (3000, 2000, 1100)])
def test_a_hole_beyond_the_end_of_a_body_leaves_its_length(size: int, seen: int, lost: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    talk = Talk(dport=80).open().say([(True, b"GET /a HTTP/1.1\r\n\r\n"), (False, head + b"x" * seen)])
    talk.resp_seq += lost
    talk.say([(True, b"GET /b HTTP/1.1\r\n\r\n"), (False, answer(b"abc"))]).close()
    assert [r["response_body_len"] for r in run(talk.frames()).of("http")] == [size, 3]


@pytest.mark.parametrize(
    "body",
    [gzip.compress(PAGE)[:-9], b"no gzip at all", b"", gzip.compress(PAGE)[:30] + b"\xff" * 500],
)
def test_what_cannot_be_unpacked_has_no_hash(body: bytes) -> None:
    record = ask(answer(body, b"Content-Encoding: gzip\r\n"), http_sha256=True)
    assert "response_sha256" not in record
    assert "response_sha256" not in ask(answer(body, b"Content-Encoding: compress\r\n"), http_sha256=True)


A, B = PAGE, b"another body"


@pytest.mark.parametrize(
    ("coding", "body", "plain"),
    [
        (b"gzip", gzip.compress(A) + gzip.compress(B), A + B),
        (b"zstd", zstandard.compress(A) + zstandard.compress(B), A + B),
        (b"gzip", gzip.compress(A) + b"JUNK" * 20, None),
        (b"zstd", zstandard.compress(A) + b"JUNK" * 20, None),
        (b"deflate", zlib.compress(A) + zlib.compress(B), None),
        (b"br", brotli.compress(A) + b"JUNK" * 20, None),
    ],
)
def test_what_stands_behind_the_end_is_part_of_the_body_or_spoils_it(
    coding: bytes, body: bytes, plain: bytes | None
) -> None:
    record = ask(answer(body, b"Content-Encoding: " + coding + b"\r\n"), http_sha256=True)
    assert record.get("response_sha256") == (hashlib.sha256(plain).hexdigest() if plain else None)


def test_bytes_behind_the_end_of_a_gzip_are_not_gathered() -> None:
    reader = content_codings.Hash("gzip")
    with pytest.raises(zlib.error):
        for piece in (gzip.compress(b"x"), *[b"junk" * 350] * 6000):
            reader.feed(piece)


def test_two_codings_one_over_the_other_are_not_taken_off() -> None:
    twice = b"Content-Encoding: gzip\r\nContent-Encoding: br\r\n"
    record = ask(answer(brotli.compress(gzip.compress(A)), twice), http_sha256=True)
    assert "resp_mime_types" not in record and "response_sha256" not in record
    none = b"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n"
    assert ask(answer(gzip.compress(A), none))["resp_mime_types"] == ["text/html"]


def test_decoders_of_all_bodies_have_one_budget() -> None:
    before = content_codings.Hash.held
    readers = []
    with pytest.raises(ValueError, match="too many"):
        while True:
            readers.append(content_codings.Hash("zstd"))
    assert 4 <= len(readers) <= 32
    assert content_codings.Hash("").cost == 0
    readers.clear()
    assert content_codings.Hash.held == before


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_unpacked_piece_by_piece_and_given_up(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[coding]
    bomb = pack(b"\0" * (64 << 20))
    decoder = content_codings.DECODERS[coding]()
    pieces = itertools.chain(decoder.feed(bomb), decoder.end() if coding == "br" else ())
    assert max(map(len, itertools.islice(pieces, 200))) <= 16 << 20
    monkeypatch.setattr(content_codings, "MOST", 1 << 20)
    record = ask(answer(bomb, b"Content-Encoding: " + coding.encode() + b"\r\n"), http_sha256=True)
    assert "response_sha256" not in record
    assert record["status_code"] == 200


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131072, 3 * 65536])
def test_a_raw_body_may_end_where_a_piece_of_it_does(size: int) -> None:
    raw = zlib.compressobj(wbits=-15)
    reader = content_codings.Hash("deflate")
    reader.feed(raw.compress(bytes(size)) + raw.flush())
    assert reader.finish() == hashlib.sha256(bytes(size)).hexdigest()


@pytest.mark.parametrize("window", range(10, 25))
@pytest.mark.parametrize(
    "body", [b"", PAGE, bytes(1_000_000), bytes(300_000) + PAGE], ids=["none", "page", "0", "long"]
)
def test_brotli_is_hashed_whatever_its_window_and_however_it_is_cut(window: int, body: bytes) -> None:
    packed = brotli.compress(body, lgwin=window, quality=5)
    for size in (1, 7, len(packed)):
        reader = content_codings.Hash("br")
        for at in range(0, len(packed), size):
            reader.feed(packed[at : at + size])
        assert reader.finish() == hashlib.sha256(body).hexdigest()
    assert content_codings.first_bytes("br", packed, 512) == body[:512]


@pytest.mark.parametrize("window", [18, 20, 22, 24])
def test_looking_at_a_brotli_bomb_fills_a_small_window_only(window: int) -> None:
    """The decoder fills its window before it stops: of 16 MiB in 28 ms."""
    bomb = brotli.compress(bytes(32 << 20), lgwin=window)
    assert content_codings.brotli_window(bomb) == window
    assert content_codings.brotli_window(content_codings.narrowed(bomb, 512)) == 18
    reader = content_codings.Hash("br")
    with pytest.raises(ValueError, match="too large"):
        reader.feed(bomb)
        reader.finish()
    assert reader.size <= 2 * content_codings.LARGE


def test_headers_come_with_their_values_when_asked_for() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Trace:  one two \r\nCookie: s=1\r\nAuthorization: Basic YTpi\r\n\r\n"
    reply = b"HTTP/1.1 204 No\r\nServer: x\r\nset-cookie: t=2\r\n\r\n"
    record = ask(reply, request=request, http_headers=True)
    assert record["request_headers"] == ["Host: a", "X-Trace: one two", "Cookie: ***", "Authorization: ***"]
    assert record["response_headers"] == ["Server: x", "set-cookie: ***"]
    shown = ask(reply, request=request, http_headers=True, secrets=True)
    assert shown["request_headers"][2:] == ["Cookie: s=1", "Authorization: Basic YTpi"]
    assert "request_headers" not in ask(reply, request=request)


@pytest.mark.parametrize(
    "name",
    [b" Cookie", b"Cookie ", b"Cookie\x0b", b"\tAuthorization", b"Authorization\0", b"Cookie2", b"X-Api-Key",
     b"X-Amz-Security-Token", b"x-aws-ec2-metadata-token", b"Proxy-Authorization", b"Set-Cookie"],
)  # fmt: skip
def test_secrets_in_odd_spellings_are_masked(name: bytes) -> None:
    request = b"GET / HTTP/1.1\r\n" + name + b": S3CR3T\r\nHost: a\r\n\r\n"
    record = ask(answer(b""), request=request, http_headers=True)
    assert "S3CR3T" not in str(record)
    assert record["host"] == "a"


def test_what_stands_behind_a_bare_cr_is_not_told() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\rCookie: S3CR3T\r\nX: b\r\r\n\r\n"
    got = run(connection([(True, request), (False, answer(b""))], dport=80).frames(), http_headers=True)
    assert got.one("weird")["name"] == "HTTP_bare_CR"
    assert got.one("http")["request_headers"] == ["Host: a", "X: b"]
    assert got.one("http")["host"] == "a"


def test_what_goes_on_with_a_secret_that_is_too_long_is_no_header() -> None:
    request = b"GET / HTTP/1.1\r\nCookie: " + b"a" * 17000 + b"\r\n ; S3CR3T=x: y\r\n\tS3CR3T: z\r\nHost: a\r\n\r\n"
    record = ask(answer(b""), request=request, http_headers=True)
    assert "S3CR3T" not in str(record)
    assert record["client_header_names"] == ["COOKIE", "HOST"]


def test_a_long_header_is_cut_where_a_character_ends() -> None:
    request = b"GET / HTTP/1.1\r\nX: " + "ü".encode() * 5000 + b"\r\n\r\n"
    record = ask(answer(b""), request=request, http_headers=True)
    (header,) = record["request_headers"]
    assert record["_cut"] == ["request_headers"]
    assert header.startswith("X: üü") and set(header[3:]) == {"ü"}


def test_memory_of_unfinished_bodies_is_given_back() -> None:
    """Flows that end while their bodies are looked at or hashed."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Encoding: gzip\r\n\r\n"
    turns: Turns = [(True, b"GET / HTTP/1.1\r\n\r\n"), (False, head + PACKED["gzip"][:90])]
    talks = [Talk(dport=80, sport=port).open().say(turns) for port in range(1025, 1225)]
    got = run([frame for talk in talks for frame in talk.frames()], http_sha256=True)
    assert [r["response_body_len"] for r in got.of("http")] == [90] * 200
