#!/usr/bin/env python3
"""How fast, how much memory: replays a capture into files, several times, and prints the medians.

    bench/replay.py CAPTURE [--runs N] [--peer 'COMMAND {pcap} {out}']

CPU seconds are the kernel's account of the whole process; the page cache is warmed first.  ``--peer`` is run in turns
with the sensor, so that a noisy machine is noisy for both; its output directory is {out}.  Memory is the highest sum of
RssAnon and RssShmem that was seen: pages of the mapped capture are the page cache's.
"""

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Result:
    cpu: float
    wall: float
    memory_kb: int
    records: int


def anonymous(pid: int) -> int:
    """RssAnon + RssShmem of a process in KB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith(("RssAnon", "RssShmem")))


def once(command: str, capture: Path) -> Result:
    with tempfile.TemporaryDirectory() as out:
        words = [word.format(pcap=capture, out=out) for word in shlex.split(command)]
        before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, anonymous(process.pid))
                time.sleep(0.01)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            sys.exit(f"bench: exit code {process.returncode} of {command}")
        lines = sum(path.read_bytes().count(b"\n") for path in Path(out).rglob("*") if path.is_file())
    return Result(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, peak, lines)


def show(name: str, results: list[Result], packets: int, size: int) -> float:
    cpu = statistics.median(r.cpu for r in results)
    wall = statistics.median(r.wall for r in results)
    records = results[-1].records
    print(
        f"{name:<10} {cpu:7.2f} CPU s ({min(r.cpu for r in results):.2f} to {max(r.cpu for r in results):.2f})  "
        f"{cpu / packets * 1e6:6.3f} CPU s per million packets  {packets / cpu / 1e6:6.2f} M packets/s per core  "
        f"{size * 8 / cpu / 1e9:6.2f} Gbit/s  {records / cpu / 1e3:7.0f} k records/s  {wall:6.2f} s wall  "
        f"{max(r.memory_kb for r in results) / 1024:6.0f} MB"
    )
    return cpu


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("capture", type=Path)
    ask.add_argument("--runs", type=int, default=5)
    ask.add_argument("--peer", help="a second command, run in turns; {pcap} and {out} are replaced")
    args = ask.parse_args()
    ours = f"{shlex.quote(sys.executable)} -m sensor replay -q {{pcap}} --output {{out}}"
    counted = subprocess.run(
        [sys.executable, "-m", "sensor", "replay", str(args.capture), "--only", "stats"],
        capture_output=True,
        check=True,
        text=True,
    )
    packets = int(counted.stdout.split('"packets":')[1].split(",")[0])
    size = os.stat(args.capture).st_size
    print(f"{args.capture.name}: {packets:,} packets, {size:,} bytes; median of {args.runs} runs")
    mine, theirs = [], []
    for _ in range(args.runs):
        mine.append(once(ours, args.capture))
        if args.peer:
            theirs.append(once(args.peer, args.capture))
    cpu = show("cloudmri", mine, packets, size)
    if args.peer:
        print(f"the peer needs {show('peer', theirs, packets, size) / cpu:.1f} times the CPU")


if __name__ == "__main__":
    main()
