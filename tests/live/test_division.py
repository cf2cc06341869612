"""Which worker a flow goes to: the programs that the kernel runs, on a machine like the kernel's and in the kernel."""

import random
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.live import bpf
from sensor.live.division import ring_program, socket_program
from tests.builders import SYN, aws_options, ethernet, geneve, gwlb, ip, packed, tcp, udp, vxlan
from tests.live.bpf_machine import answer

WORKERS = 5
RING = ring_program(WORKERS, (4789,), (6081,))
VXLAN_SOCKET = socket_program(WORKERS, "vxlan", (4789,))
GENEVE_SOCKET = socket_program(WORKERS, "geneve", (4789,))


def tagged(packet: bytes) -> bytes:
    whole = ethernet(packet)
    return whole[:12] + struct.pack(">HH", 0x8100, 7) + whole[12:]


def v6_with_option(packet: bytes) -> bytes:
    """The same packet with a destination options header in front of its transport, if it is IPv6."""
    if packet[0] >> 4 != 6:
        return packet
    return (
        packet[:4] + struct.pack(">H", len(packet) - 32) + b"\x3c" + packet[7:40] + packet[6:7] + bytes(7) + packet[40:]
    )


# how an inner IP packet arrives, from the Ethernet header on
ENVELOPES: dict[str, Callable[[bytes], bytes]] = {
    "plain": ethernet,
    "vxlan": lambda packet: vxlan(ethernet(packet)),
    "vxlan of another session and interface": lambda packet: vxlan(
        ethernet(packet), vni=9, src="10.9.9.9", sport=50000
    ),
    "vxlan with a tag inside": lambda packet: vxlan(tagged(packet)),
    "vxlan over ipv6": lambda packet: ethernet(
        ip("fd00::1", "fd00::2", 17, udp(50000, 4789, struct.pack(">II", 0x08000000, 7 << 8) + ethernet(packet)))
    ),
    "geneve of a frame": lambda packet: geneve(ethernet(packet), kind=0x6558),
    "geneve of a frame with options": lambda packet: geneve(ethernet(packet), kind=0x6558, options=aws_options()),
    "geneve of ip with options": lambda packet: geneve(
        packet, options=bytes(60), kind=0x0800 if packet[0] >> 4 == 4 else 0x86DD
    ),
    "vxlan in geneve": lambda packet: gwlb(ethernet(packet)),
    "an option before the transport": lambda packet: vxlan(ethernet(v6_with_option(packet))),
}
ENDS = {4: ("10.1.2.3", "10.77.0.9"), 6: ("fd00:1::5", "fd00:2::77")}


def choose(frame: bytes) -> int:
    """The worker by the ring's program, which a socket's must agree with."""
    worker = answer(RING, frame, 14)
    if frame[12:14] == b"\x08\x00" and frame[23] == 17:
        port = int.from_bytes(frame[36:38])
        if port in (4789, 6081):
            program = VXLAN_SOCKET if port == 4789 else GENEVE_SOCKET
            assert answer(program, frame[42:]) == worker
    return worker


@pytest.mark.parametrize("version", [4, 6])
@given(sport=st.integers(0, 65535), dport=st.integers(0, 65535), last=st.integers(1, 254))
def test_both_directions_of_a_connection_meet_in_every_envelope(
    version: int, sport: int, dport: int, last: int
) -> None:
    one, other = ENDS[version][0], ENDS[version][1][:-1] + f"{last}"
    there = ip(one, other, 6, tcp(sport, dport, 1, 0, SYN, b"x" * 20))
    back = ip(other, one, 6, tcp(dport, sport, 9, 2, SYN, b"y" * 20))
    assert len({choose(wrap(packet)) for wrap in ENVELOPES.values() for packet in (there, back)}) == 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_question_and_its_answer_meet(version: int) -> None:
    one, other = ENDS[version]
    asks = [ip(one, other, 17, udp(40000 + i, 53, b"q" * 20)) for i in range(50)]
    answers = [ip(other, one, 17, udp(53, 40000 + i, b"a" * 20)) for i in range(50)]
    assert len({choose(wrap(packet)) for wrap in ENVELOPES.values() for packet in asks + answers}) == 1


def test_fragments_of_a_datagram_meet_and_icmp_goes_with_them() -> None:
    one, other = ENDS[4]
    whole = udp(40000, 53, b"x" * 3000)
    parts = [ip(one, other, 17, whole[:1480], frag=0x2000), ip(one, other, 17, whole[1480:], frag=185)]
    icmp = ip(other, one, 1, b"\x03\x03" + bytes(30))
    assert len({choose(vxlan(ethernet(packet))) for packet in (*parts, icmp)}) == 1
    first = ip(one, other, 6, tcp(1, 2, 3, 4, SYN, b"x" * 1460), frag=0x2000)
    rest = ip(one, other, 6, b"x" * 1000, frag=185)
    assert choose(ethernet(first)) == choose(ethernet(rest))


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_flows_are_spread_evenly(workers: int) -> None:
    program = ring_program(workers, (4789,), (6081,))
    chance = random.Random(1)
    counts = [0] * workers
    for i in range(6000):
        src = f"10.0.{i % 7}.{chance.randrange(1, 255)}"
        packet = ip(src, "10.0.0.20", 6, tcp(chance.randrange(32768, 61000), 443, 1, 0, SYN))
        counts[answer(program, vxlan(ethernet(packet)), 14)] += 1
    assert min(counts) > 0.85 * 6000 / workers


@given(cut=st.integers(0, 120), name=st.sampled_from(sorted(ENVELOPES)))
def test_a_cut_frame_goes_somewhere(cut: int, name: str) -> None:
    frame = ENVELOPES[name](ip("10.1.2.3", "10.77.0.9", 6, tcp(1, 2, 3, 4, SYN, b"x" * 20)))
    assert 0 <= answer(RING, frame[: 14 + cut], 14) < WORKERS
    assert 0 <= answer(GENEVE_SOCKET, frame[42 : 42 + cut]) < WORKERS


@given(st.binary(max_size=200))
def test_any_bytes_go_somewhere(data: bytes) -> None:
    for program in (RING, VXLAN_SOCKET, GENEVE_SOCKET):
        assert 0 <= answer(program, data) < WORKERS


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_the_kernel_takes_the_programs(workers: int) -> None:
    """It refuses one that jumps nowhere, reads a cell before it is written, or is too long."""
    ports, others = tuple(range(4789, 4797)), tuple(range(6081, 6089))
    programs = [ring_program(workers, ports, others), bpf.tunnel_filter((*ports, *others)), bpf.NOTHING]
    programs += [socket_program(workers, kind, ports) for kind in ("vxlan", "geneve")]
    for program in programs:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            bpf.attach(one, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, program)


def test_a_jump_that_is_too_far_is_no_program() -> None:
    far: list[bpf.Op | str] = [bpf.Op(bpf.JEQ, 1, "end"), *[bpf.Op(bpf.TAX)] * 300, "end", bpf.Op(bpf.RET_K)]
    with pytest.raises(ValueError, match="jumps 300"):
        bpf.assemble(far)


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (vxlan(b"x" * 60), True),
        (geneve(b"x" * 60), True),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(4789, 53, b"x"))), False),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 6, tcp(1, 4789, 1, 1, SYN))), False),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 17, b"x" * 100, frag=185)), True),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 6, b"x" * 100, frag=185)), False),
        (ethernet(ip("fd00::1", "fd00::2", 17, udp(1, 4789, b"x"))), True),
        (ethernet(ip("fd00::1", "fd00::2", 17, udp(1, 53, b"x"))), False),
        (ethernet(ip("fd00::1", "fd00::2", 44, bytes(40))), True),
        (ethernet(packed("10.0.0.1") * 7, 0x0806), False),
        (ethernet(ip("fd00::1", "fd00::2", 60, bytes([17, 0, 0, 0, 0, 0, 0, 0]) + udp(1, 4789, b"x"))), True),
        (ethernet(ip("fd00::1", "fd00::2", 0, bytes([44, 0, 0, 0, 0, 0, 0, 0]) + b"x" * 60)), True),
        (ethernet(ip("fe80::1", "ff02::16", 0, bytes([58, 0, 5, 2, 0, 0, 1, 0, 143, 0]) + b"x" * 26)), False),  # MLD
    ],
)
def test_the_ring_takes_tunnels_and_outer_fragments_only(frame: bytes, taken: bool) -> None:
    assert bool(answer(bpf.tunnel_filter((4789, 6081)), frame, 14)) == taken
