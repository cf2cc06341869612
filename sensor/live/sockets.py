"""Plain UDP sockets for tunnels, for where AF_PACKET cannot be had: one for each address and worker.

The kernel chooses a group's socket by the inner flow (Documentation/networking/filter.rst; socket(7), SO_REUSEPORT).
"""
import ipaddress
import logging
import socket
import struct
from typing import NamedTuple

from sensor.errors import LiveError, UsageError
from sensor.live import bpf
from sensor.live.division import socket_program

LOG = logging.getLogger("cloudmri.live")
SO_TIMESTAMPNS, SO_RCVBUFFORCE, SO_ATTACH_REUSEPORT_CBPF, SO_MEMINFO = 35, 33, 51, 55
MOST_SOCKETS = 8                   # of a worker
ENOUGH = 8 << 20                   # bytes of receive buffer below which bursts are lost


class Address(NamedTuple):
    host: str
    port: int


def parse_address(text: str) -> Address:
    """``udp://0.0.0.0:4789`` or ``udp://[::]:6081``.  Raises UsageError."""
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    try:
        if scheme != "udp":
            raise ValueError
        ipaddress.ip_address(host.strip("[]"))
        return Address(host.strip("[]"), int(port))
    except ValueError:
        raise UsageError(f"--listen is udp://ADDRESS:PORT, such as udp://0.0.0.0:4789, not {text!r}") from None


def open_sockets(addresses: list[Address], workers: int, *, buffer_bytes: int, vxlan_ports: tuple[int, ...],
                 geneve_ports: tuple[int, ...]) -> list[list[socket.socket]]:
    """For each worker its sockets.  None of them takes a packet before all are there.  Raises LiveError, UsageError."""
    if len(addresses) > MOST_SOCKETS:
        raise UsageError(f"at most {MOST_SOCKETS} addresses to listen at, not {len(addresses)}")
    refuse_other_ports(addresses, vxlan_ports, geneve_ports)
    found: list[list[socket.socket]] = [[] for _ in range(workers)]
    for address in addresses:
        kind = "vxlan" if address.port in vxlan_ports else "geneve"
        program = socket_program(workers, kind, vxlan_ports)
        for worker in found:
            try:
                worker.append(one_socket(address, buffer_bytes))
            except OSError as error:
                raise LiveError(f"cannot listen on {address.host}:{address.port}: {error.strerror}") from None
        bpf.attach(found[0][-1], socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program)
    for worker in found:
        for one in worker:
            bpf.attach(one, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.EVERYTHING)
    return found


def refuse_other_ports(addresses: list[Address], vxlan_ports: tuple[int, ...], geneve_ports: tuple[int, ...]) -> None:
    for address in addresses:
        if address.port not in (*vxlan_ports, *geneve_ports):
            raise UsageError(f"port {address.port} is no tunnel's; say what it is with --vxlan-port or --geneve-port")


def one_socket(address: Address, buffer_bytes: int) -> socket.socket:
    """Bound, deaf, with as large a buffer as it may have."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    bpf.attach(one, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)
    one.bind(address)
    enlarge(one, buffer_bytes)
    return one


def enlarge(one: socket.socket, wanted: int) -> None:
    """The kernel doubles what is asked for, for its own use; getsockopt gives the double."""
    try:
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
    except PermissionError:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    got = one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if got < min(wanted, ENOUGH):
        LOG.warning("the receive buffer has %d KB of %d: raise the limit with sysctl -w net.core.rmem_max=%d",
                    got >> 10, wanted >> 10, wanted)


def drops(one: socket.socket) -> int:
    """Datagrams that the kernel has dropped so far: SK_MEMINFO_DROPS (linux/sock_diag.h)."""
    return int(struct.unpack("@9I", one.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8])


def close_inflow(one: socket.socket) -> None:
    """No datagram more comes, and none is counted as dropped: the socket takes those of nobody but itself.  Where that
    cannot be, a filter drops what comes."""
    host, port = one.getsockname()[:2]
    nobody = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        one.connect((nobody, port))
    except OSError:
        bpf.attach(one, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)
