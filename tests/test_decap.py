"""Decapsulation: every stack that clouds and switches send, and a counted reason for what cannot be used."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import GRE, IP, UDP, Dot1AD, Dot1Q, Ether, IPv6, Raw
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III
from scapy.contrib.mpls import MPLS
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, LLC, SNAP
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN

from tests.builders import MACS, START, aws_options, ethernet, fragments, geneve, gwlb, ip, pcap, tcp, udp, vxlan
from tests.conftest import Record, Run, run

INNER = IP(src="10.7.0.1", dst="10.7.0.2") / UDP(sport=1111, dport=2222) / Raw(b"payload!")
INNER6 = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1111, dport=2222) / Raw(b"payload!")
OUTER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="172.31.0.1", dst="172.31.0.2")
OUTER6 = Ether() / IPv6(src="fd99::1", dst="fd99::2")
ETHER = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")


def mirror(frame: object, vni: int = 7, outer: object = OUTER) -> object:
    return outer / UDP(sport=65408, dport=4789, chksum=0) / VXLAN(vni=vni, flags=8) / frame


STACKS = {
    "ethernet": ETHER / INNER,
    "ethernet v6": ETHER / INNER6,
    "vlan": ETHER / Dot1Q(vlan=5) / INNER,
    "q-in-q": ETHER / Dot1AD(vlan=5) / Dot1Q(vlan=6) / INNER,
    "mpls": ETHER / MPLS(label=16, s=0) / MPLS(label=17, s=1) / INNER,
    "pppoe": ETHER / PPPoE(sessionid=1) / PPP(proto=0x21) / INNER,
    "llc snap": Ether(type=len(bytes(INNER)) + 8)
    / LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
    / SNAP(OUI=0, code=0x0800)
    / INNER,
    "vxlan": mirror(ETHER / INNER),
    "vxlan over v6": mirror(ETHER / INNER, outer=OUTER6),
    "vxlan with v6 inside": mirror(ETHER / INNER6),
    "vxlan with vlan inside": mirror(ETHER / Dot1Q(vlan=9) / INNER),
    "vxlan in vxlan": mirror(
        ETHER / IP(src="10.5.0.1", dst="10.5.0.2") / UDP(dport=4789) / VXLAN(vni=99, flags=8) / ETHER / INNER
    ),
    "gre": OUTER / GRE(proto=0x0800) / INNER,
    "gre with key and sequence": OUTER
    / GRE(proto=0x0800, key_present=1, key=9, seqnum_present=1, sequence_number=4)
    / INNER,
    "gre carrying ethernet": OUTER / GRE(proto=0x6558) / ETHER / INNER,
    "gre over udp": OUTER / UDP(dport=4754) / GRE(proto=0x0800) / INNER,
    "erspan i": OUTER / GRE(proto=0x88BE) / ERSPAN_I() / ETHER / INNER,
    "erspan ii": OUTER / GRE(proto=0x88BE, seqnum_present=1, sequence_number=1) / ERSPAN_II() / ETHER / INNER,
    "erspan iii": OUTER / GRE(proto=0x22EB, seqnum_present=1, sequence_number=1) / ERSPAN_III(o=0) / ETHER / INNER,
    "ip in ip": OUTER / INNER,
    "ipv6 in ip": OUTER / INNER6,
    "ip in ipv6": OUTER6 / INNER,
    "ipv6 in ipv6": OUTER6 / INNER6,
    "extension headers": ETHER
    / IPv6(src="fd00::1", dst="fd00::2")
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrDestOpt()
    / UDP(sport=1111, dport=2222)
    / Raw(b"payload!"),
    "atomic fragment": ETHER
    / IPv6(src="fd00::1", dst="fd00::2")
    / IPv6ExtHdrFragment(offset=0, m=0)
    / UDP(sport=1111, dport=2222)
    / Raw(b"payload!"),
}


def conn(frame: bytes, **options: object) -> Record:
    return run([(START, frame)], **options).one("conn")


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_opens_to_the_inner_packet(stack: str) -> None:
    frame = bytes(STACKS[stack])
    got = conn(frame)
    ends = (
        ("fd00::1", "fd00::2")
        if (b"\xfd\0" + bytes(13) + b"\1" in frame[14:] and "v6 inside" in stack)
        or (stack in ("ethernet v6", "ipv6 in ip", "ipv6 in ipv6", "extension headers", "atomic fragment"))
        else ("10.7.0.1", "10.7.0.2")
    )
    assert (got["id.orig_h"], got["id.resp_h"], got["id.orig_p"], got["id.resp_p"]) == (*ends, 1111, 2222)
    assert got["proto"] == "udp"


def test_envelope_of_a_mirror_is_kept_and_is_no_flow() -> None:
    got = conn(bytes(mirror(ETHER / INNER, vni=7770001)))  # type: ignore[call-overload]
    assert (got["id.ctx.vxlan_vni"], got["vantage"]) == (7770001, "172.31.0.1")
    assert "tunnel_depth" not in got


def test_gateway_load_balancer_options_are_kept() -> None:
    got = conn(gwlb(ethernet(ip("10.7.0.1", "10.7.0.2", 17, udp(1, 2, b"x"))), endpoint=0x2B8EE1D4DB0C51C4))
    assert (got["gwlb_endpoint"], got["gwlb_attachment"]) == ("2b8ee1d4db0c51c4", "0000000000000007")
    assert (got["id.ctx.geneve_vni"], got["id.ctx.vxlan_vni"]) == (0, 7770001)
    assert got["vantage"] == "172.31.0.1"  # of the middle header: the mirrored interface


def test_options_are_walked_by_length_whatever_their_order() -> None:
    unknown = struct.pack(">HBB", 0x0102, 0x80, 3) + bytes(12)
    shuffled = unknown + aws_options()[24:] + unknown + aws_options()[:24]
    got = conn(geneve(ip("10.7.0.1", "10.7.0.2", 17, udp(1, 2, b"x")), options=shuffled))
    assert got["gwlb_endpoint"] == "2b8ee1d4db0c51c4"


def test_deeper_tunnels_are_logged_and_are_no_tenant() -> None:
    got = conn(bytes(STACKS["vxlan in vxlan"]))
    assert (got["id.ctx.vxlan_vni"], got["tunnel_depth"], got["tunnel_vni"]) == (7, 1, 99)


def test_tunnels_inside_can_be_left_closed() -> None:
    got = conn(bytes(STACKS["vxlan in vxlan"]), decap={"open_tunnels": False})
    assert (got["id.orig_h"], got["id.resp_p"]) == ("10.5.0.1", 4789)


def test_tunnel_ports_are_configurable() -> None:
    frame = ethernet(
        ip("172.31.0.1", "172.31.0.2", 17, udp(1, 8472, struct.pack(">II", 8 << 24, 5 << 8) + bytes(ETHER / INNER)))
    )
    assert conn(frame)["id.resp_p"] == 8472
    assert conn(frame, decap={"vxlan_ports": (8472,)})["id.ctx.vxlan_vni"] == 5


def test_what_only_looks_like_a_tunnel_by_its_port_is_a_flow() -> None:
    assert conn(ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(5, 4789, b"\0" * 30))))["id.resp_p"] == 4789


def drops(frame: bytes, link: int = 1) -> set[str]:
    got = Run(pcap([(START, frame)], link=link))
    assert got.of("conn") == []
    return {name for name, n in got.counters().items() if name.startswith("drop_") and n}


PACKET = ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, b"x" * 20))


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (bytes(10), "drop_truncated_link"),
        (bytes(Ether() / ARP()), "drop_not_ip"),
        (ethernet(PACKET[:12]), "drop_truncated_ip"),
        (ethernet(b"\x44" + PACKET[1:]), "drop_bad_ip"),
        (ethernet(b"\x95" + PACKET[1:], 0x0800), "drop_bad_ip"),
        (ethernet(PACKET[:24]), "drop_truncated_transport"),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 6, bytes(12) + b"\x10" + bytes(20))), "drop_bad_transport"),
        (bytes(OUTER / GRE(proto=0x0800))[:36], "drop_truncated_tunnel"),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 47, b"\0\7\x08\0" + PACKET)), "drop_bad_tunnel"),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 17, bytes(64), frag=0x2000)), "drop_fragment_kept"),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 17, bytes(64), frag=0x1FFF)), "drop_fragment_bad"),
        (ethernet(ip("10.0.0.1", "10.0.0.2", 17, bytes(64), frag=0x2000)[:70]), "drop_fragment_cut"),
    ],
)
def test_every_reason_to_drop_is_counted(frame: bytes, why: str) -> None:
    assert drops(frame) == {why}


def test_unknown_link_types_and_endless_nesting_are_counted() -> None:
    assert drops(PACKET, link=147) == {"drop_unknown_link"}
    nested = PACKET
    for _ in range(8):
        nested = ip("10.0.0.1", "10.0.0.2", 4, nested)
    assert drops(ethernet(nested)) == {"drop_too_deep"}


LINKS = {
    1: ethernet(PACKET),
    101: PACKET,
    12: PACKET,
    228: PACKET,
    0: struct.pack("<I", 2) + PACKET,
    108: struct.pack(">I", 2) + PACKET,
    113: struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + PACKET,
    276: struct.pack(">HHIHBB8s", 0x0800, 0, 2, 1, 0, 6, bytes(8)) + PACKET,
}


@pytest.mark.parametrize("link", LINKS)
def test_every_link_type_is_opened(link: int) -> None:
    assert Run(pcap([(START, LINKS[link])], link=link)).one("conn")["id.orig_h"] == "10.0.0.1"


def test_padding_behind_the_packet_is_no_payload() -> None:
    assert run([(START, ethernet(PACKET) + bytes(18)), (START + 1, ethernet(PACKET))]).one("conn")["orig_bytes"] == 40


@given(seed=st.integers(0, 2**32))
def test_fragments_in_any_order_and_overlap_make_the_datagram(seed: int) -> None:
    chance = random.Random(seed)
    packet = ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, bytes(range(256)) * 12))
    pieces = fragments(packet, 8 * chance.randrange(1, 60))
    pieces += chance.choices(pieces, k=3)
    chance.shuffle(pieces)
    for wrap in (ethernet, lambda piece: vxlan(ethernet(piece)), lambda piece: gwlb(ethernet(piece))):
        got = run(
            [(START + i * 0.001, wrap(piece)) for i, piece in enumerate(pieces)] + [(START + 1, ethernet(PACKET))]
        )
        sizes = [conn.get("orig_ip_bytes") for conn in got.of("conn")]
        assert len(packet) in sizes or len(packet) + len(PACKET) in sizes
        assert got.counters()["datagrams_reassembled"] >= 1


def test_a_fragmented_envelope_is_opened() -> None:
    outer = vxlan(ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, bytes(3000)))))
    got = run([(START + i * 0.001, ethernet(piece)) for i, piece in enumerate(fragments(outer[14:], 1480))])
    assert (got.one("conn")["id.ctx.vxlan_vni"], got.one("conn")["orig_ip_bytes"]) == (7770001, 3028)


def test_fragments_of_two_tenants_never_meet() -> None:
    first, second = fragments(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, bytes(3000))), 1480)[:2]
    got = run([(START, vxlan(ethernet(first), vni=1)), (START, vxlan(ethernet(second), vni=2))])
    assert got.counters()["datagrams_reassembled"] == 0


def test_fragments_are_bounded_and_expire() -> None:
    frames = [
        (START + i * 0.0001, ethernet(ip("10.0.0.1", "10.0.0.2", 17, bytes(64), ident=i & 0xFFFF, frag=0x2000)))
        for i in range(5000)
    ]
    assert run(frames).counters()["datagrams_evicted"] == 5000 - 4096
    late = [*frames[:10], (START + 40, ethernet(ip("10.0.0.1", "10.0.0.2", 17, bytes(64), ident=60000, frag=0x2000)))]
    assert run(late).counters()["datagrams_expired"] == 10


@given(frame=st.binary(max_size=200), link=st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276]))
def test_random_frames_are_counted_once(frame: bytes, link: int) -> None:
    got = Run(pcap([(START, frame)], link=link))
    dropped = sum(n for name, n in got.counters().items() if name.startswith("drop_"))
    assert dropped + got.counters()["flow_packets"] == 1


USUAL = [
    ethernet(PACKET),
    ethernet(ip("10.0.0.1", "10.0.0.2", 6, tcp(1, 2, 3, 4, 2, b"x" * 20))) + bytes(6),
    ethernet(ip("10.0.0.1", "10.0.0.2", 1, b"\x08" + bytes(20))),
    vxlan(ethernet(ip("10.0.0.1", "10.0.0.2", 6, tcp(1, 2, 3, 4, 24, b"x" * 20)))),
    vxlan(ethernet(PACKET) + bytes(18)),
    vxlan(ethernet(PACKET)) + bytes(4),
    vxlan(ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 53, b"x" * 20), total=400))),
    vxlan(vxlan(ethernet(PACKET))),
    gwlb(ethernet(PACKET)),
]
COOKED = struct.pack(">HHH8s", 0, 1, 6, bytes(8))


def assert_same_step_by_step(frames: list[bytes]) -> None:
    """What stands behind an Ethernet header is opened at once where it is usual, behind a cooked one never."""
    apart = 400  # seconds: each is a flow of its own
    runs = [
        Run(pcap([(START + i * apart, head + frame[12:]) for i, frame in enumerate(frames)], link=link))
        for head, link in ((MACS, 1), (COOKED, 113))
    ]
    ours = {"orig_l2_addr", "resp_l2_addr"}  # of a frame without an envelope they are what differs
    records = [
        [{k: v for k, v in r.items() if k not in ours or "vantage" in r} for r in one.of("conn")] for one in runs
    ]
    assert records[0] == records[1]
    counters = [{name: n for name, n in one.counters().items() if name != "bytes"} for one in runs]
    assert counters[0] == counters[1]


@pytest.mark.parametrize("frame", USUAL)
def test_the_usual_stack_at_once_is_the_same_with_any_bit_turned(frame: bytes) -> None:
    bits = [(at, 1 << bit) for at in range(12, min(len(frame), 92)) for bit in range(8)]
    assert_same_step_by_step([frame[:at] + bytes([frame[at] ^ bit]) + frame[at + 1 :] for at, bit in bits])


@given(
    frame=st.sampled_from(USUAL),
    changes=st.lists(st.tuples(st.integers(12, 140), st.integers(0, 255)), max_size=4),
    cut=st.just(0) | st.integers(0, 120),
)
def test_the_usual_stack_at_once_is_the_same_with_any_change(
    frame: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(frame)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    assert_same_step_by_step([bytes(changed[: max(14, len(changed) - cut)])])
