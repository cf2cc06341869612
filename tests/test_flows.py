"""Flows: conn records with Zeek's fields and meanings, timeouts on packet time, tenants and twins."""

import ipaddress
import json
import struct

import communityid
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.pcap import Capture
from tests.builders import (
    ACK,
    FIN,
    PSH,
    RST,
    START,
    SYN,
    Talk,
    Timed,
    Turns,
    connection,
    ethernet,
    ip,
    pcap,
    tcp,
    udp,
    vxlan,
)
from tests.conftest import Run, run

PORT = st.integers(1, 65535)
HELLO: Turns = [(True, b"hello"), (False, b"welcome")]


def flags(*sent: tuple[bool, int], **ends: object) -> Run:
    made = Talk(**ends)  # type: ignore[arg-type]
    for is_orig, bits in sent:
        made.send(is_orig, bits)
    return run(made.frames())


@pytest.mark.parametrize(
    ("sent", "state", "history"),
    [
        ([(True, SYN)], "S0", "S"),
        ([(True, SYN), (False, RST | ACK)], "REJ", "Sr"),
        ([(True, SYN), (False, SYN | ACK), (True, ACK)], "S1", "ShA"),
        ([(True, SYN), (False, SYN | ACK), (True, ACK), (True, FIN | ACK)], "S2", "ShAF"),
        ([(True, SYN), (False, SYN | ACK), (True, ACK), (False, FIN | ACK)], "S3", "ShAf"),
        ([(True, SYN), (False, SYN | ACK), (True, ACK), (True, RST | ACK)], "RSTO", "ShAR"),
        ([(True, SYN), (False, SYN | ACK), (True, ACK), (False, RST | ACK)], "RSTR", "ShAr"),
        ([(True, SYN), (True, RST)], "RSTOS0", "SR"),
        ([(True, SYN), (True, FIN)], "SH", "SF"),
        ([(False, SYN | ACK), (False, RST)], "RSTRH", "^hr"),
        ([(False, SYN | ACK), (False, FIN)], "SHR", "^hf"),
        ([(True, ACK)], "OTH", "A"),
        ([(True, RST)], "OTH", "R"),
    ],
)
def test_conn_state_and_history_are_zeeks(sent: list[tuple[bool, int]], state: str, history: str) -> None:
    conn = flags(*sent).one("conn")
    assert (conn["conn_state"], conn["history"]) == (state, history)
    assert conn["id.orig_p"] == 40000


def test_a_syn_ack_towards_a_servers_port_is_its_clients() -> None:
    """Of a scan; the sender of any other is the responder (Zeek)."""
    conn = flags((True, SYN | ACK), dport=80).one("conn")
    assert (conn["id.orig_p"], conn["id.resp_p"], conn["history"]) == (40000, 80, "H")
    conn = flags((True, SYN | ACK), dport=45000).one("conn")
    assert (conn["id.orig_p"], conn["id.resp_p"], conn["history"]) == (45000, 40000, "^h")


def test_conn_counts_packets_bytes_and_time() -> None:
    conn = run(connection(HELLO).frames()).one("conn")
    assert conn["proto"] == "tcp"
    assert (conn["orig_bytes"], conn["resp_bytes"]) == (5, 7)
    assert (conn["orig_pkts"], conn["resp_pkts"]) == (5, 3)
    assert (conn["orig_ip_bytes"], conn["resp_ip_bytes"]) == (5 * 40 + 5, 3 * 40 + 7)
    assert conn["ts"] == START
    assert conn["duration"] == pytest.approx(0.0006)  # up to the second FIN, as Zeek has it
    assert conn["conn_state"] == "SF"
    assert conn["history"] == "ShADdFf"
    assert (conn["local_orig"], conn["local_resp"]) == (True, True)


@pytest.mark.parametrize(
    ("orig", "resp"),
    [
        ("10.0.0.1", "10.0.0.2"),
        ("10.0.0.2", "10.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("fd00::1", "fd00::2"),
        ("fd00::9", "fd00::9"),
    ],
)
def test_community_id_is_that_of_the_reference_implementation(orig: str, resp: str) -> None:
    conn = run(connection(HELLO, orig=orig, resp=resp).frames()).one("conn")
    assert conn["community_id"] == communityid.CommunityID().calc(
        communityid.FlowTuple.make_tcp(orig, resp, 40000, 9999)
    )


@given(version=st.sampled_from([4, 6]), ends=st.binary(min_size=32, max_size=32), ports=st.tuples(PORT, PORT))
def test_community_id_of_any_ends_is_that_of_the_reference_implementation(
    version: int, ends: bytes, ports: tuple[int, int]
) -> None:
    size = 4 if version == 4 else 16
    orig, resp = (str(ipaddress.ip_address(ends[at : at + size])) for at in (0, 16))
    conn = run(connection(HELLO, orig=orig, resp=resp, sport=ports[0], dport=ports[1]).frames()).one("conn")
    flow = communityid.FlowTuple.make_tcp(orig, resp, *ports)
    assert conn["community_id"] == communityid.CommunityID().calc(flow)


def datagrams(*packets: tuple[float, bool, int], sport: int = 5000, dport: int = 6000) -> list[Timed]:
    """UDP: (seconds after the start, is_orig, payload size)."""
    a, b = "10.1.0.1", "10.2.0.2"
    return [
        (
            START + at,
            ethernet(
                ip(
                    *((a, b) if is_orig else (b, a)),
                    17,
                    udp(*((sport, dport) if is_orig else (dport, sport)), bytes(size)),
                )
            ),
        )
        for at, is_orig, size in packets
    ]


def test_udp_flow_counts_payload() -> None:
    conn = run(datagrams((0, True, 10), (0.5, False, 20), (1, True, 30))).one("conn")
    assert (conn["orig_bytes"], conn["resp_bytes"], conn["conn_state"], conn["history"]) == (40, 20, "SF", "Dd")


def test_udp_answer_seen_first_is_the_responders() -> None:
    conn = run(datagrams((0, False, 20), sport=5000, dport=53)).one("conn")
    assert (conn["id.orig_h"], conn["id.resp_p"], conn["conn_state"], conn["history"]) == ("10.1.0.1", 53, "SHR", "^d")


@pytest.mark.parametrize(("gap", "flows"), [(59.9, 1), (60.1, 2)])
def test_timeout_is_exact_on_packet_time(gap: float, flows: int) -> None:
    assert len(run(datagrams((0, True, 1), (gap, True, 1))).of("conn")) == flows


def test_one_packet_far_in_the_future_expires_nothing_else() -> None:
    other = [(START + 10**6, ethernet(ip("10.9.9.9", "10.8.8.8", 17, udp(1, 2, b"x"))))]
    frames = datagrams((0, True, 1)) + other + datagrams((30, True, 1))
    conns = run(frames).of("conn")
    assert len(conns) == 2
    assert conns[0]["orig_pkts"] == 2


def test_flows_follow_a_clock_that_was_set_back() -> None:
    """An hour back: what was there comes to its end a minute later, not an hour and a minute."""
    hour = 3600.0

    def at(*times: float) -> bytes:
        said = [ethernet(ip("10.0.0.1", f"10.0.0.{i + 2}", 17, udp(999, 999, b"x"))) for i in range(len(times))]
        return pcap(zip(times, said, strict=True))

    worker = Run(b"").worker
    for data in (at(2 * hour, 2 * hour + 1), at(hour + 2), at(hour + 63, hour + 64)):
        capture = Capture()
        capture.feed(data)
        capture.end()
        while worker.run(capture):
            pass
        worker.set_clock(round((hour + 2) * 1e9))
    ended = [json.loads(line)["id.resp_h"] for _, chunk in worker.writer.drain() for line in bytes(chunk).splitlines()]
    assert sorted(ended) == ["10.0.0.2", "10.0.0.3"]


def test_syn_on_a_finished_four_tuple_is_a_new_connection() -> None:
    first = connection(HELLO)
    second = connection(HELLO, start=START + 1, orig_seq=77_000, resp_seq=99_000)
    conns = run([*first.frames(), *second.frames()]).of("conn")
    assert [conn["conn_state"] for conn in conns] == ["SF", "SF"]
    assert len({conn["uid"] for conn in conns}) == 2


def icmp(src: str, dst: str, kind: int, code: int, at: float) -> Timed:
    return START + at, ethernet(ip(src, dst, 1, bytes([kind, code, 0, 0]) + bytes(60)))


def test_icmp_echo_is_one_flow_with_type_and_answer() -> None:
    conn = run([icmp("10.0.0.1", "10.0.0.2", 8, 0, 0), icmp("10.0.0.2", "10.0.0.1", 0, 0, 0.1)]).one("conn")
    assert (conn["proto"], conn["id.orig_p"], conn["id.resp_p"], conn["orig_bytes"], conn["resp_bytes"]) == (
        "icmp",
        8,
        0,
        56,
        56,
    )


def test_icmp_errors_have_one_direction() -> None:
    conns = run([icmp("10.0.0.1", "10.0.0.2", 3, 3, 0), icmp("10.0.0.2", "10.0.0.1", 3, 3, 0.1)]).of("conn")
    assert len(conns) == 2


def test_any_other_protocol_is_a_flow() -> None:
    conn = run(
        [
            (START, ethernet(ip("10.0.0.1", "10.0.0.2", 132, bytes(40)))),
            (START + 1, ethernet(ip("10.0.0.2", "10.0.0.1", 132, bytes(40)))),
        ]
    ).one("conn")
    assert (conn["proto"], conn["ip_proto"], conn["orig_pkts"], conn["resp_pkts"]) == ("unknown_transport", 132, 1, 1)


def mirrored(vni: int, source: str, late: float = 0.0) -> list[Timed]:
    turns: Turns = [(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, b"HTTP/1.1 204 No Content\r\n\r\n")]
    return [(time + late, vxlan(frame, vni=vni, src=source)) for time, frame in connection(turns, dport=80).frames()]


BOTH_ENDS = sorted(mirrored(1, "10.1.0.1") + mirrored(2, "10.2.0.2", late=0.00005))


def test_each_vni_is_an_address_space_by_default() -> None:
    got = run(BOTH_ENDS)
    assert [conn["id.ctx.vxlan_vni"] for conn in got.of("conn")] == [1, 2]
    assert [conn["vantage"] for conn in got.of("conn")] == ["10.1.0.1", "10.2.0.2"]
    assert len(got.of("http")) == 2


def test_twins_of_one_tenant_count_once() -> None:
    """Both ends are mirrored: one flow, whose second copy is counted as twin packets alone."""
    got = run(BOTH_ENDS, tenant="none")
    conn = got.one("conn")
    plain = run(
        connection(
            [(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, b"HTTP/1.1 204 No Content\r\n\r\n")], dport=80
        ).frames()
    ).one("conn")
    for name in ("orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes", "history", "conn_state", "orig_bytes"):
        assert conn[name] == plain[name]
    assert conn["twin_pkts"] == len(BOTH_ENDS) // 2
    assert len(got.of("http")) == 1


def test_a_twin_fills_the_others_gap() -> None:
    lost = [frame for i, frame in enumerate(mirrored(1, "10.1.0.1")) if i != 3]
    got = run(sorted(lost + mirrored(2, "10.2.0.2", late=0.00005)), tenant="none")
    assert got.one("http")["uri"] == "/"
    assert got.one("conn")["missed_bytes"] == 0


def test_a_silent_vantage_is_replaced() -> None:
    """The first vantage stops; after two seconds the other one counts."""
    early = [frame for frame in mirrored(1, "10.1.0.1") if frame[0] < START + 0.0003]
    got = run(sorted(early + [(time + 3, frame) for time, frame in mirrored(2, "10.2.0.2")][3:]), tenant="none")
    assert got.one("conn")["conn_state"] == "SF"


def test_the_table_gives_way_when_it_is_full() -> None:
    frames = [
        (START + i * 1e-6, ethernet(ip(f"10.{i >> 8}.{i & 255}.1", "10.200.0.1", 17, udp(1, 2, b"x"))))
        for i in range(3000)
    ]
    got = run(frames, most_flows=1024)
    assert len(got.of("conn")) == 3000
    assert got.counters()["flows_evicted"] == 3000 - 1024
    assert got.counters()["flows_peak"] == 1024


def test_one_bound_holds_for_all_flows_and_places_are_used_again() -> None:
    """TCP or not: they lie in tables of their own, and give way to each other."""
    frames = []
    for i in range(40):
        client = f"10.0.{i}.1"
        packet = udp(1, 2, b"x") if i % 3 else tcp(40000, 80, 7, 0, 2)
        frames.append((START + i * 1e-6, ethernet(ip(client, "10.200.0.1", 17 if i % 3 else 6, packet))))
    got = run(frames, most_flows=5)
    conns = {conn["id.orig_h"]: conn for conn in got.of("conn")}
    assert len(conns) == 40
    assert got.counters()["flows_evicted"] == 35
    assert got.counters()["flows_peak"] == 5
    for i in range(40):
        said = conns[f"10.0.{i}.1"]
        assert (said["proto"], said["history"], said["orig_pkts"]) == (("udp", "D", 1) if i % 3 else ("tcp", "S", 1))


def test_uids_are_the_same_in_every_run_and_differ_by_flow() -> None:
    frames = [*connection(HELLO).frames(), *connection(HELLO, sport=40001).frames()]
    uids = [conn["uid"] for conn in run(frames).of("conn")]
    assert uids == [conn["uid"] for conn in run(frames).of("conn")]
    assert len(set(uids)) == 2
    assert all(uid[0] == "C" and len(uid) == 18 and uid.isalnum() for uid in uids)


def test_every_line_has_the_uid_of_its_conn() -> None:
    turns: Turns = [(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, b"HTTP/1.1 204 No Content\r\n\r\n")]
    got = run(connection(turns, dport=80).frames())
    assert {record["uid"] for record in got.lines} == {got.one("conn")["uid"]}


def test_a_flow_that_goes_on_is_told_of_in_between() -> None:
    """An interim record each so many seconds of the packets' time; the last one has no mark."""
    talk = Talk().open()
    for second in range(1, 36):  # the packet of the very moment comes after its record
        talk.send(True, PSH | ACK, b"x", at=talk.start + second)
    got = run(talk.frames(), interim=10)
    records = sorted(got.of("conn"), key=lambda r: r["duration"])
    assert [(r.get("interim"), round(r["duration"])) for r in records] == [
        (True, 9), (True, 19), (True, 29), (None, 35),
    ]  # fmt: skip
    assert [r["orig_bytes"] for r in records] == sorted(r["orig_bytes"] for r in records)
    assert len({r["uid"] for r in records}) == 1


def test_link_addresses_and_tags_are_those_of_the_inner_frame() -> None:
    talk = Talk().open()
    inner = [(time, packet) for time, _, packet in talk.packets]
    tags = struct.pack(">HHHH", 0x88A8, 0x2064, 0x8100, 0x0007)
    plain = run((time, ethernet(packet)) for time, packet in inner).one("conn")
    assert (plain["orig_l2_addr"], plain["resp_l2_addr"]) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert "vlan" not in plain
    tagged = [(time, ethernet(packet)[:12] + tags + ethernet(packet)[12:]) for time, packet in inner]
    for frames in (tagged, [(time, vxlan(frame)) for time, frame in tagged]):
        got = run(frames).one("conn")
        assert (got["vlan"], got["inner_vlan"]) == (100, 7)


def test_all_flows_end_however_many_records_that_makes() -> None:
    """They are taken piece by piece; the first piece is full before the last flow has ended."""
    frames = [
        (START + i * 1e-5, ethernet(ip(f"10.{i % 9}.1.{i % 250}", "10.99.0.1", 17, udp(1000 + i, 9, b"x"))))
        for i in range(3000)
    ]
    got = Run(pcap(frames))
    assert len(got.of("conn")) == 3000 and len(got.output) > 1 << 19
    assert got.worker.memory()["flows"] == 0


def test_a_worker_may_begin_anew_when_all_flows_have_ended() -> None:
    """While they end none is found any more; behind the last a packet finds its flow as before."""
    frames: list[Timed] = []
    for i in range(100):
        client, port = f"10.1.0.{i}", 1000 + i
        frames += [
            (START + i * 1e-3, ethernet(ip(client, "10.2.0.1", 17, udp(port, 9, b"ask")))),
            (START + i * 1e-3 + 1e-4, ethernet(ip("10.2.0.1", client, 17, udp(9, port, b"answer")))),
        ]
    got = run(frames)
    for _ in range(2):
        got.capture = Capture()
        got.capture.feed(pcap(frames))
        got.capture.end()
        got.read()
        while got.worker.finish_flows():
            got.take()
        got.take()
    assert [(r["orig_pkts"], r["resp_pkts"]) for r in got.of("conn")] == [(1, 1)] * 300
