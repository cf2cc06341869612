"""--filter: a libpcap expression on the inner packet."""

import pytest

from sensor.errors import FilterError
from sensor.pcap_filter import compile_filter
from tests.builders import START, ethernet, gwlb, ip, udp, vxlan
from tests.conftest import run

INNER = ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1111, 2222, b"x" * 40)))
VLAN = INNER[:12] + b"\x81\0\0\x05" + INNER[12:]


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("udp port 2222", True),
        ("port 4789", False),
        ("host 172.31.0.1", False),
        ("src host 10.0.0.1 and not tcp", True),
        ("net 10.0.0.0/8", True),
        ("ip6", False),
        ("ether dst 02:00:00:00:00:02", True),
        ("ether dst 02:00:00:00:00:99", False),
        ("greater 60", True),
        ("udp[8] = 0x78", True),
    ],
)
@pytest.mark.parametrize("wrap", [lambda frame: frame, vxlan, gwlb], ids=["plain", "vxlan", "gwlb"])
def test_filter_applies_to_the_inner_packet(expression: str, matches: bool, wrap: object) -> None:
    got = run([(START, wrap(INNER))], filter=compile_filter(expression))  # type: ignore[operator]
    assert len(got.of("conn")) == matches
    assert got.counters()["drop_filtered"] == (not matches)


def test_words_of_ip_look_through_a_vlan_and_words_of_the_link_see_it() -> None:
    assert run([(START, vxlan(VLAN))], filter=compile_filter("udp port 2222")).one("conn")
    assert run([(START, vxlan(VLAN))], filter=compile_filter("vlan 5 and udp port 2222")).one("conn")
    assert run([(START, vxlan(VLAN))], filter=compile_filter("vlan 6")).of("conn") == []


def test_a_filter_sees_the_reassembled_datagram() -> None:
    packet = ip("10.0.0.1", "10.0.0.2", 17, udp(1111, 2222, bytes(3000)))
    pieces = [packet[:6] + b"\x20\0" + packet[8:1500], packet[:6] + b"\0\xb9" + packet[8:20] + packet[1500:]]
    pieces = [piece[:2] + len(piece).to_bytes(2, "big") + piece[4:] for piece in pieces]
    got = run([(START, ethernet(piece)) for piece in pieces], filter=compile_filter("udp dst port 2222"))
    assert got.one("conn")["orig_ip_bytes"] == 3028


def test_a_bad_expression_is_told_in_libpcaps_words() -> None:
    with pytest.raises(FilterError, match=r"syntax error.*pcap-filter"):
        compile_filter("tcp port")
