"""The sensor as a user starts it, live, in the lab's sensor host."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.conftest import PATH, Record
from tests.truth.lab import Lab


class Live:
    """A running sensor.  ``records`` and ``stats`` are what it has written so far."""

    def __init__(self, lab: Lab, name: str, words: list[str], env: dict[str, str], ready: str) -> None:
        self.folder = lab.work / name
        self.log = lab.work / f"{name}.log"
        pages = [] if "--metrics-listen" in words else ["--metrics-listen", "none"]  # several run side by side
        output = [] if "--config" in words else ["--output", str(self.folder)]
        command = [sys.executable, "-m", "sensor", "live", *output, *pages, *words]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                lab.inside(lab.listener, command), stderr=log, env=os.environ | {"PATH": PATH} | env
            )
        self.wait(lambda: ready in self.log.read_text())
        self.wait(lambda: all(named(pid).startswith("cmri-") for pid in self.children()))  # each names itself

    def wait(self, reached: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def of(self, kind: str) -> list[Record]:
        path = self.folder / f"{kind}.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def records(self) -> list[Record]:
        return [record for path in sorted(self.folder.glob("*.log")) if path.stem != "stats"
                for record in self.of(path.stem)]  # fmt: skip

    def counted(self, name: str) -> int:
        """The last word of each worker on a counter, summed."""
        last = {record["worker"]: record[name] for record in self.of("stats")}
        return int(sum(last.values()))

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [pid for pid in self.children() if "worker" in named(pid)]


def named(pid: int) -> str:
    """What ps calls a process; nothing for one that has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except FileNotFoundError:
        return ""


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@contextlib.contextmanager
def live(
    lab: Lab, name: str, *words: str, env: dict[str, str] | None = None, ready: str = "listening on"
) -> Iterator[Live]:
    """A sensor that is stopped at the end, at the latest; it has said ``ready``."""
    sensor = Live(lab, name, list(words), env or {}, ready)
    try:
        yield sensor
    finally:
        if sensor.process.poll() is None:
            sensor.process.kill()
            sensor.process.wait()
