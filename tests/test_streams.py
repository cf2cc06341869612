"""TCP streams: whatever order, overlap or loss the mirror shows, bytes come out once and in order, or are counted."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ACK, FIN, PSH, RST, START, SYN, Talk, Timed, ethernet, ip, udp
from tests.conftest import Run, run

REQUEST = b"GET /%d HTTP/1.1\r\nHost: a.test\r\nX-Fill: " + b"x" * 300 + b"\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"y" * 500


def talk(turns: int = 6, **ends: object) -> Talk:
    made = Talk(dport=80, **ends).open()  # type: ignore[arg-type]
    for i in range(turns):
        made.say([(True, REQUEST % i), (False, ANSWER)], most=100)
    return made.close()


def uris(got: Run) -> list[str]:
    return [record["uri"] for record in got.of("http")]


WHOLE = [f"/{i}" for i in range(6)]


@given(seed=st.integers(0, 2**32))
def test_reordered_segments_give_every_transaction(seed: int) -> None:
    """A mirror delivers late by a few milliseconds and shows answers before questions."""
    chance = random.Random(seed)
    frames = [(time, ethernet(packet)) for time, _, packet in talk().packets]
    handshake, rest = frames[:3], frames[3:]
    late = sorted(rest, key=lambda frame: frame[0] + chance.random() * 0.002)
    got = run(handshake + late)
    assert uris(got) == WHOLE
    assert all(record["status_code"] == 200 for record in got.of("http"))
    assert got.one("conn")["missed_bytes"] == 0


@given(seed=st.integers(0, 2**32))
def test_repeated_and_overlapping_segments_count_once(seed: int) -> None:
    chance = random.Random(seed)
    made, said = Talk(dport=80).open(), {True: b"", False: b""}
    for i in range(6):
        for side, text in ((True, REQUEST % i), (False, ANSWER)):
            base, end = (1001 if side else 5_000_001), len(said[side]) + len(text)
            said[side] += text
            at = end - len(text)
            while at < end:  # each segment begins somewhere in what was sent already
                start = at - chance.randrange(min(at, 150) + 1)
                size = at - start + chance.randrange(1, 200)
                made.send(side, PSH | ACK, said[side][start : start + size], seq=base + start)
                at = min(start + size, end)
            if side:
                made.orig_seq = base + end
            else:
                made.resp_seq = base + end
    got = run(made.close().frames())
    assert sorted(uris(got)) == WHOLE
    assert got.one("conn")["orig_bytes"] == len(said[True])


def test_first_copy_of_a_byte_wins() -> None:
    made = Talk(dport=80).open()
    made.send(True, PSH | ACK, b"GET /good HT")
    made.send(True, PSH | ACK, b"GET /evil HTTP/1.1\r\n\r\n", seq=1001)
    assert run(made.frames()).one("http")["uri"] == "/good"


@pytest.mark.parametrize("start", [0xFFFFFFFF, 0xFFFFFFF0, 0x7FFFFFFF, 0xFFFFFF00])
def test_sequence_numbers_wrap(start: int) -> None:
    got = run(talk(orig_seq=start, resp_seq=start).frames())
    assert uris(got) == WHOLE
    assert got.one("conn")["missed_bytes"] == 0


def test_keep_alives_are_not_data() -> None:
    made = Talk(dport=80).open().say([(True, REQUEST % 0), (False, ANSWER)])
    made.send(True, ACK, b"\0", seq=made.orig_seq - 1)
    made.send(False, ACK)
    made.say([(True, REQUEST % 1), (False, ANSWER)])
    got = run(made.close().frames())
    assert uris(got) == ["/0", "/1"]
    assert "T" in got.one("conn")["history"]


def lossy(lost: int, later: float = 0.0) -> list[Timed]:
    """Without the packet ``lost``; what comes after it is ``later`` seconds later."""
    return [
        (time + (later if i > lost else 0), ethernet(packet))
        for i, (time, _, packet) in enumerate(talk().packets)
        if i != lost
    ]


def test_a_hole_is_given_up_only_after_the_window() -> None:
    """The data is late, not lost: it was acknowledged already, and comes 100 ms later, within the window."""
    packets = [(time, ethernet(packet)) for time, _, packet in talk().packets]
    late = packets.pop(5)
    packets.insert(12, late)
    got = run(packets)
    assert uris(got) == WHOLE
    assert got.one("conn")["missed_bytes"] == 0


def test_a_burst_that_one_queue_delivers_late_is_not_lost() -> None:
    """The mirror's other queue is 1,900 packets further on: less than the window, in time and in packets."""
    body = bytes(range(256)) * 5000
    made = Talk(dport=80).open()
    made.say([(True, b"PUT /late HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % len(body))])
    for at in range(0, len(body), 1000):
        made.send(True, PSH | ACK, body[at : at + 1000])
        made.send(False, ACK)
    packets = made.say([(False, ANSWER)]).close().packets
    burst = [packets.pop(i) for i in range(300, 200, -2)]  # of the client's; the server's answers to it are on time
    order = packets[:2150] + burst[::-1] + packets[2150:]
    got = run(((START + i * 0.00001, ethernet(packet)) for i, (_, _, packet) in enumerate(order)), http_sha256=True)
    assert got.one("conn")["missed_bytes"] == 0
    assert got.one("http")["request_sha256"] == hashlib.sha256(body).hexdigest()


def test_a_lost_body_is_no_loss_of_the_transaction() -> None:
    answer = next(
        i for i, (_, is_orig, packet) in enumerate(talk().packets) if not is_orig and packet.endswith(b"y" * 100)
    )
    got = run(lossy(answer, later=1.0))
    assert uris(got) == WHOLE
    assert got.one("conn")["missed_bytes"] == 100
    assert "g" in got.one("conn")["history"]


def test_how_long_a_hole_was_waited_for_is_no_part_of_a_duration() -> None:
    """The hole is given up by the clock, or when the next request has come: it counts as of when it was seen."""
    made = Talk(dport=80).open().say([(True, REQUEST % 0), (False, ANSWER)], most=100)
    del made.packets[-1]  # the body's end; that it was there is shown by its acknowledgement
    for later in (0.01, 0.4):
        talk = Talk(dport=80, packets=made.packets[:], orig_seq=made.orig_seq, resp_seq=made.resp_seq)
        talk.send(True, ACK, at=START + 0.006)
        talk.send(True, PSH | ACK, REQUEST % 1, at=START + later)
        talk.send(False, PSH | ACK, ANSWER, at=START + later + 0.001)
        first, second = run(talk.frames()).of("http")
        assert first["duration"] == pytest.approx(0.006 - 0.0003)
        assert second["duration"] == pytest.approx(0.001)


def test_holes_are_real_that_were_seen_before_a_reset() -> None:
    """All are given up at the end, when the connection is well no more; what was lost was lost before."""
    made = Talk(dport=80).open().say([(True, REQUEST % 0), (False, ANSWER)], most=100)
    del made.packets[-4], made.packets[-2]  # of the body: two holes, each with a segment behind it
    made.send(True, ACK)
    made.send(True, RST | ACK)
    conn = run(made.frames()).one("conn")
    assert conn["missed_bytes"] == 200
    assert "g" in conn["history"]


@given(seed=st.integers(0, 2**32))
def test_when_a_hole_is_given_up_depends_on_its_own_flow_alone(seed: int) -> None:
    """Packets of others fill batches and move the clock: what is late by about the window is judged alike."""
    chance = random.Random(seed)
    frames = []
    for i, (time, _, packet) in enumerate(talk().packets):
        late = chance.choice([0.0, 0.0, 0.0, 0.2, 0.24, 0.26, 0.3])
        frames.append((time + i * 0.02 + late, ethernet(packet)))
    frames.sort()
    noise = [
        (START + chance.random() * 4, ethernet(ip("10.9.9.9", "10.8.8.8", 17, udp(1000 + i, 2000, b"noise"))))
        for i in range(chance.randrange(400))
    ]
    alone, among = run(frames), run(sorted(frames + noise))
    mine = [r for r in among.lines if r["id.orig_h"] != "10.9.9.9"]
    assert sorted(map(str, mine)) == sorted(map(str, alone.lines))


def test_holes_of_both_sides_stand_in_the_history_where_they_were_seen() -> None:
    """A filter let through only SYN and FIN: each FIN acknowledges what was not seen of the other side (Zeek)."""
    made = Talk(dport=80)
    made.send(True, SYN)
    made.send(False, SYN | ACK)
    made.orig_seq, made.resp_seq = made.orig_seq + 2000, made.resp_seq + 80_000
    made.send(False, FIN | ACK)
    made.send(True, FIN | ACK)
    conn = run(made.frames()).one("conn")
    assert (conn["history"], conn["missed_bytes"]) == ("ShfGFg", 82_000)


def test_a_lost_head_costs_that_transaction_alone() -> None:
    """The first segment of the third request is lost; later requests are found again."""
    third = next(i for i, (_, _, packet) in enumerate(talk().packets) if packet[40:].startswith(b"GET /2"))
    got = run(lossy(third, later=1.0))
    assert {"/0", "/1", "/3", "/4", "/5"} <= set(
        uris(got) if all("uri" in r for r in got.of("http")) else {r["uri"] for r in got.of("http") if "uri" in r}
    )


def test_a_cut_copy_counts_by_its_claimed_length() -> None:
    """PacketLength cuts every packet to 68 bytes of IP: nothing stalls, the tail is a gap (design, truncation)."""
    frames = [(time, ethernet(packet[:68])) for time, _, packet in talk().packets]
    got = run(frames)
    conn = got.one("conn")
    sent = sum(len(packet) - 40 for _, is_orig, packet in talk().packets if is_orig)
    assert conn["orig_bytes"] == sent
    assert conn["missed_bytes"] == sum(max(0, len(packet) - 68) for _, _, packet in talk().packets)
    assert conn["conn_state"] == "SF"
    assert got.counters()["cut_copies"] > 0


def test_midstream_start_is_parsed() -> None:
    packets = talk().packets
    second = next(i for i, (_, _, packet) in enumerate(packets) if packet[40:].startswith(b"GET /1"))
    got = run((time, ethernet(packet)) for time, _, packet in packets[second:])
    assert uris(got) == WHOLE[1:]
    assert got.one("conn")["id.resp_p"] == 80


@pytest.mark.parametrize("side", [True, False])
def test_one_sided_flow_is_parsed_without_delay(side: bool) -> None:
    got = run((time, ethernet(packet)) for time, is_orig, packet in talk().packets if is_orig == side)
    assert len(got.of("http")) == 6
    assert got.one("conn")["missed_bytes"] == 0


def test_reset_ends_the_flow_and_writes_what_is_pending() -> None:
    made = Talk(dport=80).open().say([(True, REQUEST % 0)])
    made.send(False, RST | ACK)
    got = run(made.frames())
    assert uris(got) == ["/0"]
    assert got.one("conn")["conn_state"] == "RSTR"


def test_syn_with_data_is_read() -> None:
    made = Talk(dport=80)
    made.send(True, SYN, REQUEST % 0)
    made.send(False, SYN | ACK)
    made.say([(False, ANSWER)])
    assert uris(run(made.close().frames())) == ["/0"]


def test_held_bytes_are_bounded_for_a_direction() -> None:
    """Four megabytes above a hole that nobody acknowledges: the hole is given up, memory stays."""
    made = Talk(dport=80).open()
    made.orig_seq += 100
    for _ in range(2000):
        made.send(True, PSH | ACK, b"z" * 2500)
    got = run(made.frames())
    assert got.counters()["reorder_shed"] >= 1
    assert got.open_memory["held"] <= 4 << 20
    assert got.worker.memory()["held"] == 0


def test_held_segments_are_few_however_small() -> None:
    """To find a segment's place takes a walk: 2,048 of one byte are held, and no more."""
    made = Talk(dport=80).open()
    made.orig_seq += 100
    for _ in range(2048):
        made.send(True, PSH | ACK, b"z")
    assert run(made.frames()).counters()["reorder_shed"] == 0
    made.send(True, PSH | ACK, b"z")
    assert run(made.frames()).counters()["reorder_shed"] == 1


def test_fin_out_of_order_still_ends_cleanly() -> None:
    packets = talk(1).packets
    frames = [
        (START + i * 0.0001, ethernet(packets[j][2]))
        for i, j in enumerate([0, 1, 2, *range(len(packets) - 3, len(packets)), *range(3, len(packets) - 3)])
    ]
    got = run(frames)
    assert uris(got) == ["/0"]
    assert got.one("conn")["conn_state"] == "SF"
