#!/usr/bin/env python3
"""What a live run keeps up with: tcpreplay sends a capture's frames again and again, the sensor listens beside it.

    bench/live.py CAPTURE [--seconds 60] [--pps N] [--ring MB | --socket MB] [--rotate SECONDS] [--peer 'COMMAND ...']

Two network namespaces and a veth between them; tcpreplay is pinned to the last core, the sensor's one worker to the
first.  Without --pps it sends as fast as it can.  ``--rotate``: the files are removed and SIGHUP sent so often; the
worker's memory is then told every minute.  ``--peer`` takes its place: {netns}, {iface} and {out} are replaced,
SIGINT ends it, and what it prints is shown.  Needs root, iproute2 and tcpreplay.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SENDER, SENSOR = (f"cmb{os.getpid()}-{host}" for host in ("sender", "sensor"))


def run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def wire() -> Iterator[None]:
    """The two hosts, as long as it lasts."""
    try:
        for host in (SENDER, SENSOR):
            run("ip", "netns", "add", host)
            run("ip", "netns", "exec", host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        run("ip", "link", "add", "w0", "netns", SENDER, "type", "veth", "peer", "name", "t0", "netns", SENSOR)
        for host, device in ((SENDER, "w0"), (SENSOR, "t0")):
            run("ip", "-n", host, "link", "set", device, "mtu", "9202", "up")
        run("ip", "-n", SENSOR, "addr", "add", "172.31.0.2/24", "dev", "t0")
        run("ip", "-n", SENSOR, "link", "set", "t0", "promisc", "on")
        yield
    finally:
        for host in (SENDER, SENSOR):
            subprocess.run(["ip", "netns", "del", host], check=False)


def inside(host: str, words: list[str]) -> list[str]:
    return ["ip", "netns", "exec", host, *words]


def address_to_the_sensor(capture: Path, to: Path) -> None:
    """The capture's frames with the sensor's own Ethernet address, without which a socket gets none of them."""
    shown = json.loads(
        subprocess.run(["ip", "-n", SENSOR, "-j", "link", "show", "t0"], check=True, capture_output=True).stdout
    )
    run("tcprewrite", f"--enet-dmac={shown[0]['address']}", f"--infile={capture}", f"--outfile={to}")


def sending(capture: Path, seconds: float, pps: int | None) -> str:
    """Sends, and gives what tcpreplay says of it."""
    pace = [f"--pps={pps}"] if pps else ["--topspeed"]
    words = ["taskset", "-c", str((os.cpu_count() or 1) - 1), "tcpreplay", "-q", "-i", "w0", "-K", "--loop=0", *pace,
             f"--duration={seconds:.0f}", str(capture)]  # fmt: skip
    done = subprocess.run(inside(SENDER, words), check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family(pid: int) -> list[int]:
    """A process, those that it began, and those that they did."""
    found = [pid, *children(pid)]
    return found + [grandchild for child in found[1:] for grandchild in children(child)]


def worker_memory(pid: int) -> int:
    """RssAnon of the largest descendant in KB, the ring not counted."""
    sizes = [re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{one}/status").read_text()) for one in family(pid)]
    return max(int(size[1]) for size in sizes if size)


def rotate(process: subprocess.Popen[bytes], folder: Path, every: float, end: float) -> None:
    began = time.monotonic()
    minute = 0
    while time.monotonic() < end:
        time.sleep(every)
        for file in folder.glob("*.log"):
            if file.name != "stats.log":
                file.unlink()
        process.send_signal(signal.SIGHUP)
        if (time.monotonic() - began) // 60 > minute:
            minute = int((time.monotonic() - began) // 60)
            print(
                f"  after {minute:3} min the worker's own memory is {worker_memory(process.pid) / 1024:.1f} MB",
                flush=True,
            )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("capture", type=Path)
    ask.add_argument("--seconds", type=float, default=60)
    ask.add_argument("--pps", type=int)
    ask.add_argument("--ring", type=int, default=64, help="MB")
    ask.add_argument("--socket", type=int, help="MB of receive buffer: through plain UDP sockets, not a ring")
    ask.add_argument("--rotate", type=float, metavar="SECONDS")
    ask.add_argument("--peer")
    args = ask.parse_args()
    if os.geteuid():
        sys.exit("bench: needs root, for network namespaces")
    way = ["-i", "t0", "--ring-size", str(args.ring)]
    if args.socket:
        way = ["--listen", "udp://0.0.0.0:4789", "--listen", "udp://0.0.0.0:6081", "--receive-buffer", str(args.socket)]
    with tempfile.TemporaryDirectory(prefix="cloudmri-bench-") as work, wire():
        os.chmod(work, 0o755)
        out = Path(work, "out")
        frames = Path(work, "frames.pcap")
        address_to_the_sensor(args.capture, frames)
        if args.peer:
            words = shlex.split(args.peer.format(netns=SENSOR, iface="t0", out=out))
        else:
            words = inside(
                SENSOR, [sys.executable, "-m", "sensor", "live", *way, "--output", str(out), "--metrics-listen", "none"]
            )
        measure(words, args, frames, out)


def measure(words: list[str], args: argparse.Namespace, frames: Path, out: Path) -> None:
    log = out.parent / "log"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("wb") as file, subprocess.Popen(words, stdout=file, stderr=file) as process:
        time.sleep(12 if args.peer else 4)
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        with concurrent_rotation(process, out, args):
            sent = sending(frames, args.seconds, args.pps)
        asked = resource.getrusage(resource.RUSAGE_CHILDREN)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        code = process.wait(120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user = after.ru_utime - before.ru_utime - (asked.ru_utime - began.ru_utime)
    system = after.ru_stime - before.ru_stime - (asked.ru_stime - began.ru_stime)
    print("\n".join(line for line in sent.splitlines() if re.match(r"Actual|Rated", line)))
    print(f"CPU of the one who listens: {user:.2f} s user, {system:.2f} s system, exit code {code}")
    if args.peer:
        print("\n".join(line for line in log.read_text().splitlines() if re.search(r"(?i)packets|drop", line)))
        return
    last = [json.loads(line) for line in (out / "stats.log").read_text().splitlines()][-1]
    for name in ("packets", "kernel_packets", "kernel_drops", "ring_freezes", "lost_in_crash", "unread_at_end",
                 "bodies_shed", "large_flows_shed", "flows_unparsed", "records_unwritten"):  # fmt: skip
        print(f"{name:<18} {last.get(name, 0):>14,}")


@contextlib.contextmanager
def concurrent_rotation(process: subprocess.Popen[bytes], out: Path, args: argparse.Namespace) -> Iterator[None]:
    """Moves the files away beside what goes on, where that is asked for."""
    if not args.rotate:
        yield
        return
    from threading import Thread

    beside = Thread(target=rotate, args=(process, out, args.rotate, time.monotonic() + args.seconds))
    beside.start()
    yield
    beside.join()


if __name__ == "__main__":
    main()
