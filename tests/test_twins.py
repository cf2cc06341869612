"""Flows that the mirror sessions of two tenants show: the later one names the first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import START, Timed, Turns, connection, ethernet, ip, udp, vxlan
from tests.conftest import Record, Run, run

TURNS: Turns = [(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, b"HTTP/1.1 204 No Content\r\n\r\n")]
QUERY = bytes.fromhex("123401000001000000000000 03777777076578616d706c6503636f6d0000010001")


def plain(**ends: Any) -> list[Timed]:
    return list(connection(TURNS, dport=80, **ends).frames())


def question(*, sport: int = 40000, at: float = 0.0) -> list[Timed]:
    """A query, and what answers it: the same with another flag."""
    answer = QUERY[:2] + b"\x81\x80" + QUERY[4:]
    return [
        (START + at, ethernet(ip("10.1.0.1", "10.2.0.2", 17, udp(sport, 53, QUERY)))),
        (START + at + 0.01, ethernet(ip("10.2.0.2", "10.1.0.1", 17, udp(53, sport, answer)))),
    ]


def mirrored(frames: list[Timed], *lateness: float, vni: int = 1) -> list[Timed]:
    """What a session shows of it, so late: all, or each in turn."""
    late = lateness or (0.0,)
    return [(when + late[i % len(late)], vxlan(frame, vni=vni)) for i, (when, frame) in enumerate(frames)]


def both(frames: list[Timed], *late: float) -> list[Timed]:
    return sorted(mirrored(frames, 0.0, vni=1) + mirrored(frames, *late, vni=2))


def split(got: Run, kind: str) -> tuple[Record, Record]:
    """The two records of a kind: of the first flow, of its twin."""
    first, twin = sorted(got.of(kind), key=lambda record: "twin_uid" in record)
    return first, twin


def check_named(got: Run, kind: str) -> None:
    """One of each two records names the other's flow."""
    first, twin = split(got, kind)
    assert twin["twin_uid"] == first["uid"] != twin["uid"]
    assert "twin_uid" not in first


@pytest.mark.parametrize(("frames", "kind"), [(plain(), "http"), (question(), "dns")])
def test_the_second_names_the_first(frames: list[Timed], kind: str) -> None:
    got = run(both(frames, 0.0005))
    check_named(got, "conn")
    check_named(got, kind)
    assert split(got, "conn")[1]["id.ctx.vxlan_vni"] == 2
    assert got.counters()["twin_flows"] == 1


@pytest.mark.parametrize(("frames", "kind"), [(plain(), "http"), (question(), "dns")])
def test_its_other_records_are_left_out_where_that_is_asked_for(frames: list[Timed], kind: str) -> None:
    got = run(both(frames, 0.0005), omit_twins=True)
    check_named(got, "conn")
    assert got.one(kind)["id.ctx.vxlan_vni"] == 1
    first, twin = split(got, "conn")
    for name in ("orig_pkts", "resp_pkts", "orig_bytes", "resp_bytes", "history", "conn_state"):
        assert twin.get(name) == first.get(name)


@pytest.mark.parametrize("apart", [{"orig_seq": 77}, {"resp_seq": 77}, {"sport": 40001}])
def test_two_networks_with_the_same_addresses_stay_apart(apart: dict[str, int]) -> None:
    """Another initial sequence number is another connection."""
    got = run(sorted(mirrored(plain()) + mirrored(plain(**apart), 0.0005, vni=2)))
    assert len(got.of("http")) == 2 and got.counters()["twin_flows"] == 0
    assert not any("twin_uid" in record for record in got.lines)


@pytest.mark.parametrize(("late", "twins"), [(1.9, 1), (2.1, 0)])
def test_a_datagram_is_the_same_for_two_seconds(late: float, twins: int) -> None:
    """The same question may be asked again."""
    got = run(sorted(mirrored(question()[:1]) + mirrored(question()[:1], late, vni=2)))
    assert got.counters()["twin_flows"] == twins


def test_what_is_not_mirrored_or_of_one_tenant_has_no_twin() -> None:
    assert run(plain() + [(when + 0.5, frame) for when, frame in question()]).counters()["twin_flows"] == 0
    assert run(both(plain(), 0.0005), tenant="none").counters()["twin_flows"] == 0
    assert run(mirrored(plain() + plain(start=START + 9))).counters()["twin_flows"] == 0


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=8), st.sampled_from([plain(), question(), question()[:1]]))
def test_whatever_comes_first_no_two_are_each_others(late: list[float], frames: list[Timed]) -> None:
    twins = [record for record in run(both(frames, *late)).of("conn") if "twin_uid" in record]
    assert len(twins) <= 1


@given(st.lists(st.floats(0.0, 0.00015), min_size=1, max_size=8), st.floats(0, 60))
def test_a_handshake_whose_neighbours_change_places_is_known_again(late: list[float], behind: float) -> None:
    late = [behind + one for one in late]
    got = run(both(plain(), *late))
    check_named(got, "conn")


def test_too_many_at_a_time_are_counted() -> None:
    """65,536 are kept; the table is hashed anew in every run, so a few more or less are forgotten."""
    frames = []
    for i in range(90_000):
        packet = ip("10.1.0.1", f"10.{i >> 15}.0.2", 17, udp(1 + i % 32768, 9999, b"x"))
        frames.append((START + i * 1e-6, vxlan(ethernet(packet), vni=1)))
    assert 20_000 < run(frames, most_flows=4096).counters()["twins_forgotten"] < 40_000
