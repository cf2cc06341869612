"""A lab whose mirror arrives as from a wire.

What TCP sends on this machine carries the sender's time through all devices, and each listener stamps such a packet for
itself.  A relay sends every frame anew, so the kernel stamps it on arrival, once for all, as it does what a network
card receives.
"""

import contextlib
import os
import socket
import subprocess
import sys

from sensor.live.rings import ETH_P_ALL, PACKET_IGNORE_OUTGOING, SOL_PACKET
from sensor.live.sockets import SO_RCVBUFFORCE, SO_TIMESTAMPNS
from tests.conftest import ROOT
from tests.truth.lab import SENSOR, Lab


class RelayedLab(Lab):
    hosts = (*Lab.hosts, "target")
    listener, ear = "target", "y0"
    patience = 2.0  # several sensors run beside it

    def __enter__(self) -> "RelayedLab":
        super().__enter__()
        self.stamps = socket.socket(type=socket.SOCK_DGRAM)
        self.stamps.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # while one wants them, all are stamped on arrival
        return self

    def __exit__(self, *why: object) -> None:
        with contextlib.suppress(AttributeError):
            self.stamps.close()
        super().__exit__(*why)

    def build(self) -> None:
        super().build()
        sensor, target = f"{self.name}-sensor", f"{self.name}-target"
        self.run("ip", "link", "add", "z0", "netns", sensor, "type", "veth", "peer", "name", "y0", "netns", target)
        self.run("ip", "-n", sensor, "link", "set", "z0", "mtu", "9001", "up")
        shown = subprocess.run(
            self.inside("sensor", ["cat", "/sys/class/net/x0/address"]), capture_output=True, text=True
        )
        self.run("ip", "-n", target, "link", "set", "y0", "address", shown.stdout.strip(), "mtu", "9001", "up")
        self.run("ip", "-n", target, "addr", "add", f"{SENSOR}/24", "dev", "y0")
        with (self.work / "relay.log").open("wb") as log:
            relay = subprocess.Popen(
                self.inside("sensor", [sys.executable, "-m", "tests.live.relay", "x0", "z0"]), cwd=ROOT, stderr=log,
                start_new_session=True, stdout=subprocess.PIPE, env=os.environ,
            )  # fmt: skip
        self.running.append(relay)
        assert relay.stdout is not None and relay.stdout.readline(), (self.work / "relay.log").read_text()
        relay.stdout.close()


def main(arrives: str, leaves: str) -> None:
    """Sends each frame that arrives at one interface out of another."""
    buffer = bytearray(1 << 16)
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as inlet,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as outlet,
    ):
        inlet.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        inlet.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        inlet.bind((arrives, ETH_P_ALL))
        outlet.bind((leaves, 0))
        print("ready", flush=True)
        while True:
            size = inlet.recv_into(buffer)
            outlet.send(memoryview(buffer)[:size])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
