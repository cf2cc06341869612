"""AF_PACKET sockets with a ring each, all opened before privileges are dropped, and kept by the supervisor.

A worker maps a ring that it was handed; one that replaces it maps the same (Documentation/networking/packet_mmap.rst).
"""
import contextlib
import socket
import struct
from pathlib import Path

from sensor.errors import LiveError
from sensor.live import bpf
from sensor.live.division import ring_program

SOL_PACKET, ETH_P_ALL = 263, 0x0003
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_RESERVE = 1, 5, 6, 10, 12
PACKET_FANOUT, PACKET_FANOUT_DATA, PACKET_IGNORE_OUTGOING = 18, 22, 23
PACKET_MR_PROMISC, PACKET_FANOUT_CBPF, PACKET_FANOUT_FLAG_UNIQUEID = 1, 6, 0x2000
TPACKET_V3, TAG_SIZE, FRAME_SIZE = 2, 4, 2048
SMALLEST_BLOCK, LARGEST_BLOCK = 1 << 18, 1 << 20
LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
LINKS = {1: LINKTYPE_ETHERNET, 772: LINKTYPE_ETHERNET, 0xFFFE: LINKTYPE_RAW, 768: LINKTYPE_RAW, 776: LINKTYPE_RAW,
         778: LINKTYPE_RAW}                            # ARPHRD_* (linux/if_arp.h): Ethernet, loopback, none, tunnels
FANOUT_MASK = 0xFFFF


def link_of(interface: str) -> int:
    """The link type of an interface's frames.  Raises LiveError for one that is not there, or of another kind."""
    path = Path("/sys/class/net") / interface / "type"
    try:
        kind = int(path.read_text())
    except (OSError, ValueError):
        there = ", ".join(sorted(path.name for path in Path("/sys/class/net").iterdir()))
        raise LiveError(f"there is no interface {interface!r}; there are: {there}") from None
    if kind not in LINKS:
        raise LiveError(f"interface {interface!r} is of kind {kind}, which is neither Ethernet nor IP")
    return LINKS[kind]


def raw_sockets(count: int) -> list[socket.socket]:
    """Sockets that are bound to nothing; to get one takes a right, to make a ring of it later takes none."""
    try:
        return [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(count)]
    except PermissionError:
        raise LiveError("capturing from an interface needs root or the capability CAP_NET_RAW") from None
    except OSError as error:
        raise LiveError(f"{count} raw sockets cannot be had: {error.strerror}") from None


def set_up(rings: list[socket.socket], interface: str, *, ring_bytes: int, block_ms: int, plain: bool,
           promiscuous: bool, vxlan_ports: tuple[int, ...], geneve_ports: tuple[int, ...]) -> None:
    """Gives each socket a ring, and divides the interface's packets among them by flow.

    None of them takes a packet before all are there: a flow would change its worker.  Raises LiveError.
    """
    try:
        for ring in rings:
            make_ring(ring, ring_bytes, block_ms)
            bpf.attach(ring, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)
            ring.bind((interface, ETH_P_ALL))
        if len(rings) > 1:
            divide(rings, ring_program(len(rings), vxlan_ports, geneve_ports))
        if promiscuous:
            index = socket.if_nametoindex(interface)
            request = struct.pack("@iHH8s", index, PACKET_MR_PROMISC, 0, b"")
            rings[0].setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
        for ring in rings:
            ring.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
            bpf.attach(ring, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER,
                       bpf.EVERYTHING if plain else bpf.tunnel_filter((*vxlan_ports, *geneve_ports)))
    except OSError as error:
        raise LiveError(f"interface {interface}: {error.strerror}") from None


def refuse_too_much(wanted: int) -> None:
    """The kernel would give the rings all memory there is, and then none to anybody."""
    free = 0
    with open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) << 10
    if wanted > free // 2:
        raise LiveError(f"rings of {wanted >> 20} MB in all are more than half of the {free >> 20} MB that are free; "
                        "choose less with --ring-size or --workers")


def blocks_of(ring_bytes: int) -> tuple[int, int]:
    """How many blocks a ring has, and the size of each.  Of large ones few wake the worker; how full the ring is shows
    in their number."""
    size = SMALLEST_BLOCK
    while size < LARGEST_BLOCK and 64 * size < ring_bytes:
        size *= 2
    return max(2, ring_bytes // size), size


def bytes_of(ring_bytes: int) -> int:
    """What a ring of so many bytes takes."""
    blocks, size = blocks_of(ring_bytes)
    return blocks * size


def make_ring(ring: socket.socket, ring_bytes: int, block_ms: int) -> None:
    blocks, size = blocks_of(ring_bytes)
    request = struct.pack("@7I", size, blocks, FRAME_SIZE, blocks * (size // FRAME_SIZE), block_ms, 0, 0)
    ring.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
    ring.setsockopt(SOL_PACKET, PACKET_RESERVE, TAG_SIZE)
    ring.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    try:
        ring.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
    except OSError as error:
        raise LiveError(f"a ring of {blocks * size >> 20} MB cannot be had ({error.strerror}); choose less with "
                        "--ring-size") from None


def divide(rings: list[socket.socket], program: bpf.Program) -> None:
    """Makes one fan-out group of the sockets, in their order; the program gives the number of one."""
    first = rings[0]
    group = PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_UNIQUEID
    first.setsockopt(SOL_PACKET, PACKET_FANOUT, group << 16)
    number = struct.unpack("@I", first.getsockopt(SOL_PACKET, PACKET_FANOUT, 4))[0] & FANOUT_MASK
    bpf.attach(first, SOL_PACKET, PACKET_FANOUT_DATA, program)
    for ring in rings[1:]:
        ring.setsockopt(SOL_PACKET, PACKET_FANOUT, PACKET_FANOUT_CBPF << 16 | number)


def claim_ports(ports: tuple[int, ...]) -> list[socket.socket]:
    """Binds the tunnel's ports, so that the kernel does not answer each mirrored packet with "port unreachable".

    Nobody reads from them: a filter drops all before it costs memory.  A port that another program has is left to it.
    """
    claimed = []
    for port in ports:
        for family, everywhere in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
            with contextlib.suppress(OSError):
                one = socket.socket(family, socket.SOCK_DGRAM)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bpf.attach(one, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)
                one.bind((everywhere, port))
                claimed.append(one)
    return claimed
