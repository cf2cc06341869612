"""What of a machine costs packets, and what to do about it: for ``cloudmri check -i``.

A mirror's copy is longer than what it copies, so a target needs jumbo frames; a network card that joins packets makes
others of them; buffers that are too small drop bursts.
"""
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sensor.engine import Options
from sensor.errors import LiveError
from sensor.live import nic, rings
from sensor.live.wishes import LiveOptions

JUMBO = 9001                       # bytes: what EC2 carries inside of a network
ENVELOPE = 54                      # bytes that VXLAN puts around a frame, its Ethernet header included
ETHTOOL_GGRO, ETHTOOL_GFLAGS, ETH_FLAG_LRO = 0x2B, 0x25, 1 << 15       # linux/ethtool.h
CAP_NET_RAW = 13                   # linux/capability.h
IFF_UP = 1


class Finding(NamedTuple):
    well: bool
    what: str
    advice: str = ""


def look(interface: str, live: LiveOptions, options: Options) -> list[Finding]:
    """All that was looked at, in order.  Raises LiveError for an interface that is not there."""
    rings.link_of(interface)
    found = [is_up(interface), mtu(interface), joins(interface), rights(), room(live), cores(live)]
    return [*found, *receive_buffers(live), *ports(options)]


def is_up(interface: str) -> Finding:
    flags = int(Path(f"/sys/class/net/{interface}/flags").read_text(), 16)
    return Finding(bool(flags & IFF_UP), f"{interface} is {'up' if flags & IFF_UP else 'down'}",
                   f"ip link set {interface} up")


def mtu(interface: str) -> Finding:
    size = int(Path(f"/sys/class/net/{interface}/mtu").read_text())
    if size >= JUMBO:
        return Finding(True, f"MTU is {size}")
    return Finding(False, f"MTU is {size}: copies of IP packets longer than {size - ENVELOPE} bytes are cut or lost",
                   f"ip link set {interface} mtu {JUMBO}")


def joins(interface: str) -> Finding:
    """Packets that were joined are no packets that anybody sent."""
    on = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        if ethtool_value(one, interface, ETHTOOL_GGRO):
            on.append("gro")
        if ethtool_value(one, interface, ETHTOOL_GFLAGS) & ETH_FLAG_LRO:
            on.append("lro")
    if not on:
        return Finding(True, "packets are not joined (GRO, LRO)")
    return Finding(False, f"packets are joined before they are captured ({', '.join(on).upper()})",
                   f"ethtool -K {interface} {' '.join(f'{name} off' for name in on)}")


def ethtool_value(one: socket.socket, interface: str, command: int) -> int:
    return int(struct.unpack("=II", nic.ethtool(one, interface, struct.pack("=II", command, 0)))[1])


def rights() -> Finding:
    """Of this process; a service has its own."""
    held = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
    if held >> CAP_NET_RAW & 1:
        return Finding(True, "this user may capture (CAP_NET_RAW)")
    return Finding(False, "this user may not capture (CAP_NET_RAW)", "run as root, give the service "
                   "AmbientCapabilities=CAP_NET_RAW, or use --listen, which needs no right")


def room(live: LiveOptions) -> Finding:
    wanted = live.workers * rings.bytes_of(live.ring_bytes)
    try:
        rings.refuse_too_much(wanted)
    except LiveError as error:
        return Finding(False, str(error), "a smaller capture.ring_size")
    return Finding(True, f"there is memory for rings of {wanted >> 20} MB")


def cores(live: LiveOptions) -> Finding:
    there = len(os.sched_getaffinity(0))
    return Finding(live.workers <= there, f"{live.workers} worker{'' if live.workers == 1 else 's'} on {there} "
                   f"core{'' if there == 1 else 's'}", f"--workers {there} or fewer")


def receive_buffers(live: LiveOptions) -> Iterator[Finding]:
    """Sockets alone need them; a ring has its own memory.  Namespaces other than the first do not show it."""
    path = Path("/proc/sys/net/core/rmem_max")
    if live.listen and path.exists():
        most = int(path.read_text())
        yield Finding(most >= live.buffer_bytes, f"receive buffers may have {most >> 10} KB",
                      f"sysctl -w net.core.rmem_max={live.buffer_bytes}")


def ports(options: Options) -> Iterator[Finding]:
    """A port that another program has is read by it, and answered by it."""
    for port in (*options.vxlan_ports, *options.geneve_ports):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            try:
                one.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    yield Finding(False, f"a program listens at UDP port {port}",
                                  f"ss -lunp sport = {port} shows it; none but a sensor should")
