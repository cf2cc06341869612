"""Mirror sessions: who still sends, and what is missing, for each interface and VNI."""

import pytest

from tests.builders import Talk, ethernet, gwlb, ip, udp, vxlan
from tests.conftest import Record, Run, run

WHAT = b"x" * 100


def told(got: Run) -> dict[str, list[Record]]:
    """The records of sessions that a stats interval brings."""
    before = len(got.lines)
    got.worker.log_stats(0, 3)
    got.take()
    new = got.lines[before:]
    return {kind: [r for r in new if r["_path"] == kind] for kind in ("tunnel", "capture_loss")}


def test_each_interface_and_vni_is_a_session() -> None:
    packet = ethernet(ip("10.1.0.1", "10.2.0.2", 17, udp(40000, 9999, WHAT)))
    sent = [vxlan(packet, vni=1)] * 3 + [vxlan(packet, vni=2)] * 2 + [vxlan(packet, vni=1, src="172.31.7.7")]
    sent += [gwlb(packet), packet]
    got = run([(1_800_000_000.0 + i, frame) for i, frame in enumerate(sent)])
    found = told(got)["tunnel"]
    names = ("id.ctx.vxlan_vni", "vantage", "gwlb_endpoint", "packets", "bytes", "worker")
    assert sorted((tuple(r.get(name) for name in names) for r in found), key=str) == [
        (1, "172.31.0.1", None, 3, 3 * 128, 3),
        (1, "172.31.7.7", None, 1, 128, 3),
        (2, "172.31.0.1", None, 2, 2 * 128, 3),
        (7770001, "172.31.0.1", "2b8ee1d4db0c51c4", 1, 128, 3),
        (None, None, None, 1, 128, 3),
    ]
    two = next(r for r in found if r.get("id.ctx.vxlan_vni") == 2)
    assert (two["first_seen"], two["last_seen"]) == (1_800_000_003.0, 1_800_000_004.0)


@pytest.mark.parametrize("lost", [0, 1, 4])
def test_what_was_acknowledged_and_not_seen_is_missing(lost: int) -> None:
    """Each turn is acknowledged by the next; of the originator's some have no copy."""
    talk = Talk().open().say([(i % 2 == 0, WHAT) for i in range(40)])
    drop = {3 + 2 * i for i in range(lost)}  # behind the handshake
    frames = [(time, vxlan(ethernet(packet))) for i, (time, _, packet) in enumerate(talk.packets) if i not in drop]
    got = run(frames)
    (loss,) = told(got)["capture_loss"]
    assert (loss["gaps"], loss["missed_bytes"]) == (lost, lost * 100)
    acks = 39 - lost + (lost > 0)  # who is not seen to speak is not seen to acknowledge; what follows does so for all
    assert (loss["acks"], loss["acked_bytes"]) == (acks, 3900)
    assert loss["percent_lost"] == pytest.approx(lost / acks * 100, abs=1e-5)
    assert not told(got)["capture_loss"]  # nothing was acknowledged since


def test_a_connection_in_its_middle_loses_nothing() -> None:
    talk = Talk().open().say([(i % 2 == 0, WHAT) for i in range(40)])
    frames = [(time, vxlan(ethernet(packet))) for time, _, packet in talk.packets[9:]]
    assert not told(run(frames))["capture_loss"]
