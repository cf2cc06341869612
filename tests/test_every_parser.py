"""The house tests: what every registered parser must bear, on the conversations of the bundled captures.

A parser gets them the day it is registered, with the captures in ``pcaps/<its kind of record>/`` as data.
"""

import itertools
import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.record import set_most_open
from sensor.protocols import protocols, schemas
from sensor.schema import json_schema
from tests.builders import ACK, PSH, Talk, Turns, connection, ethernet, gwlb, vxlan
from tests.conftest import ROOT, conversations, facts, run

FOLDERS = {"ssl": "tls"}
RECORDS = {"http2": "http"}  # the kind of record, where it is not called as the protocol
HTTP = {"http", "http2", "websocket"}
KINDS = [p["name"] for p in protocols() if not p["python"] and p["schema"] and "tcp" in p["transport"]]
# fields that are read off segment sizes or times, and so change with the segmentation
INFERRED = {
    "ssh": ("auth_success", "auth_attempts", "auth_confidence"),
    "http": ("time_to_first_byte", "duration"),
    "http2": ("time_to_first_byte", "duration"),
    "websocket": ("time_to_first_byte", "duration"),
    "dns": ("rtt",),
    "postgresql": ("duration",),
}
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16/"
CONN_SIZES = ("orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes", "history", "duration")


def data(kind: str) -> list[Turns]:
    """The conversations of a kind, with neighbouring segments of a side joined into one turn."""
    found = []
    for path in sorted((ROOT / "pcaps" / FOLDERS.get(kind, kind)).glob("*.pcap")):
        for (_, _), turns in conversations(path):
            joined: Turns = []
            for is_orig, text in turns:
                if joined and joined[-1][0] == is_orig:
                    joined[-1] = (is_orig, joined[-1][1] + text)
                else:
                    joined.append((is_orig, text))
            found.append(joined)
    assert found, f"there is no capture for {kind}"
    return found


def records(talk: Talk, kind: str, **options: Any) -> list[dict[str, Any]]:
    """The facts of the kind's records; SSH's inference from sizes left out."""
    return facts(run(talk.frames(), **options).of(RECORDS.get(kind, kind)), INFERRED.get(kind, ()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 7, 536])
def test_small_segments_say_the_same_as_large_ones(kind: str, most: int) -> None:
    for turns in data(kind):
        whole = records(connection(turns, most=60000), kind)
        assert records(connection(turns, most=most), kind) == whole


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
def test_any_split_says_the_same(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    turns = chance.choice(data(kind))
    whole = records(connection(turns, most=60000), kind)
    talk = Talk().open()
    for is_orig, text in turns:
        while text:
            size = chance.choice((1, 2, 3, 5, 17, 100, 1400, 20000))
            talk.send(is_orig, PSH | ACK, text[:size])
            text = text[size:]
    before = set_most_open(chance.choice((0, 1000)))  # those that wait are folded where many do
    assert records(talk.close(), kind) == whole
    set_most_open(before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_conversation_invents_nothing(kind: str) -> None:
    """Cut off at any place: every record is one of the whole conversation's, perhaps with fewer fields."""
    turns = min(data(kind), key=lambda turns: sum(len(text) for _, text in turns))
    name = RECORDS.get(kind, kind)
    whole = facts(run(connection(turns).frames()).of(name))
    total = sum(len(text) for _, text in turns)
    for cut in range(0, total, max(1, total // 150)):
        left, short = cut, []
        for is_orig, text in turns:
            short.append((is_orig, text[:left]))
            left -= min(left, len(text))
        got = run(connection([turn for turn in short if turn[1]]).frames()).of(name)
        assert len(got) <= len(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [True, False])
def test_a_gap_anywhere_is_counted_and_harmless(kind: str, side: bool) -> None:
    """One segment is lost: no crash, the loss is in the conn record, and JSON stays JSON."""
    turns = min(data(kind), key=lambda turns: sum(len(text) for _, text in turns))
    talk = connection(turns, most=200)
    said = [i for i, (_, is_orig, packet) in enumerate(talk.packets) if is_orig == side and len(packet) > 40]
    for lost in said[:: max(1, len(said) // 40)]:
        frames = [(time, ethernet(packet)) for i, (time, _, packet) in enumerate(talk.packets) if i != lost]
        got = run(frames)
        assert got.one("conn")["missed_bytes"] == len(talk.packets[lost][2]) - 40
        assert got.worker.memory() == {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_one_sided_reversed_and_midstream_flows_are_borne(kind: str) -> None:
    for turns in data(kind):
        talk = connection(turns)
        for keep in (lambda is_orig: is_orig, lambda is_orig: not is_orig):
            run([(time, ethernet(packet)) for time, is_orig, packet in talk.packets if keep(is_orig)]).one("conn")
        run([(time, ethernet(packet)) for time, _, packet in talk.packets[5:]])
        first_last = sorted(talk.packets, key=lambda packet: packet[1])
        run([(time, ethernet(packet)) for time, _, packet in first_last])


@pytest.mark.parametrize(("kind", "other"), list(itertools.permutations(KINDS, 2)))
def test_another_protocol_on_the_port_logs_nothing(kind: str, other: str) -> None:
    port = next((*p["ports"], 8080)[0] for p in protocols() if p["name"] == kind)
    for turns in data(other):
        got = run(connection(turns, dport=port).frames())
        if {kind, other} <= HTTP:
            continue  # the records are of one kind, or one begins as the other
        if kind == "ssl" and (other == "websocket" or any(text[:8] == SSL_REQUEST for _, text in turns)):
            continue  # PostgreSQL that goes on in TLS is both, and so are WebSockets that carry it
        assert got.of(RECORDS.get(kind, kind)) == []
        assert kind not in got.one("conn").get("service", "").split(",")


@pytest.mark.parametrize("kind", KINDS)
@given(
    noise=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=3000)), min_size=1, max_size=12),
    start=st.booleans(),
)
def test_random_bytes_are_bounded(kind: str, noise: Turns, start: bool) -> None:
    """Noise, and noise behind a good beginning, which gets a parser to look at it."""
    turns = data(kind)[0][:1] + noise if start else noise
    got = run(connection(turns).frames())
    assert got.open_memory["carried"] < 200_000
    assert got.worker.memory() == {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}
    for line in got.output.splitlines():
        json.loads(line)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
def test_flipped_bytes_are_borne(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    turns = []
    for is_orig, text in chance.choice(data(kind)):
        changed = bytearray(text)
        for _ in range(chance.randrange(4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        turns.append((is_orig, bytes(changed)))
    got = run(connection(turns).frames())
    for line in got.output.splitlines():
        json.loads(line)
    assert got.worker.memory() == {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_records_fit_their_schema_and_hold_no_secret(kind: str) -> None:
    schema = schemas()[RECORDS.get(kind, kind)]
    secrets = {field.name for field in schema.fields if field.secret}
    for turns in data(kind):
        for record in run(connection(turns).frames()).lines:
            jsonschema.validate(record, json_schema(schemas()[record["_path"]]))
            assert record["_path"] != schema.name or not secrets & record.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_envelope_gives_the_same_records(kind: str) -> None:
    for turns in data(kind):
        talk = connection(turns)
        plain = facts(run(talk.frames()).lines)
        for wrap in (vxlan, gwlb):
            assert facts(run((time, wrap(ethernet(packet))) for time, _, packet in talk.packets).lines) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_two_flows_fed_in_turns_do_not_mix(kind: str) -> None:
    first, second = (data(kind) * 2)[:2]
    alone = [records(connection(turns, sport=port), kind) for turns, port in ((first, 41001), (second, 41002))]
    talks = [connection(turns, sport=port) for turns, port in ((first, 41001), (second, 41002))]
    frames = sorted(frame for talk in talks for frame in talk.frames())
    both = facts(run(frames).of(RECORDS.get(kind, kind)), INFERRED.get(kind, ()))
    assert both == sorted(alone[0] + alone[1], key=lambda record: json.dumps(record, sort_keys=True))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_back_at_its_start_after_many_flows(kind: str) -> None:
    turns = data(kind)
    talks = [connection(turns[i % len(turns)], sport=20000 + i) for i in range(300)]
    got = run(sorted(frame for talk in talks for frame in talk.frames()))
    assert got.worker.memory() == {"flows": 0, "held": 0, "carried": 0, "parsers": 0, "drafts": 0, "owned": 0}


def test_every_protocol_has_captures_of_its_own() -> None:
    for kind in KINDS:
        assert any((ROOT / "pcaps" / FOLDERS.get(kind, kind)).glob("*.pcap")), kind
