"""Two hosts and a wire: frames that a test sends arrive at a sensor, as many as it says."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import dpkt

from sensor.live.rings import ETH_P_ALL
from tests.builders import ethernet, ip, pcap, udp, vxlan
from tests.conftest import ROOT
from tests.truth.lab import Lab, need_lab, workshop

SENDER = "02:00:00:00:00:01"
TARGET = "02:00:00:00:00:02"  # the builders' addresses


class Wire(Lab):
    """``send`` puts frames on the wire; ``live`` listens at ``ear`` of the host ``listener``."""

    hosts = ("sender", "target")
    listener, ear = "target", "t0"

    def build(self) -> None:
        sender, target = (f"{self.name}-{host}" for host in self.hosts)
        for host in (sender, target):
            self.run("ip", "netns", "add", host)
            self.run("ip", "netns", "exec", host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            self.run("ip", "-n", host, "link", "set", "lo", "up")
        self.lay()

    def host(self, name: str) -> str:
        """A host's network namespace."""
        return f"{self.name}-{name}"

    def lay(self) -> None:
        """The wire, as at the beginning."""
        sender, target = self.host("sender"), self.host("target")
        self.run("ip", "link", "add", "w0", "netns", sender, "type", "veth", "peer", "name", "t0", "netns", target)
        for host, device, mac in ((sender, "w0", SENDER), (target, "t0", TARGET)):
            self.run("ip", "-n", host, "link", "set", device, "address", mac, "mtu", "9001", "up")
        self.run("ip", "-n", target, "addr", "add", "172.31.0.2/24", "dev", "t0")

    def cut(self) -> None:
        """The interface at the target is no more."""
        self.run("ip", "-n", self.host("target"), "link", "del", "t0")

    def rename(self, old: str, new: str) -> None:
        for words in ((old, "down"), (old, "name", new), (new, "up")):
            self.run("ip", "-n", self.host("target"), "link", "set", *words)

    def play(self, frames: list[bytes], count: int, *, seconds: float = 0) -> subprocess.Popen[bytes]:
        """Starts to send so many frames, those of a list again and again, over so long a time."""
        path = self.work / f"{id(frames)}.pcap"
        path.write_bytes(pcap([(0, frame) for frame in frames]))
        words = [sys.executable, "-m", "tests.live.wire", str(path), str(count), str(seconds)]
        return subprocess.Popen(self.inside("sender", words), cwd=ROOT, env=os.environ)

    def play_all(self, frames: list[bytes]) -> None:
        assert self.play(frames, len(frames)).wait(60) == 0

    def send(self, count: int, *, seconds: float = 0, flows: int = 16, vnis: int = 1) -> subprocess.Popen[bytes]:
        """Starts to send so many mirrored packets, over so long a time, of so many flows in each of so many VNIs."""
        return self.play(questions(flows, vnis), count, seconds=seconds)

    def send_all(self, count: int, *, flows: int = 16, vnis: int = 1) -> None:
        assert self.send(count, flows=flows, vnis=vnis).wait(60) == 0


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    need_lab("curl")
    with workshop() as work:
        made = Wire(work)
        with made:
            yield made


def checked(frame: bytes) -> bytes:
    """With the checksum of its outer IP header, without which the kernel takes it for damaged (RFC 791, 3.1)."""
    words = sum(int.from_bytes(frame[at : at + 2]) for at in range(14, 34, 2))
    words = (words & 0xFFFF) + (words >> 16)
    return frame[:24] + (~((words & 0xFFFF) + (words >> 16)) & 0xFFFF).to_bytes(2) + frame[26:]


def mirrored(frame: bytes, *, vni: int = 12345) -> bytes:
    """As a mirror session sends it."""
    return checked(vxlan(frame, vni=vni))


def questions(flows: int, vnis: int) -> list[bytes]:
    """One packet of each flow in each VNI: a question to a port that nobody knows."""
    asked = [
        ethernet(ip(f"10.1.0.{i % 250 + 1}", "10.2.0.2", 17, udp(40000 + i, 9999, b"x" * 200))) for i in range(flows)
    ]
    return [mirrored(frame, vni=12345 + vni) for frame in asked for vni in range(vnis)]


def main(path: str, count: int, seconds: float) -> None:
    with open(path, "rb") as file:
        ready = [frame for _, frame in dpkt.pcap.Reader(file)]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as outlet:
        outlet.bind(("w0", ETH_P_ALL))
        began = time.monotonic()
        for i in range(count):
            outlet.send(ready[i % len(ready)])
            if seconds and i % 64 == 0 and (early := began + i * seconds / count - time.monotonic()) > 0:
                time.sleep(early)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
