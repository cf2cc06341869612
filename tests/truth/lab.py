"""A mirror on one machine: a client, a server and a sensor in namespaces of their own.

Every packet on the server's interface is duplicated into a kernel VXLAN device whose far end is the sensor's, where
tcpdump writes what the target of a cloud's traffic mirroring would see.
"""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import PATH, cannot, need

CLIENT, SERVER = "10.20.0.10", "10.20.0.20"
MIRRORED, SENSOR = "172.31.0.1", "172.31.0.2"  # ends of the tunnel
MIRROR = """
table netdev mirror {
  chain in  { type filter hook ingress device s0 priority 0; ether type ip dup to "vx0"; }
  chain out { type filter hook egress  device s0 priority 0; ether type ip dup to "vx0"; }
}
"""


def need_lab(*programs: str) -> None:
    """For a test that makes a network of its own, with those programs in it."""
    if os.geteuid():
        cannot("needs root, for network namespaces")
    need("ip", "nft", "tcpdump", "ethtool", *programs)


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """A directory that servers of other users may enter; pytest's own is its user's alone."""
    with tempfile.TemporaryDirectory(prefix="cloudmri-lab-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Lab:
    """The three hosts.  ``client`` and ``server`` run a command there; ``record`` writes what the sensor sees."""

    hosts: tuple[str, ...] = ("client", "server", "sensor")
    listener, ear = "sensor", "x0"  # the host and the interface where the mirror arrives
    patience = 0.7  # seconds that tcpdump has for the last packets; from 1 on it takes them in blocks, which costs less

    def __init__(self, work: Path) -> None:
        self.work, self.name = work, f"cmt{os.getpid()}"
        self.running: list[subprocess.Popen[bytes]] = []
        work.chmod(0o755)

    def __enter__(self) -> "Lab":
        try:
            self.build()
        except subprocess.CalledProcessError as error:
            self.__exit__()
            cannot(f"this machine makes no such network: {error.stderr.decode().strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait()
        for host in self.hosts:
            found = subprocess.run(["ip", "netns", "pids", f"{self.name}-{host}"], capture_output=True, text=True)
            for pid in found.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "del", f"{self.name}-{host}"], capture_output=True)

    def build(self) -> None:
        hosts = {host: f"{self.name}-{host}" for host in self.hosts}
        for host in hosts.values():
            self.run("ip", "netns", "add", host)
            self.run("ip", "-n", host, "link", "set", "lo", "up")
        for one, at, other, there in (("c0", "client", "s0", "server"), ("m0", "server", "x0", "sensor")):
            self.run("ip", "link", "add", one, "netns", hosts[at], "type", "veth", "peer", "name", other, "netns",
                     hosts[there])  # fmt: skip
        for host, device, address in (
            ("client", "c0", CLIENT), ("server", "s0", SERVER), ("server", "m0", MIRRORED),
            ("sensor", "x0", SENSOR),
        ):  # fmt: skip
            self.run("ip", "netns", "exec", hosts[host], "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                     "net.ipv6.conf.default.disable_ipv6=1")  # fmt: skip
            self.run("ip", "-n", hosts[host], "addr", "add", f"{address}/24", "dev", device)
            if device in ("m0", "x0"):
                self.run("ip", "-n", hosts[host], "link", "set", device, "mtu", "9001")
            self.run("ip", "-n", hosts[host], "link", "set", device, "up")
            subprocess.run(
                ["ip", "netns", "exec", hosts[host], "ethtool", "-K", device,
                 *[word for feature in ("tso", "gso", "gro", "tx") for word in (feature, "off")]],
                capture_output=True, env=os.environ | {"PATH": PATH},
            )  # fmt: skip
        self.run("ip", "-n", hosts["server"], "link", "add", "vx0", "type", "vxlan", "id", "7770001", "remote",
                 SENSOR, "local", MIRRORED, "dstport", "4789", "dev", "m0", "nolearning")  # fmt: skip
        self.run("ip", "-n", hosts["server"], "link", "set", "vx0", "mtu", "8951", "up")
        self.run("ip", "netns", "exec", hosts["server"], "nft", "-f", "-", input=MIRROR.encode())
        time.sleep(0.5)

    def run(self, *command: str, input: bytes | None = None) -> None:
        subprocess.run(command, check=True, capture_output=True, input=input, env=os.environ | {"PATH": PATH})

    def inside(self, host: str, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", f"{self.name}-{host}", *command]

    def client(self, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PATH": PATH} | options.pop("env", {})
        done = subprocess.run(
            self.inside("client", command), capture_output=True, text=True, timeout=120, env=env, **options
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def server(self, *command: str, ready: int | None = None) -> subprocess.Popen[bytes]:
        """Starts a server, and waits for its port."""
        with (self.work / "server.log").open("ab") as log:
            process = subprocess.Popen(
                self.inside("server", command), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, env=os.environ | {"PATH": PATH},
            )  # fmt: skip
        self.running.append(process)
        for _ in range(100):
            if ready is None or self.listens(ready):
                return process
            assert process.poll() in (None, 0), (self.work / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.work / "server.log").read_text())

    def listens(self, port: int) -> bool:
        found = subprocess.run(self.inside("server", ["ss", "-Hltn", f"sport = :{port}"]), capture_output=True,
                               env=os.environ | {"PATH": PATH})  # fmt: skip
        return bool(found.stdout)

    @contextlib.contextmanager
    def record(self, what: str = "udp port 4789") -> Iterator[Path]:
        """What the sensor sees meanwhile.  The kernel must have lost none of it."""
        path, log = self.work / "seen.pcap", self.work / "tcpdump.log"
        words = [
            "tcpdump",
            "-i",
            self.ear,
            "-U",
            *(["--immediate-mode"] if self.patience < 1 else []),
            "--time-stamp-precision=nano",
            "-B",
            "131072",  # KiB
            "-s",
            "9216",  # more than the largest frame; the buffer has a place of this size for each
            "-w",
            str(path),
            "-Z",
            "root",
            what,
        ]
        with log.open("wb") as out:
            dump = subprocess.Popen(self.inside(self.listener, words), stderr=out, env=os.environ | {"PATH": PATH})
        while b"listening on" not in log.read_bytes():
            time.sleep(0.05)
        try:
            yield path
            written = -1
            for _ in range(20):  # on a machine that has other things to do, too, the last packets come late
                time.sleep(self.patience)
                if written == (written := path.stat().st_size):
                    break
        finally:
            dump.send_signal(2)
            dump.wait()
        assert "\n0 packets dropped by kernel" in log.read_text()
