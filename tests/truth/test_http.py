"""HTTP against the truth: what nginx logged, what curl saved and what lies on the server's disk is in the records."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Record, Run
from tests.truth.lab import SERVER, Lab, need_lab, workshop
from tests.truth.nginx import FILES, KINDS, logged, serve


def ask(lab: Lab, *words: str) -> None:
    lab.client("curl", "-sS", "-o", f"{lab.work}/got", "--no-progress-meter", *words)


def talk(lab: Lab) -> None:
    """What a browser, a script and an uploader do."""
    every = [f"http://{SERVER}/{name}" for name in FILES]
    for url in every:
        ask(lab, url)
        ask(lab, "--compressed", url)
        ask(lab, "-I", url)
    lab.client("curl", "-sS", "--compressed", "-A", "one connection", *[word for url in every * 5 for word in
                                                                       ("-o", f"{lab.work}/got", url)])  # fmt: skip
    ask(lab, "-L", f"http://{SERVER}/moved?to=%2Fpage")
    ask(lab, f"http://{SERVER}/gone")
    ask(lab, f"http://{SERVER}/no%20such")
    ask(lab, "--http1.0", f"http://{SERVER}/page.html")
    ask(lab, "-r", "100-299", f"http://{SERVER}/big.bin")
    ask(lab, "-T", f"{lab.work}/www/dot.png", f"http://{SERVER}/put")
    ask(lab, "-H", "Transfer-Encoding: chunked", "-T", f"{lab.work}/www/big.bin", f"http://{SERVER}/put")
    ask(lab, "-d", "name=ana&what=tea", f"http://{SERVER}/put/form")
    ask(lab, "-u", "ana:tea", f"http://{SERVER}/small.html")


Truth = tuple[list[Record], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def truth() -> Truth:
    need_lab("nginx", "curl")
    with workshop() as work, Lab(work) as lab:
        serve(lab)
        with lab.record() as seen:
            talk(lab)
        records = Run(seen.read_bytes(), secrets=True, http_sha256=True).of("http")
        return records, logged(work)


def test_every_request_that_nginx_logged_is_told_and_no_other(truth: Truth) -> None:
    records, log = truth
    assert len(log) == 50
    want = sorted((e["method"], e["uri"], e["host"], e["agent"], e["status"]) for e in log)
    got = sorted(
        (r["method"], r.get("original_uri", r["uri"]), r["host"], r.get("user_agent", ""), r["status_code"])
        for r in records
    )
    assert got == want


def test_bytes_are_those_that_nginx_sent(truth: Truth) -> None:
    """nginx counts the framing of packed bodies, whose size the next test tells, and a 100 Continue of uploads."""
    records, log = truth
    want = sorted((e["uri"], e["status"], e["sent"]) for e in log if not e["packed"] and e["status"] != 201)
    got = sorted(
        (r.get("original_uri", r["uri"]), r["status_code"], r["response_body_len"])
        for r in records
        if "response_encoded_len" not in r and r["status_code"] != 201
    )
    assert got == want


def test_hashes_and_kinds_are_those_of_the_files(truth: Truth) -> None:
    records, _ = truth
    seen = set()
    for r in records:
        name = Path(r["uri"]).name
        if r["method"] != "GET" or r["status_code"] != 200 or not FILES[name]:
            continue
        seen.add((name, "response_encoded_len" in r))
        assert r["response_sha256"] == hashlib.sha256(FILES[name]).hexdigest()
        assert r["response_body_len"] == len(FILES[name])
        assert r.get("resp_mime_types", [None])[0] == KINDS.get(name.partition(".")[2])
    assert ("page.html", True) in seen and ("page.html", False) in seen and ("big.bin", False) in seen


def test_what_was_uploaded_is_told(truth: Truth) -> None:
    records, _ = truth
    got = {(r["request_body_len"], r.get("request_sha256")) for r in records if r["uri"].startswith("/put")}
    bodies = (FILES["dot.png"], FILES["big.bin"], b"name=ana&what=tea")
    assert got == {(len(body), hashlib.sha256(body).hexdigest()) for body in bodies}


def test_a_login_is_told(truth: Truth) -> None:
    records, log = truth
    want = [e["user"] for e in log if e["user"]]
    assert [r["username"] for r in records if "username" in r] == want == ["ana"]
    assert [r["password"] for r in records if "password" in r] == ["tea"]


def test_transactions_of_one_connection_are_counted(truth: Truth) -> None:
    records, log = truth
    assert max(r["trans_depth"] for r in records) == max(e["n"] for e in log) == 25
