"""``cloudmri verify``: tshark's second opinion, and what a user sees of it."""

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from sensor.errors import CaptureError, UsageError
from sensor.verify import Connection, Disagreement, compare, verify
from tests.builders import START, connection, ethernet, ip, pcap, udp, vxlan
from tests.conftest import PCAPS, ROOT, need
from tests.parsers.test_postgresql import DONE, LOGIN, READY, message
from tests.test_cli import SENSOR, sensor

HTTP = str(ROOT / "pcaps/http/nginx-curl.pcap")
HERE = Connection("tcp", ("10.0.0.1", 1025), ("10.0.0.2", 80), "VNI 7")


@pytest.mark.parametrize("capture", PCAPS, ids=[path.stem for path in PCAPS])
def test_tshark_agrees_on_every_bundled_capture(capture: Path) -> None:
    need("tshark")
    found, count = verify(str(capture))
    if capture.stem == "tunnel":  # docs/verify.md: what WebSockets carry is not looked into
        assert {one.field.partition(".")[0] for one in found} == {"http", "ssl"}
        found = [one for one in found if one.tshark]
    assert found == []
    assert count >= 9


def test_agreement_is_exit_code_0() -> None:
    need("tshark")
    done = sensor("verify", HTTP)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().endswith("values compared, 0 disagreements\n")


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """PostgreSQL at a port where tshark does not look for it."""
    turns = [*LOGIN, (True, message(b"Q", b"select 1\0")), (False, DONE + READY), (True, message(b"X", b""))]
    path = tmp_path / "elsewhere.pcap"
    path.write_bytes(pcap(connection(turns, dport=5433).frames()))
    return str(path)


def test_a_disagreement_is_told_by_connection_field_and_packets(elsewhere: str) -> None:
    need("tshark")
    done = sensor("verify", "--json", elsewhere)
    assert done.returncode == 1
    told = {one["field"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert set(told) == {"postgresql.user", "postgresql.database", "postgresql.frontend_arg"}
    assert told["postgresql.frontend_arg"]["cloudmri"] == ["select 1"]
    assert told["postgresql.frontend_arg"]["tshark"] == []
    assert told["postgresql.frontend_arg"]["packets"][0] == 1
    words = sensor("verify", elsewhere).stdout.decode()
    assert "postgresql.frontend_arg\n  cloudmri ['select 1']\n  tshark   []\n  packets  1, " in words
    assert sensor("verify", elsewhere, "-d", "tcp.port==5433,pgsql").returncode == 0


def test_values_are_compared_like_the_lines_of_a_file() -> None:
    ours = {(HERE, "http.uri"): [("/a", 0), ("/b", 0), ("/d", 0)], (HERE, "ssl.ja3"): [("x", 0), ("y", 0)]}
    theirs = {
        (HERE, "http.uri"): [("/a", 4), ("/c", 8), ("/d", 9), ("/e", 12)],
        (HERE, "ssl.ja3"): [("y", 5), ("x", 6)],
    }
    assert list(compare(ours, theirs, {HERE: (1, 20)})) == [
        Disagreement(HERE, "http.uri", ["/b"], ["/c"], [8]),
        Disagreement(HERE, "http.uri", [], ["/e"], [12]),
    ]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([__file__], "is no capture"),
        ([HTTP, "--only", "htpt"], "did you mean 'http'?"),
        ([HTTP, "-d", "8080"], "udp.port==4433,dtls"),
        ([HTTP, "-d", "no.such==1,http"], "see: tshark -d no.such==1,http"),
    ],
)
def test_what_cannot_be_compared_is_exit_code_2(words: list[str], hint: str) -> None:
    need("tshark")
    done = subprocess.run([*SENSOR, "verify", *words], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert hint in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("cut", [15, 20, 28, 36, 43, 46, 60, 70])
def test_headers_that_are_cut_short_are_borne(cut: int, tmp_path: Path) -> None:
    need("tshark")
    inner = ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1000, 2000, b"abc")))
    path = tmp_path / "short.pcap"
    path.write_bytes(pcap([(START, inner[:cut]), (START, vxlan(inner)[:cut])]))
    verify(str(path))


@pytest.mark.parametrize("status", [255, 2])
def test_a_lost_exit_status_is_asked_for_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio says 255 when a program ended just before it was told to; tshark itself never does."""
    need("tshark")
    capture = importlib.import_module("pyshark.capture.capture")  # of the extra that the tests install

    async def cleanup(self: object, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()  # else the loop may end before it, and asyncio complains
        raise capture.TSharkCrashException(f"TShark (pid 1) seems to have crashed (retcode: {status}).")

    monkeypatch.setattr(capture.Capture, "_cleanup_subprocess", cleanup)
    if status == 255:
        assert verify(HTTP)[0] == []
    else:
        with pytest.raises(CaptureError, match="cannot read it to the end; see: tshark -r"):
            verify(HTTP)


def test_a_directory_is_no_capture() -> None:
    with pytest.raises(UsageError, match="one capture at a time"):
        verify(str(ROOT))


def test_without_tshark_it_says_what_to_install() -> None:
    env = os.environ | {"PATH": "/nowhere"}
    done = subprocess.run([*SENSOR, "verify", HTTP], capture_output=True, cwd="/", check=False, env=env)
    assert done.returncode == 2
    assert "apt install tshark" in done.stderr.decode()


def test_json_lines_are_json(elsewhere: str) -> None:
    need("tshark")
    for line in sensor("verify", "--json", elsewhere).stdout.splitlines():
        assert set(json.loads(line)) == {"connection", "field", "cloudmri", "tshark", "packets"}
