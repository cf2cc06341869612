"""nginx as a witness: what it served, and what it logged of it."""

import json
import random
from pathlib import Path
from typing import Any

from tests.truth.lab import SERVER, Lab

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
    listen {server}:80 {version}; root {work}/www;
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
KINDS = {"html": "text/html", "png": "image/png"}  # what their first bytes say


def serve(lab: Lab, version: str = "") -> None:
    """Serves FILES at port 80; ``version`` http2 is that alone, in clear."""
    lab.work.chmod(0o777)  # nginx drops its rights
    (lab.work / "www").mkdir()
    for name, data in FILES.items():
        (lab.work / "www" / name).write_bytes(data)
    config = lab.work / "nginx.conf"
    config.write_text(CONFIG.format(work=lab.work, server=SERVER, version=version))
    lab.server("nginx", "-c", str(config), ready=80)


def logged(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "access.log").read_text().splitlines()]
