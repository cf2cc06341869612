"""HTTP/2 in clear against the truth: what nginx logged, what nghttpd was asked for, and what lies on the disk."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Record, Run
from tests.truth.lab import SERVER, Lab, need_lab, workshop
from tests.truth.nginx import FILES, KINDS, logged, serve

NGINX, PLAIN, PROXY = f"http://{SERVER}", f"http://{SERVER}:8080", f"http://{SERVER}:8081"
SMALL = [name for name in FILES if name != "big.bin"]


def curl(lab: Lab, *words: str) -> None:
    """One connection each: this curl cannot use one again without TLS."""
    lab.client("curl", "-sS", "--no-progress-meter", "--http2-prior-knowledge", "-o", f"{lab.work}/got", *words)


def talk_to_nginx(lab: Lab) -> None:
    every = [f"{NGINX}/{name}" for name in FILES]
    for url in every:
        curl(lab, url)
        curl(lab, "--compressed", url)
        curl(lab, "-I", url)
    for path in ("moved?to=%2Fpage", "gone", "no%20such"):
        curl(lab, f"{NGINX}/{path}")
    curl(lab, "-r", "100-299", f"{NGINX}/big.bin")
    curl(lab, "-T", f"{lab.work}/www/big.bin", f"{NGINX}/put")
    curl(lab, "-d", "name=ana&what=tea", f"{NGINX}/put/form")
    curl(lab, "-u", "ana:tea", f"{NGINX}/small.html")
    lab.client("nghttp", "-n", "-m", "8", *every)  # all at once, eight times over
    lab.client("h2load", "-n", "100", "-c", "2", "-m", "20", f"{NGINX}/page.html", f"{NGINX}/dot.png")
    lab.client("h2load", "-n", "40", "-c", "1", "-m", "1", "-H", "accept-encoding: gzip", *every)  # one after another


def talk_to_nghttpd(lab: Lab) -> None:
    """Padding, no Content-Length, trailers, a pushed file and an upload that comes back."""
    words = ["--no-tls", "--padding=200", "--no-content-length", "--trailer", "grpc-status: 7", "--echo-upload"]
    lab.server("nghttpd", *words, "-p", "/small.html=/dot.png", "-d", f"{lab.work}/www", "8080", ready=8080)
    lab.client("nghttp", "-n", "--padding=100", *[f"{PLAIN}/{name}" for name in SMALL])
    lab.client(
        "nghttp", "-n", "-H", "content-type: application/grpc", "-d", f"{lab.work}/www/dot.png", f"{PLAIN}/tea.Shop/Buy"
    )


def talk_to_nghttpx(lab: Lab) -> None:
    """Upgrades from HTTP/1.1, of a GET and of an upload: what they ask for is the first stream's."""
    backend = f"{SERVER},8080;;proto=h2"
    lab.server("nghttpx", "--conf=/dev/null", "-f", f"{SERVER},8081;no-tls", "-b", backend, ready=8081)
    lab.client("nghttp", "-nu", f"{PROXY}/page.html", f"{PROXY}/small.html")
    lab.client("curl", "-sS", "--http2", "-o", f"{lab.work}/got", f"{PROXY}/empty.bin")
    lab.client("nghttp", "-nu", "-d", f"{lab.work}/www/small.html", f"{PROXY}/echo")


Truth = tuple[list[Record], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def truth() -> Truth:
    need_lab("nginx", "curl", "nghttp", "nghttpd", "nghttpx", "h2load")
    with workshop() as work, Lab(work) as lab:
        serve(lab, "http2")
        with lab.record() as seen:
            talk_to_nginx(lab)
            talk_to_nghttpd(lab)
            talk_to_nghttpx(lab)
        run = Run(seen.read_bytes(), secrets=True, http_sha256=True)
        assert not run.of("weird")
        assert run.counters()["missed_bytes"] == 0  # else it is the mirror that lost some
        return run.of("http"), logged(work)


def at(truth: Truth, port: int) -> list[Record]:
    return [r for r in truth[0] if r["id.resp_p"] == port]


def test_every_stream_that_nginx_logged_is_told_and_no_other(truth: Truth) -> None:
    log = truth[1]
    assert len(log) == 202
    want = Counter((e["method"], e["uri"], e["host"], e["agent"], e["status"]) for e in log)
    got = Counter(
        (r["method"], r.get("original_uri", r["uri"]), r["host"], r.get("user_agent", ""), r["status_code"])
        for r in at(truth, 80)
    )
    assert got == want
    assert {r["version"] for r in at(truth, 80)} == {"2"}


def test_bytes_are_those_that_nginx_sent(truth: Truth) -> None:
    want = Counter((e["uri"], e["status"], e["sent"]) for e in truth[1])
    got = Counter(
        (r.get("original_uri", r["uri"]), r["status_code"], r.get("response_encoded_len", r["response_body_len"]))
        for r in at(truth, 80)
    )
    assert got == want


@pytest.mark.parametrize("port", [80, 8080, 8081])
def test_hashes_and_kinds_are_those_of_the_files(truth: Truth, port: int) -> None:
    seen = set()
    for r in at(truth, port):
        name = Path(r.get("uri", "")).name
        pushed = r.get("stream_id", 1) % 2 == 0  # the client may not want it
        if r.get("method") != "GET" or r["status_code"] != 200 or pushed or not FILES[name]:
            continue
        seen.add((name, "response_encoded_len" in r))
        assert r["response_sha256"] == hashlib.sha256(FILES[name]).hexdigest()
        assert r["response_body_len"] == len(FILES[name])
        assert r.get("resp_mime_types", [None])[0] == KINDS.get(name.partition(".")[2])
    assert ("small.html", False) in seen
    assert (("page.html", True) in seen) == (port == 80)


def test_what_was_uploaded_is_told(truth: Truth) -> None:
    got = {(r["request_body_len"], r.get("request_sha256")) for r in at(truth, 80) if r["uri"].startswith("/put")}
    assert got == {(len(body), hashlib.sha256(body).hexdigest()) for body in (FILES["big.bin"], b"name=ana&what=tea")}
    assert [(r["username"], r["password"]) for r in at(truth, 80) if "username" in r] == [("ana", "tea")]


def told(records: list[Record]) -> Counter[tuple[str, str | None, int]]:
    return Counter((r["version"], r.get("uri"), r["status_code"]) for r in records)


def test_what_nghttpd_was_asked_for_is_told_and_no_other(truth: Truth) -> None:
    """The pushed file has a stream of its own."""
    want = [*SMALL, "dot.png", "tea.Shop/Buy"]
    assert told(at(truth, 8080)) == Counter(("2", f"/{name}", 200) for name in want)


def test_an_upgrade_is_told_on_both_of_its_sides(truth: Truth) -> None:
    """The request is one of HTTP/1.1, its answer is stream 1 (RFC 7540, 3.2)."""
    records = [r for r in at(truth, 8081) if r.get("stream_id", 1) % 2]
    asked = [("/page.html", 200), ("/empty.bin", 200), ("*", 404)]
    want = Counter([("1.1", uri, 101) for uri, _ in asked] + [("2", None, status) for _, status in asked])
    assert told(records) == want + Counter([("2", "/small.html", 200), ("2", "/echo", 200)])
    hashes = [r.get("response_sha256") for r in records if r.get("stream_id") == 1 and r["status_code"] == 200]
    assert sorted(filter(None, hashes)) == [hashlib.sha256(FILES["page.html"]).hexdigest()]


def test_a_grpc_call_is_told(truth: Truth) -> None:
    (record,) = [r for r in at(truth, 8080) if "grpc_service" in r]
    body = FILES["dot.png"]
    assert (record["grpc_service"], record["grpc_method"], record["grpc_status"]) == ("tea.Shop", "Buy", 7)
    assert record["request_body_len"] == record["response_body_len"] == len(body)
    assert record["request_sha256"] == record["response_sha256"] == hashlib.sha256(body).hexdigest()
