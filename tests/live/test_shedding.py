"""More comes than can be read: what is left out, that it is told, and that it ends by itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from tests.builders import ACK, PSH, Talk, ethernet, ip, udp
from tests.conftest import Record
from tests.live.sensor import Live, live
from tests.live.wire import Wire, mirrored, wire

MEGABYTE = 1 << 20
WAYS = {
    "ring": ["-i", Wire.ear, "--ring-size", "16", "--block-timeout", "1000"],
    "socket": ["--listen", "udp://0.0.0.0:4789", "--receive-buffer", "16"],
}
FILLER = mirrored(ethernet(ip("10.9.0.1", "10.9.0.2", 17, udp(998, 9999, b"x" * 7000))))  # nobody parses it
PAGE = b"%PDF-1.4 " + b"x" * 600  # its first bytes tell what it is
PAGES = 20
SHARES = {20000: 0.35, 30000: 0.6, 40000: 0.85}  # of the room, by the first port of the pages in it


@pytest.fixture(scope="module")
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


def asked(sport: int, size: int) -> Talk:
    """A request, and the head of an answer of so many bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    return Talk(sport=sport, dport=80).open().say([(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, head)])


def packets(talk: Talk, since: int = 0) -> list[bytes]:
    return [mirrored(ethernet(packet)) for _, _, packet in talk.packets[since:]]


def pages(first: int) -> list[bytes]:
    """Connections of one page each."""
    return [frame for i in range(PAGES) for frame in packets(asked(first + i, len(PAGE)).say([(False, PAGE)]).close())]


class Room:
    """Where packets wait for the worker, and how many of the filler's it takes."""

    def __init__(self, cable: Wire, way: str, worker: int) -> None:
        self.cable, self.worker = cable, worker
        self.frames = 16 * MEGABYTE / (len(FILLER) + 150)  # a ring keeps a head with each
        if way == "socket":
            os.kill(worker, signal.SIGSTOP)
            cable.play_all([FILLER] * 100)
            self.frames = 100 * 2 * 16 * MEGABYTE / self.taken()  # the kernel doubles what is asked for (socket(7))
            os.kill(worker, signal.SIGCONT)

    def taken(self) -> int:
        """Bytes in the receive buffer, by the kernel's own reckoning."""
        words = self.cable.inside(self.cable.listener, ["cat", "/proc/net/udp"])
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        (queue,) = (line.split()[4] for line in lines if line.split()[1].endswith(":12B5"))
        return int(queue.partition(":")[2], 16)

    def fill(self, share: float, first: list[bytes], later: list[bytes]) -> None:
        """The worker finds so much of the room taken: filler, what is met then, more, and what comes late."""
        few, all_of_it = round(0.05 * self.frames), round(share * self.frames)
        middle = (all_of_it - few) // 2
        os.kill(self.worker, signal.SIGSTOP)
        self.cable.play_all([FILLER] * few + first + [FILLER] * middle + later + [FILLER] * (all_of_it - few - middle))
        os.kill(self.worker, signal.SIGCONT)


def kept_up(sensor: Live, times: int) -> bool:
    return sensor.log.read_text().count("keeps up again: all is parsed") >= times


def of_pages(sensor: Live, kind: str, first: int) -> list[Record]:
    return [record for record in sensor.of(kind) if first <= record["id.orig_p"] < first + PAGES]


def chunk() -> bytes:
    return b"1b58\r\n" + b"y" * 7000 + b"\r\n"


@pytest.mark.parametrize("way", WAYS)
def test_it_leaves_out_more_the_less_room_there_is(cable: Wire, way: str) -> None:
    """Of the two large flows only that in which a parser has to work is shed, not a download that is swallowed."""
    chunked = Talk(sport=999, dport=80).open().say([(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")])
    chunked.say(
        [(False, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), *[(False, chunk())] * 150], most=8000
    )
    download = asked(997, 100 * MEGABYTE).say([(False, b"y" * MEGABYTE)], most=7000)
    with live(cable, f"shed-{way}", *WAYS[way]) as sensor:
        (worker,) = sensor.workers()
        room = Room(cable, way, worker)
        cable.play_all(packets(chunked) + packets(download))
        for stage, (first, share) in enumerate(SHARES.items()):
            so_far = len(chunked.packets), len(download.packets)
            chunked.send(False, PSH | ACK, chunk())
            download.send(False, PSH | ACK, b"y" * 7000)
            room.fill(share, pages(first), packets(chunked, so_far[0]) + packets(download, so_far[1]))
            sensor.wait(partial(kept_up, sensor, stage + 1))
        cable.play_all(pages(50000))
        assert sensor.stop() == 0, sensor.log.read_text()
    assert sensor.counted("kernel_drops") == 0
    assert sensor.counted("bodies_shed") >= 2 * PAGES
    assert (sensor.counted("large_flows_shed"), sensor.counted("flows_unparsed")) == (1, PAGES)
    assert sum(record["orig_pkts"] + record["resp_pkts"] for record in sensor.of("conn")) == sensor.counted("packets")
    for first, (records, kind, shed) in {
        20000: (PAGES, None, True),
        30000: (PAGES, None, True),
        40000: (0, None, True),
        50000: (PAGES, ["application/pdf"], None),
    }.items():
        assert [r.get("resp_mime_types") for r in of_pages(sensor, "http", first)] == [kind] * records
        assert [r.get("shed") for r in of_pages(sensor, "conn", first)] == [shed] * PAGES
        assert {r["conn_state"] for r in of_pages(sensor, "conn", first)} == {"SF"}
    conns = {record["id.orig_p"]: record for record in sensor.of("conn")}
    assert [conns[port].get("shed") for port in (999, 997)] == [True, None]
    assert all(conns[port]["resp_bytes"] > MEGABYTE for port in (999, 997))
    (taken,) = (record for record in sensor.of("http") if record["id.orig_p"] == 997)
    assert taken["response_body_len"] == MEGABYTE + 3 * 7000
