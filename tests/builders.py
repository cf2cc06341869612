"""Packets and captures from bytes: small, exact, and without a library that could share a mistake with the sensor."""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
START = 1_800_000_000.0
MACS = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"
Timed = tuple[float, bytes]
Turns = list[tuple[bool, bytes]]  # (is it the originator's?, what it says)


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def ip(
    src: str, dst: str, proto: int, payload: bytes, *, ident: int = 1, frag: int = 0x4000, total: int | None = None
) -> bytes:
    """An IPv4 or IPv6 packet; ``total`` overrides the length that its header claims."""
    if ":" in src:
        size = len(payload) if total is None else total - 40
        return struct.pack(">IHBB16s16s", 6 << 28, size, proto, 64, packed(src), packed(dst)) + payload
    size = 20 + len(payload) if total is None else total
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, ident, frag, 64, proto, 0, packed(src), packed(dst)) + payload


def fragments(packet: bytes, size: int, ident: int = 77) -> list[bytes]:
    """An IPv4 packet in fragments of ``size`` bytes of payload, a multiple of eight."""
    header, body = packet[:20], packet[20:]
    out = []
    for at in range(0, len(body), size):
        piece, more = body[at : at + size], at + size < len(body)
        out.append(
            header[:2]
            + struct.pack(">HHH", 20 + len(piece), ident, (0x2000 if more else 0) | at // 8)
            + header[8:]
            + piece
        )
    return out


def udp(sport: int, dport: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b"", window: int = 65535) -> bytes:
    return (
        struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, window, 0, 0) + payload
    )


def ethernet(packet: bytes, kind: int | None = None) -> bytes:
    if kind is None:
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return MACS + struct.pack(">H", kind) + packet


def vxlan(
    frame: bytes, *, vni: int = 7770001, src: str = "172.31.0.1", dst: str = "172.31.0.2", sport: int = 65408
) -> bytes:
    """A frame as a mirror's VXLAN envelope carries it."""
    header = struct.pack(">II", 0x08000000, vni << 8)
    return ethernet(ip(src, dst, 17, udp(sport, 4789, header + frame)))


def geneve(
    packet: bytes,
    *,
    kind: int = 0x0800,
    vni: int = 0,
    options: bytes = b"",
    src: str = "172.31.9.9",
    dst: str = "172.31.0.2",
) -> bytes:
    header = struct.pack(">BBHI", len(options) // 4, 0, kind, vni << 8) + options
    return ethernet(ip(src, dst, 17, udp(61000, 6081, header + packet)))


def aws_options(endpoint: int = 0x2B8EE1D4DB0C51C4, attachment: int = 7, cookie: int = 5) -> bytes:
    """The three options of a gateway load balancer."""
    return (
        struct.pack(">HBBQ", 0x0108, 1, 2, endpoint)
        + struct.pack(">HBBQ", 0x0108, 2, 2, attachment)
        + struct.pack(">HBBI", 0x0108, 3, 1, cookie)
    )


def gwlb(frame: bytes, **envelope: int) -> bytes:
    """A mirrored frame as it arrives through a gateway load balancer: GENEVE, then the mirror's VXLAN."""
    return geneve(vxlan(frame)[14:], options=aws_options(**envelope))


def pcap(frames: Iterable[Timed], *, link: int = 1, order: str = "<", nano: bool = False, snap: int = 262144) -> bytes:
    magic, unit = (0xA1B23C4D, 10**9) if nano else (0xA1B2C3D4, 10**6)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for time, frame in frames:
        whole = frame[:snap]
        ticks = round(time * unit)
        out.append(struct.pack(order + "IIII", ticks // unit, ticks % unit, len(whole), len(frame)) + whole)
    return b"".join(out)


@dataclass
class Talk:
    """One TCP connection; every call appends the packets that real hosts would send."""

    orig: str = "10.1.0.1"
    resp: str = "10.2.0.2"
    sport: int = 40000
    dport: int = 9999
    start: float = START
    orig_seq: int = 1000
    resp_seq: int = 5_000_000
    packets: list[tuple[float, bool, bytes]] = field(default_factory=list)  # time, is_orig, IP packet

    def send(
        self,
        is_orig: bool,
        flags: int,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        at: float | None = None,
        total: int | None = None,
    ) -> None:
        """One packet; ``seq`` and ``at`` override where and when it stands."""
        mine, other = (self.orig_seq, self.resp_seq) if is_orig else (self.resp_seq, self.orig_seq)
        ports = (self.sport, self.dport) if is_orig else (self.dport, self.sport)
        ends = (self.orig, self.resp) if is_orig else (self.resp, self.orig)
        segment = tcp(*ports, mine if seq is None else seq, other if flags & ACK else 0, flags, payload)
        when = self.start + len(self.packets) * 0.0001 if at is None else at
        self.packets.append((when, is_orig, ip(*ends, 6, segment, total=total)))
        if seq is None:
            used = len(payload) + bool(flags & SYN) + bool(flags & FIN)
            if is_orig:
                self.orig_seq += used
            else:
                self.resp_seq += used

    def open(self) -> "Talk":
        self.send(True, SYN)
        self.send(False, SYN | ACK)
        self.send(True, ACK)
        return self

    def say(self, turns: Turns, *, most: int = 1400) -> "Talk":
        """The turns in segments of at most ``most`` bytes."""
        for is_orig, data in turns:
            for at in range(0, len(data), most):
                self.send(is_orig, PSH | ACK, data[at : at + most])
        return self

    def close(self) -> "Talk":
        self.send(True, FIN | ACK)
        self.send(False, FIN | ACK)
        self.send(True, ACK)
        return self

    def frames(self) -> Iterator[Timed]:
        for time, _, packet in self.packets:
            yield time, ethernet(packet)


def connection(turns: Turns, *, most: int = 1400, **ends: object) -> Talk:
    """A whole connection in which the turns are said."""
    return Talk(**ends).open().say(turns, most=most).close()  # type: ignore[arg-type]
