"""Runs commands, several in turns, and tells what they cost by the kernel's account of whole processes."""

import json
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

SENSOR = [sys.executable, "-m", "sensor"]


@dataclass
class Cost:
    """Medians over some runs."""

    user: float
    system: float
    wall: float
    memory: float  # MB: the highest sum of RssAnon and RssShmem that was seen
    records: dict[str, int] = field(default_factory=dict)  # by file

    @property
    def cpu(self) -> float:
        return self.user + self.system

    def without(self, other: "Cost") -> "Cost":
        """The time that is left when another's is taken away."""
        user, system, wall = self.user - other.user, self.system - other.system, self.wall - other.wall
        return replace(self, user=user, system=system, wall=wall)


def anonymous(pid: int) -> int:
    """RssAnon + RssShmem of a process in KB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith(("RssAnon", "RssShmem")))


def once(words: list[str], where: Path | None = None, watch: bool = True) -> Cost:
    """One run; what it says is thrown away.  Exits the program when it fails."""
    before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while watch and process.poll() is None:
            peak = max(peak, anonymous(process.pid))
            time.sleep(0.005)
        assert process.stderr is not None
        said = process.stderr.read()
        process.wait()
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(f"bench: exit code {process.returncode} of {shlex.join(words)}\n{said.decode()}")
    lines = {path.name: path.read_bytes().count(b"\n") for path in where.rglob("*") if path.is_file()} if where else {}
    used = (getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    return Cost(*used, wall, peak / 1024, lines)


def in_turns(commands: dict[str, str], capture: Path, runs: int) -> dict[str, Cost]:
    """Each command, {pcap} and {out} replaced, so many times; in turns, so that a noisy machine is noisy for all.

    Each goes twice, and the second time counts: where a virtual machine hands free memory back to its host, who
    touches it first after some seconds waits for the host.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            for _ in range(2):
                with tempfile.TemporaryDirectory(prefix="cloudmri-bench-") as out:
                    words = [word.format(pcap=capture, out=out) for word in shlex.split(command)]
                    cost = once(words, Path(out))
            costs[name].append(cost)
    return {name: median(found) for name, found in costs.items()}


def median(costs: list[Cost]) -> Cost:
    middle = [statistics.median(getattr(c, name) for c in costs) for name in ("user", "system", "wall", "memory")]
    return Cost(*middle, costs[-1].records)


def replay(options: str = "") -> str:
    """The command of a replay into files."""
    return f"{shlex.join(SENSOR)} replay -q {{pcap}} --output {{out}} {options}"


def counted(capture: Path) -> dict[str, int]:
    """What a replay counts."""
    words = [*SENSOR, "replay", str(capture), "--only", "stats"]
    found: dict[str, int] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return found
