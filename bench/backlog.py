#!/usr/bin/env python3
"""What the ring path takes for a packet, outside of the kernel: a worker finds all frames of a capture in its ring.

    bench/backlog.py CAPTURE [--runs N]

It is stopped while tcpreplay sends them, and goes on when all are there, so neither the sender nor waiting is measured.
The ring is so large that they fill less than the quarter from which on a worker leaves work out; of a capture that is
too large for that the first part is sent.  Needs root, iproute2, tcpreplay and 6 GB of memory.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from live import SENDER, SENSOR, address_to_the_sensor, family, inside, wire

RING = 64, 4096  # MB, at least and at most
ROOM = 800 << 20  # bytes of a capture: in the ring each frame has another 100, and they are to fill less than a quarter


def is_possible() -> bool:
    """True where there is all that it needs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return os.geteuid() == 0 and memory > 6 << 30 and all(map(shutil.which, ("ip", "tcpreplay", "tcprewrite")))


def beginning(capture: Path, to: Path) -> None:
    """The first frames of a pcap, as many as there is room for."""
    with capture.open("rb") as file:
        data = file.read(ROOM)
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    end = 24
    while end + 16 <= len(data):
        after = end + 16 + struct.unpack_from(order + "I", data, end + 8)[0]
        if after > len(data):
            break
        end = after
    to.write_bytes(data[:end])


def worker_of(pid: int) -> int:
    """The worker's process, as soon as there is one."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        time.sleep(0.2)
        for one in family(pid):
            if "worker" in Path(f"/proc/{one}/comm").read_text():
                return one
    sys.exit("bench: the sensor has no worker")


def spent(pid: int) -> tuple[int, int, float]:
    """What a process has had: ticks outside of the kernel and in it, which are samples; seconds, which are exact."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return int(ticks[0]), int(ticks[1]), int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def await_rest(pid: int) -> None:
    """Until it takes no CPU any more, but for looking whether there is something."""
    before, now = 0.0, 1.0
    while now - before > 0.001:
        time.sleep(0.3)
        before, now = now, spent(pid)[2]


def drained(frames: Path, work: Path) -> tuple[float, int]:
    """User CPU seconds of a worker for frames that are in its ring, and how many there were.  Inside of ``wire``."""
    ring = min(max(RING[0], 5 * frames.stat().st_size >> 20), RING[1])
    words = [sys.executable, "-m", "sensor", "live", "-i", "t0", "--ring-size", str(ring), "--block-timeout", "1000",
             "--output", str(work / "out"), "--metrics-listen", "none"]  # fmt: skip
    with subprocess.Popen(inside(SENSOR, words), stderr=subprocess.DEVNULL) as process:
        worker = worker_of(process.pid)
        time.sleep(3)
        os.kill(worker, signal.SIGSTOP)
        sent = ["taskset", "-c", str((os.cpu_count() or 1) - 1), "tcpreplay", "-q", "-i", "w0", "-K", "--topspeed"]
        subprocess.run(inside(SENDER, [*sent, str(frames)]), check=True, capture_output=True)
        time.sleep(1.5)
        before = spent(worker)
        os.kill(worker, signal.SIGCONT)
        await_rest(worker)
        user, system, seconds = (now - then for now, then in zip(spent(worker), before, strict=True))
        process.send_signal(signal.SIGINT)
        process.wait(120)
    stats = json.loads((work / "out" / "stats.log").read_text().splitlines()[-1])
    if stats["kernel_drops"] or stats["bodies_shed"] or stats["flows_unparsed"]:
        sys.exit("bench: the ring was too small for all frames")
    return seconds * user / (user + system) if user + system else seconds, stats["packets"]


def measured(capture: Path, runs: int) -> float:
    """User CPU seconds a packet from the ring, median of some runs."""
    costs = []
    with tempfile.TemporaryDirectory(prefix="cloudmri-bench-") as name, wire():
        os.chmod(name, 0o755)
        address_to_the_sensor(capture, Path(name, "frames.pcap"))
        for number in range(runs):
            work = Path(name, str(number))
            work.mkdir(mode=0o755)
            seconds, packets = drained(Path(name, "frames.pcap"), work)
            costs.append(seconds / packets)
    return statistics.median(costs)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("capture", type=Path)
    ask.add_argument("--runs", type=int, default=3)
    args = ask.parse_args()
    if not is_possible():
        sys.exit("bench: needs root, iproute2, tcpreplay and 6 GB of memory")
    with tempfile.TemporaryDirectory(prefix="cloudmri-bench-") as work:
        part = Path(work, "part.pcap")
        beginning(args.capture, part)
        print(f"user CPU for a packet from the ring: {measured(part, args.runs) * 1e6:.3f} us")


if __name__ == "__main__":
    main()
