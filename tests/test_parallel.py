"""A replay by several processes: the records of one, no more and no less."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.builders import Talk, ethernet, fragments, ip, pcap, udp, vxlan
from tests.conftest import ROOT

SERVER = "203.0.113.1"
OF_SHARES = {"flows_peak", "python_calls", "parsers_refused"}  # each process has its own


def sensor(*words: str, given: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "sensor", "replay", *words], capture_output=True, cwd=ROOT, timeout=120, input=given
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
@pytest.mark.parametrize("workers", ["2", "3", "4"])
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
    text = canonical([json.loads(line) for line in sensor("-q", "pcaps", "--workers", "3").stdout.splitlines()])
    unpacker = msgpack.Unpacker()
    unpacker.feed(sensor("-q", "pcaps", "--workers", "3", "--format", "msgpack").stdout)
    binary = canonical(list(unpacker))
    assert text == one
    assert len(binary) == len(one)


def test_files_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        assert sensor("-q", "pcaps/http/nginx-curl.pcap", "--output", str(tmp_path), "--workers", "3").returncode == 0
    assert len((tmp_path / "http.log").read_text().splitlines()) == len(
        sensor("-q", "pcaps/http/nginx-curl.pcap", "--only", "http").stdout.splitlines()
    )


def same(tmp_path: Path, *words: str, given: bytes | None = None) -> dict[str, list[str]]:
    """The records, which are the same of one process and of several; so are all counters but those of shares."""
    one = sensor("-q", *words, "--output", str(tmp_path / "one"), given=given)
    two = sensor("-q", *words, "--output", str(tmp_path / "two"), "--workers", "3", given=given)
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    want, got = records(tmp_path / "one"), records(tmp_path / "two")
    (stats,), (stats_of_two,) = ([json.loads(line) for line in found.pop("stats.log")] for found in (want, got))
    assert got == want
    assert {k: v for k, v in stats_of_two.items() if k not in OF_SHARES} == {
        k: v for k, v in stats.items() if k not in OF_SHARES
    }
    return got | {"stats": [json.dumps(stats)]}


def test_what_is_compressed_is_read_by_all(lossy: Path, tmp_path: Path) -> None:
    (tmp_path / "packed.gz").write_bytes(gzip.compress(lossy.read_bytes()))
    assert "http.log" in same(tmp_path / "packed", str(tmp_path / "packed.gz"))


def test_what_can_be_read_once_is_read_by_one(lossy: Path, tmp_path: Path) -> None:
    """Standard input, of a pipe and of a file, and a pipe with a name."""
    assert "http.log" in same(tmp_path / "stream", "-", given=lossy.read_bytes())
    want = records(tmp_path / "stream" / "one")
    words = [sys.executable, "-m", "sensor", "replay", "-q", "--workers", "3", "--output"]
    with lossy.open("rb") as file:
        subprocess.run([*words, str(tmp_path / "file"), "-"], stdin=file, cwd=ROOT, check=True, timeout=60)
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen([*words, str(tmp_path / "named"), str(tmp_path / "fifo")], cwd=ROOT) as process:
        (tmp_path / "fifo").write_bytes(lossy.read_bytes())
        assert process.wait(60) == 0
    assert records(tmp_path / "file") == records(tmp_path / "named") == want


def queries(n: int, size: int = 0) -> list[tuple[float, bytes]]:
    """Datagrams of many flows, 20 ms apart."""
    chance = random.Random(3)
    found = []
    for i in range(n):
        load = chance.randbytes(size or chance.randrange(20, 4000))
        found.append(
            (1_800_000_000 + i * 0.02, ip(f"10.0.{i % 7}.{i % 250}", SERVER, 17, udp(3000 + i % 90, 53, load)))
        )
    return found


def test_fragments_are_put_together_by_all(tmp_path: Path) -> None:
    frames = []
    for n, (at, packet) in enumerate(queries(2000)):
        pieces = fragments(packet, 520, n)
        random.Random(n).shuffle(pieces)
        frames += [(at + i * 1e-4, vxlan(ethernet(piece), vni=n % 5)) for i, piece in enumerate(pieces)]
    (tmp_path / "in.pcap").write_bytes(pcap(frames))
    stats = json.loads(same(tmp_path, str(tmp_path / "in.pcap"))["stats"][0])
    assert stats["datagrams_reassembled"] > 1000 and stats["flow_packets"] == 2000


@pytest.mark.parametrize(("number", "size", "files"), [(9000, 1400, 1), (9000, 1400, 3), (60000, 4, 1), (60000, 4, 2)])
def test_batches_end_anywhere(number: int, size: int, files: int, tmp_path: Path) -> None:
    """Where a stretch ends, and where another file goes on."""
    frames = [(at, ethernet(packet)) for at, packet in queries(number, size)]
    for n in range(files):
        (tmp_path / f"{n}.pcap").write_bytes(pcap(frames[n::files]))
    got = same(tmp_path, *map(str, tmp_path.glob("*.pcap")))
    assert json.loads(got["stats"][0])["flow_packets"] == number


def test_files_whose_packets_take_turns_are_one_capture(tmp_path: Path) -> None:
    frames = [(at, ethernet(packet)) for at, packet in queries(3000)]
    for n in range(3):
        (tmp_path / f"{n}.pcap").write_bytes(pcap(frames[n::3]))
    (tmp_path / "later.pcap").write_bytes(pcap([(at + 100, frame) for at, frame in frames]))
    assert json.loads(same(tmp_path, *map(str, tmp_path.glob("*.pcap")))["stats"][0])["packets"] == 6000


def test_a_clock_that_jumps_jumps_for_all(tmp_path: Path) -> None:
    """A capture behind one of a day later: flows end at once, at the same packets."""
    frames = [(at + shift, ethernet(packet)) for shift in (86400, 0) for at, packet in queries(500)]
    (tmp_path / "in.pcap").write_bytes(pcap(frames))
    same(tmp_path, str(tmp_path / "in.pcap"))


def test_tenants_filters_and_bounds_of_time_hold_for_all(tmp_path: Path) -> None:
    frames = [(at, vxlan(ethernet(packet), vni=n % 7)) for n, (at, packet) in enumerate(queries(3000))]
    (tmp_path / "in.pcap").write_bytes(pcap(frames))
    (tmp_path / "map.toml").write_text(
        '[[tenant]]\nname = "shop"\nvnis = [1, 2]\n[[tenant]]\nname = "bank"\nvnis = [3]\n'
    )
    got = same(tmp_path, str(tmp_path / "in.pcap"), "--tenant", f"map:{tmp_path / 'map.toml'}", "--filter",
               "port 3007 or port 3008", "--from", "1800000010")  # fmt: skip
    assert {json.loads(line).get("tenant") for line in got["conn.log"]} == {"shop", "bank", None}
    stats = json.loads(got["stats"][0])
    assert stats["drop_filtered"] and stats["drop_outside_time"]


def workers_of(process: "subprocess.Popen[bytes]") -> list[int]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        found = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().startswith("cmri-share")]
        if len(found) == 2:
            return found
        time.sleep(0.02)
    raise AssertionError("there are no workers")


@pytest.fixture
def full(lossy: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A replay by three whose output nobody reads yet, and which has no buffer for it: none of them can end."""
    words = [sys.executable, "-m", "sensor", "replay", "-q", str(lossy), "--workers", "3"]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        workers_of(process)
        yield process
        process.kill()


def test_a_worker_that_dies_is_said(full: "subprocess.Popen[bytes]") -> None:
    os.kill(workers_of(full)[1], signal.SIGKILL)
    _, said = full.communicate(timeout=30)
    assert full.returncode == 1
    assert b"a process of the replay has failed" in said and b"Traceback" not in said


@pytest.mark.parametrize("whom", ["all", "the first"])
def test_ctrl_c_ends_the_reading_and_writes_what_is_known(whom: str, full: "subprocess.Popen[bytes]") -> None:
    """As a terminal does it, or by kill."""
    time.sleep(1)
    (os.killpg if whom == "all" else os.kill)(full.pid, signal.SIGINT)
    written, said = full.communicate(timeout=30)
    kinds = {json.loads(line)["_path"] for line in written.splitlines()}
    assert (full.returncode, said) == (130, b"") and kinds >= {"conn", "stats"}


def test_a_file_that_is_no_capture_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "words.pcap").write_text("no capture at all, but some words\n" * 9)
    done = sensor(str(tmp_path / "words.pcap"), "pcaps/http/nginx-curl.pcap", "--workers", "3")
    assert done.returncode == 1
    assert done.stderr.count(b"is no capture") == 1


def test_a_closed_pipe_ends_it_without_a_word() -> None:
    words = [sys.executable, "-m", "sensor", "replay", "-q", *["pcaps"] * 1, "--workers", "3"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stderr is not None
    with process.stdout, process.stderr:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == -signal.SIGPIPE


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    """Stats too, or not."""
    for kinds in ("conn", "conn,stats"):
        done = sensor("pcaps", "--output", str(tmp_path / kinds), "--workers", "3", "--only", kinds)
        assert done.returncode == 0 and b"Traceback" not in done.stderr
        assert {path.stem for path in (tmp_path / kinds).iterdir()} == set(kinds.split(","))
