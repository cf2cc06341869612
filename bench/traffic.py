"""Captures that the table measures: made, not recorded, so that each row has one cause.

All is mirrored: Ethernet, IPv4, UDP and VXLAN around each frame.  Checksums are zero, as in cut copies.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

START = 1_800_000_000
MACS = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00"
SYN, FIN, PSH, ACK = 2, 1, 8, 16
RECORD, OUTER, INNER = 16, 50, 34  # bytes: pcap's header, the envelope, Ethernet and IPv4 inside
GET = b"GET /item?id=1 HTTP/1.1\r\nHost: shop.lab.test\r\nUser-Agent: many/1\r\nAccept: */*\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
Flow = tuple[bytes, bytes, int, int, int]  # originator, responder, their ports, VNI


def flow(number: int, port: int) -> Flow:
    orig = struct.pack(">I", (10 << 24) + number)
    return orig, bytes([10, 200, number % 7, number % 200 + 1]), 20000 + number % 40000, port, 7000 + number % 64


def frame(of: Flow, is_orig: bool, proto: int, l4: Callable[[int, int], bytes]) -> bytes:
    """A mirrored frame; ``l4`` makes the transport from its ports."""
    src, dst, sport, dport, vni = of if is_orig else (of[1], of[0], of[3], of[2], of[4])
    segment = l4(sport, dport)
    inner = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, proto, 0, src, dst) + segment
    tunnel = struct.pack(">HHHHII", 65408, 4789, 16 + 14 + len(inner), 0, 0x08000000, vni << 8) + MACS + inner
    ends = bytes([172, 31, vni & 255, 1]), b"\xac\x1f\0\2"
    return MACS + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tunnel), 0, 0, 255, 17, 0, *ends) + tunnel


def udp(of: Flow, is_orig: bool, data: bytes) -> bytes:
    return frame(of, is_orig, 17, lambda s, d: struct.pack(">HHHH", s, d, 8 + len(data), 0) + data)


def tcp(of: Flow, is_orig: bool, seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    head = seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0
    return frame(of, is_orig, 6, lambda s, d: struct.pack(">HHIIBBHHH", s, d, *head) + data)


class Capture:
    """A pcap file that grows; a microsecond passes with each frame, or a second with each block."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.packets = file, 0
        self.second = START
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))

    def add(self, frames: Iterator[bytes] | list[bytes]) -> None:
        for one in frames:
            self.packets += 1
            when = self.second + self.packets // 1_000_000, self.packets % 1_000_000
            self.file.write(struct.pack("<IIII", *when, len(one), len(one)) + one)

    def rounds(self, blocks: list[tuple[list[bytes], int, int]], times: int) -> None:
        """Writes blocks of frames of one size again and again; the number at ``at`` of a frame grows by ``step``."""
        self.second += 1 + self.packets // 1_000_000
        heads = [struct.pack("<IIII", 0, 0, len(frames[0]), len(frames[0])) for frames, _, _ in blocks]
        ready = [(bytearray(b"".join(head + one for one in frames)), frames, at, step)
                 for head, (frames, at, step) in zip(heads, blocks, strict=True)]  # fmt: skip
        first = [struct.unpack_from(">I", frames[0], at)[0] for frames, at, _ in blocks]
        for turn in range(times):
            for (block, frames, at, step), begin in zip(ready, first, strict=True):
                stride = RECORD + len(frames[0])
                stamp = struct.pack("<II", self.second + turn // 100, turn % 100 * 10_000)
                number = struct.pack(">I", begin + turn * step & 0xFFFFFFFF)
                for i, byte in [*enumerate(stamp), *enumerate(number, RECORD + at)]:
                    block[i::stride] = bytes([byte]) * len(frames)
                self.file.write(block)
                self.packets += len(frames)
        self.second += times // 100 + 1
        self.packets += -self.packets % 1_000_000  # what is added later is later
        self.second -= self.packets // 1_000_000


def made(path: Path, fill: Callable[[Capture], None]) -> Path:
    with path.open("wb", buffering=1 << 20) as file:
        fill(Capture(file))
    return path


def many_flows(n: int) -> Callable[[Capture], None]:
    """N short HTTP connections, all open at once; step by step, as all of them are at the same step."""
    answer = OK % 100 + b"x" * 100
    asked, said = 101 + len(GET), 901 + len(answer)
    steps = [
        (True, 100, 0, SYN, b""), (False, 900, 101, SYN | ACK, b""), (True, 101, 901, ACK, b""),
        (True, 101, 901, PSH | ACK, GET), (False, 901, asked, PSH | ACK, answer),
        (True, asked, said, FIN | ACK, b""), (False, said, asked + 1, FIN | ACK, b""),
    ]  # fmt: skip

    def fill(capture: Capture) -> None:
        for step in steps:
            capture.add(tcp(flow(i, 80), *step) for i in range(n))

    return fill


def idle_udp(n: int) -> Callable[[Capture], None]:
    """N flows of a datagram that nobody knows."""
    return lambda capture: capture.add(udp(flow(i, 9999), True, bytes(22)) for i in range(n))


def idle_tcp(n: int) -> Callable[[Capture], None]:
    """N flows of a SYN."""
    return lambda capture: capture.add(tcp(flow(i, 80), True, 7, 0, SYN) for i in range(n))


def new_flows(n: int) -> Callable[[Capture], None]:
    """N datagrams of a flow each, 2,000 in a second of the capture's time: 120,000 are open before the first expire."""

    def fill(capture: Capture) -> None:
        for i in range(n):
            capture.second = START + i // 2000
            capture.add([udp(flow(i, 9999), True, bytes(22))])

    return fill


def small_packets(n: int, flows: int = 10_000) -> Callable[[Capture], None]:
    """Datagrams in frames of 64 bytes inside of the envelope."""
    frames = [udp(flow(i, 9999), True, bytes(22)) for i in range(flows)]
    return lambda capture: capture.rounds([(frames, OUTER + INNER + 8, 1)], n // flows)


def bulk(size: int, gigabytes: float, *, encrypted: bool, flows: int = 100) -> Callable[[Capture], None]:
    """A download in full frames, acknowledged every other one: HTTP, or records of TLS."""
    payload = size - 40
    turns = int(gigabytes * 1e9 / (RECORD + OUTER + 14 + size) / flows) // 2 * 2
    if encrypted:
        port, asks, says = 443, [client_hello()], [server_hello()]
        data = struct.pack(">BHH", 23, 0x0303, payload - 5) + b"\xa5" * (payload - 5)
    else:
        port, asks, says, data = 80, [GET], [OK % (turns * payload)], b"\xa5" * payload

    def fill(capture: Capture) -> None:
        all_of = [flow(i, port) for i in range(flows)]
        asked, said = 101 + len(asks[0]), 901 + len(says[0])
        for step in ((True, 100, 0, SYN), (False, 900, 101, SYN | ACK), (True, 101, 901, PSH | ACK, asks[0]),
                     (False, 901, asked, PSH | ACK, says[0])):  # fmt: skip
            capture.add([tcp(of, *step) for of in all_of])
        at = OUTER + INNER + 4
        first = [tcp(of, False, said, asked, ACK, data) for of in all_of]
        second = [tcp(of, False, said + payload, asked, ACK, data) for of in all_of]
        acks = [tcp(of, True, asked, said + 2 * payload, ACK) for of in all_of]
        capture.rounds([(first, at, 2 * payload), (second, at, 2 * payload), (acks, at + 4, 2 * payload)], turns // 2)
        end = said + turns * payload
        capture.add([tcp(of, False, end, asked, FIN | ACK) for of in all_of])
        capture.add([tcp(of, True, asked, end + 1, FIN | ACK) for of in all_of])

    return fill


def hello(kind: int, body: bytes) -> bytes:
    """A handshake message in a record (RFC 8446, 4 and 5.1)."""
    message = struct.pack(">I", kind << 24 | len(body)) + body
    return struct.pack(">BHH", 22, 0x0303, len(message)) + message


def client_hello() -> bytes:
    name = b"shop.lab.test"
    server_name = struct.pack(">HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    extensions = server_name + bytes.fromhex("002b0003020304")
    return hello(
        1, b"\x03\x03" + bytes(33) + bytes.fromhex("000213010100") + struct.pack(">H", len(extensions)) + extensions
    )


def server_hello() -> bytes:
    extensions = bytes.fromhex("002b00020304")
    return hello(2, b"\x03\x03" + bytes(33) + bytes.fromhex("130100") + struct.pack(">H", len(extensions)) + extensions)


def questions(n: int) -> Callable[[Capture], None]:
    """DNS: a question and its answer, each pair a flow of its own, a hundred under way at once."""

    def fill(capture: Capture) -> None:
        for start in range(0, n, 100):
            asked = [(flow(i, 53), struct.pack(">H", i & 0xFFFF), b"\x05h%04d\x04shop\x03lab\x04test\0" % (i % 10000))
                     for i in range(start, start + 100)]  # fmt: skip
            for of, number, name in asked:
                capture.add([udp(of, True, number + bytes.fromhex("01000001000000000000") + name + b"\0\1\0\1")])
            for of, number, name in asked:
                answer = (
                    bytes.fromhex("81800001000100000000")
                    + name
                    + bytes.fromhex("00010001c00c000100010000003c00040a000001")
                )
                capture.add([udp(of, False, number + answer)])

    return fill
