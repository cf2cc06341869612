"""Live against a replay: a mirror target writes what a replay of tcpdump's capture of the same packets writes."""

import contextlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import Record, Run
from tests.live.relay import RelayedLab
from tests.live.sensor import Live, live
from tests.live.town import keep_busy, need_town, serve
from tests.truth.lab import workshop

PORTS = "--listen", "udp://0.0.0.0:4789", "--listen", "udp://0.0.0.0:6081"
RING = "-i", RelayedLab.ear
WAYS = {
    "ring": [*RING],
    "ring, two workers": [*RING, "--workers", "2"],
    "sockets": [*PORTS],
    "sockets, two workers": [*PORTS, "--workers", "2"],
}
TOGETHER = [["sockets", "ring", "ring, two workers"], ["sockets, two workers"]]  # who can listen at a time


LIVE_ONLY = {"stats", "tunnel", "capture_loss"}


class Heard(NamedTuple):
    """What one sensor wrote, and what a replay of the same packets writes."""

    sensor: Live
    replayed: Run


@pytest.fixture(scope="module")
def heard() -> Iterator[dict[str, Heard]]:
    need_town()
    found: dict[str, Heard] = {}
    with workshop() as work, RelayedLab(work) as lab, contextlib.ExitStack() as stack:
        serve(lab)
        for together in TOGETHER:
            sensors = {way: stack.enter_context(live(lab, way, *WAYS[way])) for way in together}
            with lab.record("udp port 4789 or udp port 6081") as seen:
                keep_busy(lab)
            for sensor in sensors.values():
                assert sensor.stop() == 0, sensor.log.read_text()
            replayed = Run(seen.read_bytes())
            found |= {way: Heard(sensor, replayed) for way, sensor in sensors.items()}
        yield found


def plain(records: list[Record], many: bool) -> list[str]:
    """Records in an order of their own.  Which of several workers is the first to meet a certificate is not said."""
    kept = [record for record in records if record["_path"] not in LIVE_ONLY]
    if many:
        kept = [record | {"ts": 0} if record["_path"] == "x509" else record for record in kept]
    return sorted(json.dumps(record, sort_keys=True) for record in kept)


@pytest.mark.parametrize("way", WAYS)
def test_live_records_are_those_of_a_replay(way: str, heard: dict[str, Heard]) -> None:
    """To the letter, uid and times included."""
    sensor, replayed = heard[way]
    got, want = sensor.records, replayed.lines
    assert {record["_path"] for record in got} >= {"conn", "http", "ssl", "x509", "postgresql", "ssh"}
    assert len(replayed.of("http")) > 200 and len(replayed.of("conn")) > 60
    assert plain(got, "two" in way) == plain(want, "two" in way)


@pytest.mark.parametrize("way", WAYS)
def test_every_packet_is_counted(way: str, heard: dict[str, Heard]) -> None:
    sensor, replayed = heard[way]
    assert sensor.counted("kernel_drops") == 0
    assert sensor.counted("packets") == sensor.counted("kernel_packets") == replayed.counters()["packets"]
    for name, value in replayed.counters().items():
        if name not in ("bytes", "flows_peak", "envelopes", "python_calls"):
            assert sensor.counted(name) == value, name


@pytest.mark.parametrize("way", WAYS)
def test_each_mirror_session_has_its_record(way: str, heard: dict[str, Heard]) -> None:
    sensor, replayed = heard[way]
    sessions: dict[tuple[object, object], int] = {}
    for record in sensor.of("tunnel"):
        session = (record.get("id.ctx.vxlan_vni"), record.get("id.ctx.geneve_vni"))
        sessions[session] = sessions.get(session, 0) + record["packets"]
    assert set(sessions) == {(7770001, None), (7770001, 0), (None, 0)}
    assert sum(sessions.values()) == replayed.counters()["flow_packets"]
    assert all(record["percent_lost"] < 20 for record in sensor.of("capture_loss")) and sensor.of("capture_loss")


@pytest.mark.parametrize("way", [way for way in WAYS if "two" in way])
def test_both_workers_have_a_share(way: str, heard: dict[str, Heard]) -> None:
    shares = {record["worker"]: record["flow_packets"] for record in heard[way].sensor.of("stats")}
    assert len(shares) == 2 and min(shares.values()) > 100
