"""A replay by several processes: the records of one, no more and no less."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.builders import Talk, ethernet, pcap, vxlan
from tests.conftest import ROOT

OF_SHARES = {"flows_peak", "python_calls", "parsers_refused"}  # each process has its own


def sensor(*words: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "sensor", "replay", *words], capture_output=True, cwd=ROOT, timeout=120
    )


def records(folder: Path) -> dict[str, list[str]]:
    return {path.name: sorted(path.read_text().splitlines()) for path in folder.glob("*.log")}


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Connections with holes and late copies, some mirrored twice, all at a time: one clock for all shares."""
    chance = random.Random(7)
    frames = []
    for i in range(60):
        turns = [(j % 2 == 0, b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % j if j % 2 == 0 else
                  b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300) for j in range(20)]  # fmt: skip
        talk = (
            Talk(sport=20000 + i, dport=80, start=1_800_000_000.0 + chance.random()).open().say(turns, most=100).close()
        )
        for vni in (i % 5, 9)[: 1 + (i % 3 == 0)]:
            for n, (at, _, packet) in enumerate(talk.packets):
                late = chance.choice([0, 0, 0, 0.1, 0.24, 0.26])
                if chance.random() > 0.05:
                    frames.append((at + n * 0.05 + late, vxlan(ethernet(packet), vni=vni)))
    path = tmp_path_factory.mktemp("lossy") / "lossy.pcap"
    path.write_bytes(pcap(sorted(frames)))
    return path


@pytest.mark.parametrize("what", ["pcaps", "lossy"])
@pytest.mark.parametrize("workers", ["2", "3"])
def test_records_are_those_of_one_process(what: str, workers: str, lossy: Path, tmp_path: Path) -> None:
    source = str(lossy) if what == "lossy" else what
    one = sensor(source, "--output", str(tmp_path / "one"))
    many = sensor(source, "--output", str(tmp_path / "many"), "--workers", workers)
    assert (one.returncode, many.returncode) == (0, 0), many.stderr
    want, got = records(tmp_path / "one"), records(tmp_path / "many")
    (stats,), (stats_of_many,) = ([json.loads(line) for line in found.pop("stats.log")] for found in (want, got))
    assert got == want and len(got) > 1
    assert what != "lossy" or any("twin_uid" in line for line in got["conn.log"])
    assert {k: v for k, v in stats_of_many.items() if k not in OF_SHARES} == {
        k: v for k, v in stats.items() if k not in OF_SHARES
    }
    assert many.stderr == one.stderr


def test_all_kinds_may_go_to_one_stream_in_either_format() -> None:
    def canonical(found: list[Any]) -> list[str]:
        return sorted(json.dumps(r, sort_keys=True) for r in found if r["_path"] != "stats")

    one = canonical([json.loads(line) for line in sensor("-q", "pcaps").stdout.splitlines()])
    text = canonical([json.loads(line) for line in sensor("-q", "pcaps", "--workers", "2").stdout.splitlines()])
    unpacker = msgpack.Unpacker()
    unpacker.feed(sensor("-q", "pcaps", "--workers", "2", "--format", "msgpack").stdout)
    binary = canonical(list(unpacker))
    assert text == one
    assert len(binary) == len(one)


def test_files_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        assert sensor("-q", "pcaps/http/nginx-curl.pcap", "--output", str(tmp_path), "--workers", "2").returncode == 0
    assert len((tmp_path / "http.log").read_text().splitlines()) == len(
        sensor("-q", "pcaps/http/nginx-curl.pcap", "--only", "http").stdout.splitlines()
    )


def test_standard_input_is_for_one_process() -> None:
    done = sensor("-", "--workers", "2")
    assert done.returncode == 2 and b"leave --workers out" in done.stderr


def test_a_file_that_is_no_capture_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "words.pcap").write_text("no capture at all, but some words\n" * 9)
    done = sensor(str(tmp_path / "words.pcap"), "pcaps/http/nginx-curl.pcap", "--workers", "2")
    assert done.returncode == 1
    assert done.stderr.count(b"is no capture") == 1


def test_a_closed_pipe_ends_it_without_a_word() -> None:
    words = [sys.executable, "-m", "sensor", "replay", "-q", *["pcaps"] * 1, "--workers", "2"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stderr is not None
    with process.stdout, process.stderr:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == -signal.SIGPIPE


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    """Stats too, or not."""
    for kinds in ("conn", "conn,stats"):
        done = sensor("pcaps", "--output", str(tmp_path / kinds), "--workers", "2", "--only", kinds)
        assert done.returncode == 0 and b"Traceback" not in done.stderr
        assert {path.stem for path in (tmp_path / kinds).iterdir()} == set(kinds.split(","))
