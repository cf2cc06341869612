#!/usr/bin/env python3
"""How fast, how much memory: one table, of a recorded trace and of captures that are made for one thing each.

    bench/table.py [CAPTURE] [--runs N] [--small] [--json FILE] [--suricata 'COMMAND {pcap} {out}'] [--nfstream PYTHON]

CPU is user and system time of whole processes; for captures that are made, start-up is left out.  The page cache is
warm.  ``--small`` makes captures of a tenth of the size.  Others read CAPTURE in turns with the sensor: tcpdump and a
walk over the mapped file, Suricata by a command, nfstream by a Python that has it.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import backlog
import traffic
from measure import SENSOR, Cost, counted, in_turns, replay


@dataclass
class Row:
    what: str
    measured: float
    unit: str
    goal: float | None = None
    at_most: bool = True  # the goal is an upper bound

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "yes" if (self.measured <= self.goal) == self.at_most or self.measured == self.goal else "no"


class Table:
    def __init__(self, runs: int, scale: float, work: Path) -> None:
        self.runs, self.scale, self.work, self.rows = runs, scale, work, list[Row]()
        self.readers = dict[str, float]()  # who read the trace: CPU seconds for a million packets
        self.small = self.make("one", traffic.many_flows(1))

    def add(self, what: str, measured: float, unit: str, goal: float | None = None, at_most: bool = True) -> None:
        one = Row(what, measured, unit, goal, at_most)
        self.rows.append(one)
        bound = "" if one.goal is None else f"{'at most' if one.at_most else 'at least'} {one.goal:g}"
        print(f"{one.what:<62} {one.measured:12.4g} {one.unit:<22} {bound:<16} {one.verdict}", flush=True)

    def make(self, name: str, fill: Callable[[traffic.Capture], None]) -> Path:
        return traffic.made(self.work / f"{name}.pcap", fill)

    def cost(self, capture: Path, options: str = "", runs: int | None = None) -> Cost:
        """Without start-up, which is a row of its own, and measured in turns with this."""
        commands = {"ours": replay(options), "start": self.start()}
        found = in_turns(commands, capture, runs or self.runs)
        return found["ours"].without(found["start"])

    def start(self, options: str = "") -> str:
        """A replay that has hardly more to do than to begin."""
        return replay(options).replace("{pcap}", shlex.quote(str(self.small)))

    def starts(self) -> None:
        python = shlex.quote(sys.executable)
        sensor = shlex.join(SENSOR)
        commands = {"click": f"{python} -c 'import click'", "version": f"{sensor} --version", "replay": self.start()}
        found = in_turns(commands, self.small, 4 * self.runs)
        self.add("--version, of importing click", found["version"].cpu / found["click"].cpu, "times", 1.3)
        self.add("replay of one flow, of importing click", found["replay"].cpu / found["click"].cpu, "times", 2.5)

    def trace(self, capture: Path, others: dict[str, str]) -> None:
        """A recorded trace: ours, others', and what reading it costs at least."""
        read_from_disk(capture)
        packets = counted(capture)["packets"]
        floor = self.work / "floor"
        subprocess.run(["gcc", "-O2", "-o", floor, Path(__file__).with_name("floor.c")], check=True)
        commands = {"CloudMRI": replay(), "a walk over the mapped file": f"{floor} {{pcap}}"} | others
        if shutil.which("tcpdump"):
            commands["tcpdump -w /dev/null"] = "tcpdump -r {pcap} -w /dev/null"
        found = in_turns(commands, capture, self.runs)
        self.readers = {name: cost.cpu / packets * 1e6 for name, cost in found.items()}
        ours = found.pop("CloudMRI")
        self.add("trace: CPU for a million packets", self.readers["CloudMRI"], "s", 0.35)
        self.add("trace: memory", ours.memory, "MB")
        for name, goal, at_most in (("a walk over the mapped file", 4, True), ("tcpdump -w /dev/null", None, True)):
            if name in found:
                self.add(f"trace: ours, of {name}", ours.cpu / found[name].cpu, "times", goal, at_most)
        for name in others:
            goal = 10 if name == "Suricata" else None
            self.add(f"trace: {name}'s, of ours", found[name].cpu / ours.cpu, "times", goal, at_most=False)
        records = ours.records
        if records.get("http.log"):  # to /dev/null: bytes, and no file
            bare = f"{shlex.join(SENSOR)} replay -q {{pcap}} --only"
            found = in_turns({kind: f"{bare} {kind}" for kind in ("http", "stats")}, capture, self.runs)
            more = found["http"].user - found["stats"].user
            self.add("an http record, from the parser's state to bytes", more / records["http.log"] * 1e9, "ns", 400)
        self.two_workers(capture)
        if backlog.is_possible():
            self.live(capture)

    def two_workers(self, capture: Path) -> None:
        """Each without its own start-up: two have a second process to begin and to hear from."""
        read_from_disk(capture)
        kinds = {"one": "", "two": "--workers 2"}
        commands = {name: replay(options) for name, options in kinds.items()}
        starts = {f"start of {name}": self.start(options) for name, options in kinds.items()}
        found = in_turns(commands | starts, capture, self.runs)
        walls = {name: found[name].without(found[f"start of {name}"]).wall for name in kinds}
        self.add("trace: two workers' wall time, of one's", walls["two"] / walls["one"], "times", 0.58)

    def live(self, capture: Path) -> None:
        """The same frames from a ring and from a file."""
        part = self.work / "part.pcap"
        backlog.beginning(capture, part)
        packets = counted(part)["packets"]
        self.add("live: user CPU for a packet from the ring, of the replay's",
                 backlog.measured(part, 3) / (self.cost(part).user / packets), "times", 1.3)  # fmt: skip
        part.unlink()

    def flows(self) -> None:
        most = int(1_000_000 * self.scale)
        few = self.make("few", traffic.many_flows(10_000))
        rate = 70_000 / self.cost(few, runs=4 * self.runs).cpu
        many = self.make("many", traffic.many_flows(most))
        cost = self.cost(many, runs=3)
        assert cost.records["http.log"] == cost.records["conn.log"] == most, cost.records
        self.add(f"{most:,} HTTP connections at once: CPU", cost.cpu, "s", 7 * self.scale)
        self.add(f"{most:,} HTTP connections at once: memory", cost.memory, "MB", 1500 * self.scale)
        self.add("… packets/s, of those at 10,000", 7 * most / cost.cpu / rate, "times", 0.6, at_most=False)
        many.unlink()
        for kind, idle in (("UDP", traffic.idle_udp(most)), ("TCP", traffic.idle_tcp(most))):
            capture = self.make("idle", idle)
            found = in_turns({"flows": replay("--only stats"), "start": self.start()}, capture, 1)
            held = found["flows"].memory - found["start"].memory
            self.add(f"{most:,} {kind} flows at once: memory of each", held * 1e6 / most, "bytes", 512)
            capture.unlink()
        new = self.make("new", traffic.new_flows(most))
        self.add("new UDP flows, made and expired", most / self.cost(new).cpu / 1e6, "million/s", 1, at_most=False)
        new.unlink()

    def packets(self) -> None:
        n = int(10_000_000 * self.scale) // 10_000 * 10_000
        small = self.make("small", traffic.small_packets(n))
        self.add("UDP in 64 bytes, 10,000 flows", n / self.cost(small).cpu / 1e6, "million packets/s", 5, at_most=False)
        small.unlink()
        for name, size, encrypted in (
            ("HTTP download, 1,500 bytes", 1500, False),
            ("TLS, 1,500 bytes", 1500, True),
            ("HTTP download, 9,001 bytes", 9001, False),
            ("TLS, 9,001 bytes", 9001, True),
        ):
            capture = self.make("bulk", traffic.bulk(size, 4 * self.scale, encrypted=encrypted))
            bits = capture.stat().st_size * 8
            cost = self.cost(capture)
            assert cost.records["ssl.log" if encrypted else "http.log"] == 100, cost.records
            self.add(f"{name}, 100 flows", bits / cost.cpu / 1e9, "Gbit/s", 40, at_most=False)
            capture.unlink()

    def dns(self) -> None:
        n = int(1_000_000 * self.scale)
        capture = self.make("dns", traffic.questions(n))
        both, alone = self.cost(capture), self.cost(capture, "--only dns")
        assert both.records["dns.log"] == alone.records["dns.log"] == n, both.records
        self.add("DNS with dns and conn records", n / both.cpu / 1e6, "million/s", 0.6, at_most=False)
        self.add("DNS with dns records alone", n / alone.cpu / 1e6, "million/s", 1, at_most=False)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("capture", type=Path, nargs="?")
    ask.add_argument("--runs", type=int, default=5)
    ask.add_argument("--small", action="store_true")
    ask.add_argument("--json", type=Path)
    ask.add_argument("--suricata", metavar="COMMAND")
    ask.add_argument("--nfstream", metavar="PYTHON")
    args = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="cloudmri-bench-") as work:
        table = Table(args.runs, 0.1 if args.small else 1, Path(work))
        table.starts()
        if args.capture:
            table.trace(args.capture, others(args))
        for part in (table.flows, table.packets, table.dns):
            part()
    if args.json:
        machine = {"cores": os.cpu_count(), "processor": processor(), "python": sys.version.split()[0]}
        args.json.write_text(
            json.dumps(
                {"machine": machine, "readers": table.readers, "rows": [asdict(row) for row in table.rows]}, indent=1
            )
            + "\n"
        )


def read_from_disk(capture: Path) -> None:
    """Brings a file into the page cache as a first replay finds it there: read in order, in large folios.  How it was
    written, or how much of it was given up since, makes a fifth of a replay's time."""
    with capture.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(8 << 20):
            pass


def others(args: argparse.Namespace) -> dict[str, str]:
    """Commands of those that are there."""
    found = {"Suricata": args.suricata} if args.suricata else {}
    if args.nfstream:
        count = "import sys, nfstream; print(sum(1 for _ in nfstream.NFStreamer(sys.argv[1], n_meters=1)))"
        found["nfstream"] = f"{shlex.quote(args.nfstream)} -c {shlex.quote(count)} {{pcap}}"
    return found


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
