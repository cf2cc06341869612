"""Captures: formats and containers told by content, order of time, damage that costs nothing but itself."""

import gzip
import lzma
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import sensor
from cext.pcap import Capture
from sensor import captures
from sensor.errors import CaptureError
from tests.builders import START, Timed, connection, ethernet, ip, pcap, udp
from tests.conftest import ROOT, Run

FRAMES = list(
    connection(
        [(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, b"HTTP/1.1 204 No Content\r\n\r\n")], dport=80
    ).frames()
)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    size = 12 + (len(body) + 3) // 4 * 4
    return struct.pack(order + "II", kind, size) + body.ljust(size - 12, b"\0") + struct.pack(order + "I", size)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value.ljust((len(value) + 3) // 4 * 4, b"\0")


def interface(link: int = 1, options: bytes = b"", order: str = "<", snap: int = 0) -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def enhanced(
    time: float, frame: bytes, *, number: int = 0, ticks: float = 1e6, order: str = "<", offset: int = 0
) -> bytes:
    stamp = round((time - offset) * ticks)
    return block(
        6, struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame)) + frame, order
    )


def pcapng(order: str = "<") -> bytes:
    return section(order) + interface(order=order) + b"".join(enhanced(time, f, order=order) for time, f in FRAMES)


WAYS = {
    "pcap little-endian": pcap(FRAMES),
    "pcap big-endian": pcap(FRAMES, order=">"),
    "pcap nanoseconds": pcap(FRAMES, nano=True),
    "pcap nanoseconds big-endian": pcap(FRAMES, nano=True, order=">"),
    "pcapng little-endian": pcapng(),
    "pcapng big-endian": pcapng(">"),
    "pcapng with unknown blocks": section()
    + block(0x4000BEEF, b"what is this")
    + interface()
    + b"".join(block(5, bytes(12)) + enhanced(time, f) for time, f in FRAMES),
    "pcapng milliseconds-and-offset": section()
    + interface(options=option(9, b"\x09") + option(14, struct.pack("<q", 1000)))
    + b"".join(enhanced(time, f, ticks=1e9, offset=1000) for time, f in FRAMES),
    "pcapng binary resolution": section()
    + interface(options=option(9, b"\x94"))
    + b"".join(enhanced(time, f, ticks=2**20) for time, f in FRAMES),
    "pcapng two interfaces": section()
    + interface(101)
    + interface(1)
    + b"".join(
        enhanced(time, f, number=1) if i % 2 else enhanced(time, f[14:], number=0) for i, (time, f) in enumerate(FRAMES)
    ),
    "pcapng two sections": pcapng().replace(b"", b"") + section(">") + interface(order=">"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("chunk", [None, 1, 7, 1000])
def test_every_format_gives_the_same_records(way: str, chunk: int | None) -> None:
    got = Run(WAYS[way], chunk=chunk)
    assert got.one("http")["status_code"] == 204
    assert got.one("conn")["ts"] == pytest.approx(START, abs=2e-6)
    assert got.one("conn")["duration"] == pytest.approx(0.0006, abs=4e-6)


def test_simple_packets_take_the_time_of_the_packet_before() -> None:
    frames = [f for _, f in FRAMES]
    data = (
        section()
        + interface(snap=0)
        + enhanced(START, frames[0])
        + b"".join(block(3, struct.pack("<I", len(f)) + f) for f in frames[1:])
    )
    assert Run(data).one("http")["ts"] == START


def test_a_packet_beyond_the_longest_is_damage_in_every_format() -> None:
    """Else one would not fit where those that share the work expect it."""
    huge = FRAMES[0][1] + bytes(3 << 20)
    simple = block(3, struct.pack("<I", len(huge)) + huge)
    for data in (pcap([(START, huge)], snap=1 << 30), section() + interface(snap=0) + simple,
                 section() + interface(snap=0) + enhanced(START, huge)):  # fmt: skip
        capture = Capture()
        capture.feed(data)
        capture.end()
        assert (capture.next_time(), capture.status) == (None, "damaged")


@pytest.mark.parametrize(
    "pack",
    [
        lambda data: data,
        gzip.compress,
        lzma.compress,
        zstandard.compress,
        lambda data: gzip.compress(data[:300]) + gzip.compress(data[300:]),
        lambda data: zstandard.compress(data[:300]) + zstandard.compress(data[300:]),
    ],
    ids=["plain", "gzip", "xz", "zstd", "two gzip members", "two zstd frames"],
)
def test_containers_are_told_by_content(pack: object, tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(pack(pcap(FRAMES)))  # type: ignore[operator]
    assert [r["status_code"] for r in sensor.replay(str(path), only={"http"})] == [204]


@given(cut=st.integers(0, len(pcap(FRAMES)) - 1))
def test_a_cut_file_gives_what_it_has(cut: int) -> None:
    """Every whole packet before the cut is read."""
    data = pcap(FRAMES)[:cut]
    capture = Capture()
    capture.feed(data)
    capture.end()
    got = Run(data)
    at, whole = 24, 0
    for _, frame in FRAMES:
        at += 16 + len(frame)
        whole += at <= cut
    assert got.counters()["packets"] == whole


def test_a_damaged_length_ends_that_file_with_its_place() -> None:
    data = bytearray(pcap(FRAMES))
    second = 24 + 16 + len(FRAMES[0][1])
    data[second + 8 : second + 12] = b"\xff\xff\xff\x7f"
    got = Run(bytes(data))
    assert (got.capture.status, got.capture.offset, got.counters()["packets"]) == ("damaged", second, 1)


def write(path: Path, frames: list[Timed]) -> str:
    path.write_bytes(pcap(frames))
    return str(path)


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    """Packets of one connection lie alternately in two files, whose names sort the wrong way round."""
    first = write(tmp_path / "b.pcap", FRAMES[::2])
    second = write(tmp_path / "a.pcap", FRAMES[1::2])
    assert [r["history"] for r in sensor.replay(second, first, only={"conn"})] == ["ShADdFf"]


def test_directories_and_globs_take_the_captures_in_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "one.cap", FRAMES[:4])
    write(tmp_path / "two.pcap", FRAMES[4:])
    (tmp_path / "notes.txt").write_text("no capture")
    for where in (str(tmp_path), f"{tmp_path}/**/*p"):
        assert len(list(sensor.replay(where, only={"http"}))) == 1


def test_thousands_of_rotated_files_keep_few_open(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for i in range(200):
        write(tmp_path / f"{i:04}.pcap", [(START + i, ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, b"x"))))])
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        conns = list(sensor.replay(str(tmp_path), only={"conn"}))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum(conn["orig_pkts"] for conn in conns) == 200


def many_frames(n: int) -> list[Timed]:
    """Datagrams of all sizes, one flow each ten, of about 900 bytes on the average."""
    datagrams = (udp(40000 + i // 10, 9999, b"x" * (i * 37 % 1800)) for i in range(n))
    return [(START + i / 1e4, ethernet(ip("10.0.0.1", "10.0.0.2", 17, one))) for i, one in enumerate(datagrams)]


@pytest.mark.parametrize("stretch", [1 << 16, captures.STRETCH])
@pytest.mark.parametrize("of", ["pcap", "pcap big-endian", "pcapng"])
def test_a_file_of_many_stretches_gives_what_its_bytes_give(
    of: str, stretch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "STRETCH", stretch)
    frames = many_frames(11_000)
    if of == "pcapng":  # with a block that is larger than a stretch
        blocks = [enhanced(time, frame) for time, frame in frames]
        data = (
            section()
            + interface()
            + b"".join(blocks[:100])
            + block(0x4000BEEF, bytes(9 << 20))
            + b"".join(blocks[100:])
        )
    else:
        data = pcap(frames, order=">" if "big" in of else "<")
    (tmp_path / "a.cap").write_bytes(data)
    got, want = list(sensor.replay(str(tmp_path / "a.cap"))), Run(data)
    assert sorted(r["uid"] for r in got if r["_path"] == "conn") == sorted(r["uid"] for r in want.of("conn"))
    assert sum(r["orig_bytes"] for r in got if r["_path"] == "conn") == sum(i * 37 % 1800 for i in range(11_000))


@pytest.mark.parametrize("left", [0, 1000, 4096 * 300, 4096 * 300 + 1000, -5])
@pytest.mark.parametrize("of", ["pcap", "pcapng"])
def test_a_file_that_is_cut_off_while_it_is_read_is_told_as_one(
    of: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one packet is not whole: that whose end went while it was looked at."""
    monkeypatch.setattr(captures, "STRETCH", 1 << 20)
    path, frames = tmp_path / "a.cap", many_frames(3000)
    blocks = [enhanced(time, frame) for time, frame in frames]
    data = pcap(frames) if of == "pcap" else section() + interface() + b"".join(blocks)
    path.write_bytes(data)
    left %= len(data)
    source, run, whole = captures.Source(str(path)), Run(b""), Run(data[:left]).counters()["packets"]
    assert source.next_time() is not None
    with path.open("r+b") as file:
        file.truncate(left)
    while source.next_time() is not None:
        run.worker.run(source.capture)
    assert "ends in the middle of a packet" in (source.trouble() or "")
    assert whole - 64 <= run.counters()["packets"] <= whole + 1
    assert source.capture.frames_read == run.counters()["packets"]
    source.close()


def test_what_waits_of_a_file_that_is_cut_off_is_not_moved(tmp_path: Path) -> None:
    """It cannot be mapped any more, and the rest of it is read."""
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(many_frames(3000)))
    source, run = captures.Source(str(path)), Run(b"")
    assert source.next_time() is not None
    with path.open("r+b") as file:
        file.truncate(100)
    source.read_chunk()
    source.capture.end()
    while source.next_time() is not None:
        run.worker.run(source.capture)
    assert (source.capture.status, run.counters()["packets"]) == ("cut off", 0)
    source.close()


@pytest.mark.parametrize(
    "how", ["theirs[5000]", "os.kill(os.getpid(), signal.SIGBUS)", "faulthandler.enable(); theirs[5000]"]
)
def test_other_files_that_are_cut_off_are_not_ours(how: str, tmp_path: Path) -> None:
    """Whoever maps a file of his own gets his SIGBUS, and so does who is sent one."""
    path, other = tmp_path / "a.pcap", tmp_path / "other"
    path.write_bytes(pcap(FRAMES))
    other.write_bytes(bytes(1 << 16))
    program = f"""
import faulthandler, mmap, os, signal
from sensor.captures import Source
source = Source({str(path)!r})
source.next_time()
with open({str(other)!r}, "r+b") as file:
    theirs = mmap.mmap(file.fileno(), 0)
    os.truncate({str(other)!r}, 0)
    {how}
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode in (-signal.SIGBUS, -signal.SIGABRT), done.stderr   # the sanitizer aborts


def test_a_file_that_grows_while_it_is_read_gives_all_that_came(tmp_path: Path) -> None:
    path, data = tmp_path / "a.pcap", pcap(many_frames(3000))
    path.write_bytes(data[: len(data) // 3])
    source, run = captures.Source(str(path)), Run(b"")
    source.next_time()
    while run.worker.run(source.capture):
        pass
    with path.open("ab") as file:
        file.write(data[len(data) // 3 :])
    while source.capture.status == "hungry":
        source.refill()
        while run.worker.run(source.capture):
            pass
    assert (source.capture.status, run.counters()["packets"]) == ("ended", 3000)
    source.close()


def test_what_cannot_be_mapped_is_read(tmp_path: Path) -> None:
    """More files at a time than are mapped."""
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(many_frames(5000)))
    sources = [captures.Source(str(path)) for _ in range(70)]
    for source in sources:
        source.next_time()
    for source in (sources[0], sources[-1]):
        run = Run(b"")
        while source.next_time() is not None:
            run.worker.run(source.capture)
        assert (source.capture.status, run.counters()["packets"]) == ("ended", 5000)
    for source in sources:
        source.close()


def test_what_is_no_capture_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good", FRAMES), tmp_path / "bad"
    bad.write_text("hello, this is no capture at all, not even a little")
    records = sensor.replay(str(bad), good, only={"http"})
    assert next(records)["status_code"] == 204
    with pytest.raises(CaptureError, match="1 of 2"):
        next(records)


def test_missing_files_are_told() -> None:
    with pytest.raises(CaptureError, match="there is no such file"):
        captures.find(["/nowhere/at/all.pcap"])


def test_an_empty_capture_is_no_error(tmp_path: Path) -> None:
    assert list(sensor.replay(write(tmp_path / "empty.pcap", []), only={"conn"})) == []
