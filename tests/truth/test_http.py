"""HTTP against the truth: what nginx logged, what curl saved and what lies on the server's disk is in the records."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Record, Run
from tests.truth.lab import SERVER, Lab, need_lab, workshop

CONFIG = """
daemon off; worker_processes 1; pid {work}/pid; error_log {work}/error.log;
events {{ worker_connections 64; }}
http {{
  log_format truth escape=json '{{"method":"$request_method","uri":"$request_uri","host":"$http_host",'
    '"agent":"$http_user_agent","status":$status,"sent":$body_bytes_sent,"user":"$remote_user","packed":"$gzip_ratio",'
    '"got":"$request_length","type":"$sent_http_content_type","connection":$connection,"n":$connection_requests}}';
  access_log {work}/access.log truth;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  types {{ text/html html; image/png png; application/octet-stream bin; }}
  client_max_body_size 64m;
  gzip on; gzip_types text/html; gzip_min_length 100; gzip_comp_level 9;
  keepalive_requests 1000;
  server {{
    listen {server}:80; root {work}/www;
    location /moved {{ return 302 /page.html; }}
    location /gone {{ return 410 "gone"; }}
    location /put {{ proxy_pass http://{server}:81; }}
  }}
  server {{ listen {server}:81; access_log off; location / {{ return 201 "taken"; }} }}
}}
"""
FILES = {
    "page.html": b"<!DOCTYPE html>\n" + b"<p>green tea, black tea, white tea</p>\n" * 2000,
    "small.html": b"<html></html>\n",
    "dot.png": b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(40000),
    "big.bin": b"\1" + random.Random(2).randbytes(3_000_000),
    "empty.bin": b"",
}


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
        work.chmod(0o777)  # nginx drops its rights
        (work / "www").mkdir()
        for name, data in FILES.items():
            (work / "www" / name).write_bytes(data)
        (work / "nginx.conf").write_text(CONFIG.format(work=work, server=SERVER))
        lab.server("nginx", "-c", str(work / "nginx.conf"), ready=80)
        with lab.record() as seen:
            talk(lab)
        records = Run(seen.read_bytes(), secrets=True, http_sha256=True).of("http")
        return records, [json.loads(line) for line in (work / "access.log").read_text().splitlines()]


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
    kinds = {"html": "text/html", "png": "image/png"}
    seen = set()
    for r in records:
        name = Path(r["uri"]).name
        if r["method"] != "GET" or r["status_code"] != 200 or not FILES[name]:
            continue
        seen.add((name, "response_encoded_len" in r))
        assert r["response_sha256"] == hashlib.sha256(FILES[name]).hexdigest()
        assert r["response_body_len"] == len(FILES[name])
        assert r.get("resp_mime_types", [None])[0] == kinds.get(name.partition(".")[2])
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
