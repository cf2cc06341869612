"""The house tests of parsers that read datagrams, on the exchanges of the bundled captures."""

import itertools
import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor.protocols import protocols, schemas
from sensor.schema import json_schema
from tests.builders import START, Timed, Turns, ethernet, gwlb, ip, udp, vxlan
from tests.conftest import ROOT, exchanges, facts, run

FOLDERS = {"dtls": "tls"}
RECORDS = {"dtls": "ssl"}
KINDS = [p["name"] for p in protocols() if not p["python"] and p["schema"] and "udp" in p["transport"]]
EMPTY = {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}


def data(kind: str) -> list[tuple[int, Turns]]:
    """The server's port and the datagrams of every exchange of a kind."""
    folder = ROOT / "pcaps" / FOLDERS.get(kind, kind)
    found = [(ports[1], turns) for path in sorted(folder.glob("*.pcap")) for ports, turns in exchanges(path)]
    assert found, f"there is no capture for {kind}"
    return found


def packets(
    turns: Turns, port: int, *, sport: int = 40000, cut: int | None = None, start: float = START
) -> list[Timed]:
    """IP packets; ``cut``: the copy of each lacks the bytes of its payload from there on."""
    out = []
    for number, (is_orig, payload) in enumerate(turns):
        ends = ("10.1.0.1", "10.2.0.2") if is_orig else ("10.2.0.2", "10.1.0.1")
        ports = (sport, port) if is_orig else (port, sport)
        packet = ip(*ends, 17, udp(*ports, payload))
        short = len(packet) if cut is None else 28 + min(cut, len(payload))
        out.append((start + number * 0.001, packet[:short]))
    return out


def frames(turns: Turns, port: int, **options: Any) -> list[Timed]:
    return [(time, ethernet(packet)) for time, packet in packets(turns, port, **options)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_exchange_is_recognised_on_any_port(kind: str) -> None:
    for port, turns in data(kind):
        for where in (port, 9999):
            got = run(frames(turns, where))
            assert got.of(RECORDS.get(kind, kind))
            assert kind in got.one("conn")["service"].split(",")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_copy_invents_nothing(kind: str) -> None:
    """Every datagram cut at any place: no crash, and no more records than of whole ones."""
    port, turns = data(kind)[0]
    whole = len(run(frames(turns, port)).of(RECORDS.get(kind, kind)))
    longest = max(len(payload) for _, payload in turns)
    for cut in range(0, longest, max(1, longest // 150)):
        got = run(frames(turns, port, cut=cut))
        assert len(got.of(RECORDS.get(kind, kind))) <= whole * 2  # question and answer may fail to meet
        assert got.worker.memory() == EMPTY


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_datagram_is_harmless(kind: str) -> None:
    for port, turns in data(kind):
        for lost in range(len(turns)):
            left = turns[:lost] + turns[lost + 1 :]
            if left:
                run(frames(left, port)).one("conn")


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
def test_disorder_repeats_and_one_side_are_borne(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    port, turns = chance.choice(data(kind))
    mixed = [*turns, *chance.sample(turns, 1 + chance.randrange(len(turns)))]
    chance.shuffle(mixed)
    assert run(frames(mixed, port)).worker.memory() == EMPTY
    side = chance.choice((True, False))
    assert run(frames([turn for turn in turns if turn[0] == side], port)).worker.memory() == EMPTY


@pytest.mark.parametrize("kind", KINDS)
@given(
    noise=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=1400)), min_size=1, max_size=12),
    start=st.booleans(),
)
def test_random_datagrams_are_borne(kind: str, noise: Turns, start: bool) -> None:
    port, turns = data(kind)[0]
    got = run(frames(turns[:1] + noise if start else noise, port))
    assert got.worker.memory() == EMPTY
    for line in got.output.splitlines():
        json.loads(line)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
def test_flipped_bytes_are_borne(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    port, turns = chance.choice(data(kind))
    changed = []
    for is_orig, payload in turns:
        raw = bytearray(payload)
        for _ in range(chance.randrange(4)):
            raw[chance.randrange(min(len(raw), 200))] = chance.randrange(256)
        changed.append((is_orig, bytes(raw)))
    got = run(frames(changed, port))
    assert got.worker.memory() == EMPTY
    for record in got.lines:
        jsonschema.validate(record, json_schema(schemas()[record["_path"]]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_envelope_gives_the_same_records(kind: str) -> None:
    for port, turns in data(kind):
        plain = facts(run(frames(turns, port)).lines)
        for wrap in (vxlan, gwlb):
            wrapped = [(time, wrap(ethernet(packet))) for time, packet in packets(turns, port)]
            assert facts(run(wrapped).lines) == plain


@pytest.mark.parametrize(("kind", "other"), list(itertools.permutations(KINDS, 2)))
def test_another_protocol_on_the_port_is_told(kind: str, other: str) -> None:
    port = data(kind)[0][0]
    for _, turns in data(other):
        got = run(frames(turns, port))
        assert got.of(RECORDS.get(other, other))
        assert other in got.one("conn")["service"].split(",")
        assert kind not in got.one("conn")["service"].split(",")


@pytest.mark.parametrize("kind", KINDS)
def test_two_flows_fed_in_turns_do_not_mix(kind: str) -> None:
    name = RECORDS.get(kind, kind)
    (first_port, first), (second_port, second) = (data(kind) * 2)[:2]
    one, two = frames(first, first_port, sport=41001), frames(second, second_port, sport=41002)
    alone = facts([*run(one).of(name), *run(two).of(name)])
    assert facts(run(sorted([*one, *two])).of(name)) == alone


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_back_at_its_start_after_many_flows(kind: str) -> None:
    turns = data(kind)
    many = [
        frame
        for i in range(200)
        for frame in frames(turns[i % len(turns)][1], turns[i % len(turns)][0], sport=20000 + i, start=START + i * 0.01)
    ]
    assert run(sorted(many)).worker.memory() == EMPTY
