"""Independent readers agree: dpkt, scapy and tshark see the same inner packets in the same captures."""

import collections
import json
import subprocess
from pathlib import Path

import dpkt
import pytest
from scapy.all import IP, TCP, UDP, rdpcap

from tests.conftest import PCAPS, ROOT, Run, inner_ip, need

IDS = [str(path.relative_to(ROOT / "pcaps")) for path in PCAPS]
Ends = tuple[str, int, str, int]


def sensor_flows(capture: Path) -> dict[Ends, tuple[int, int]]:
    """Ends → packets and IP bytes of both sides, as conn records have them."""
    return {
        (r["id.orig_h"], r["id.orig_p"], r["id.resp_h"], r["id.resp_p"]): (
            r["orig_pkts"] + r["resp_pkts"],
            r["orig_ip_bytes"] + r["resp_ip_bytes"],
        )
        for r in Run(capture.read_bytes()).of("conn")
    }


def by_flow(packets: list[tuple[Ends, int]], known: dict[Ends, tuple[int, int]]) -> dict[Ends, tuple[int, int]]:
    counts: dict[Ends, list[int]] = collections.defaultdict(lambda: [0, 0])
    for ends, size in packets:
        key = ends if ends in known else (*ends[2:], *ends[:2])
        counts[key][0] += 1
        counts[key][1] += size
    return {ends: (n, size) for ends, (n, size) in counts.items()}


@pytest.mark.parametrize("capture", PCAPS, ids=IDS)
def test_dpkt_counts_the_same_packets(capture: Path) -> None:
    packets = []
    with capture.open("rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            p = inner_ip(frame)
            if p is not None and isinstance(p.data, dpkt.tcp.TCP | dpkt.udp.UDP):
                packets.append(
                    ((dpkt.utils.inet_to_str(p.src), p.data.sport, dpkt.utils.inet_to_str(p.dst), p.data.dport), p.len)
                )
    known = sensor_flows(capture)
    assert by_flow(packets, known) == known


@pytest.mark.parametrize("capture", [path for path in PCAPS if "mirror" not in str(path)])
def test_scapy_counts_the_same_packets(capture: Path) -> None:
    packets = []
    for frame in rdpcap(str(capture)):
        inner = frame.getlayer(IP, 2)
        for kind in (TCP, UDP):
            if inner is not None and kind in inner:
                packets.append(((inner.src, inner[kind].sport, inner.dst, inner[kind].dport), inner.len))
    known = sensor_flows(capture)
    assert by_flow(packets, known) == known


def tshark(capture: Path, kind: str, *fields: str) -> list[list[str]]:
    """Values of fields in packets of a protocol, the innermost where there are several."""
    out = subprocess.run(
        ["tshark", "-r", str(capture), "-Y", kind, "-T", "json", *(w for f in fields for w in ("-e", f))],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [[packet["_source"]["layers"].get(field, [""])[-1] for field in fields] for packet in json.loads(out)]


def test_tshark_reads_the_same_requests() -> None:
    need("tshark")
    capture = ROOT / "pcaps/http/nginx-curl.pcap"
    want = [(method, uri) for method, uri in tshark(capture, "http.request", "http.request.method", "http.request.uri")]
    got = [(r["method"], r.get("original_uri", r["uri"])) for r in Run(capture.read_bytes()).of("http")]
    pipelined = ("GET", "/item.json")  # tshark's JSON gives one of two requests of a packet
    assert [r for r in want if r != pipelined] == [r for r in got if r != pipelined]


@pytest.mark.parametrize("name", ["openssl-tls12", "curl-tls13"])
def test_tshark_reads_the_same_server_names(name: str) -> None:
    need("tshark")
    capture = ROOT / f"pcaps/tls/{name}.pcap"
    want = [sni for (sni,) in tshark(capture, "tls.handshake.type == 1", "tls.handshake.extensions_server_name") if sni]
    assert [r["server_name"] for r in Run(capture.read_bytes()).of("ssl") if "server_name" in r] == want


def test_tshark_reads_the_same_names_and_addresses() -> None:
    need("tshark")
    capture = ROOT / "pcaps/dns/dnsmasq-dig.pcap"
    shown = tshark(capture, "dns.flags.response == 1", "dns.id", "dns.qry.name", "dns.flags.rcode", "dns.resp.name")
    want = sorted((int(number, 16), name.lower(), int(code)) for number, name, code, _ in shown)
    got = Run(capture.read_bytes()).of("dns")
    assert sorted((r["trans_id"], r["query"], r["rcode"]) for r in got if "rcode" in r) == want


@pytest.mark.parametrize("name", ["quic/aioquic", "tls/openssl-dtls12"])
def test_tshark_reads_the_same_fingerprints(name: str) -> None:
    """Server name and JA3 of hellos inside of QUIC and DTLS."""
    need("tshark")
    capture = ROOT / f"pcaps/{name}.pcap"
    layer = "dtls" if "dtls" in name else "tls"
    shown = tshark(
        capture, f"{layer}.handshake.type == 1", f"{layer}.handshake.extensions_server_name", f"{layer}.handshake.ja3"
    )
    got = [(r["server_name"], r["ja3"]) for r in Run(capture.read_bytes()).of("ssl")]
    assert got
    assert set(got) <= {tuple(one) for one in shown}
