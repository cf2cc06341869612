"""SIGHUP: what changes while the sensor runs, and that no flow and no packet is lost by it."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from sensor.engine import Options
from sensor.live.orders import Order, Orders
from sensor.live.wishes import LiveOptions
from sensor.tenant_map import Tenant, TenantMap
from tests.builders import Talk, ethernet
from tests.live.sensor import Live, live
from tests.live.wire import Wire, mirrored, wire

WAYS = {"ring": f'interface = "{Wire.ear}"', "socket": 'listen = ["udp://0.0.0.0:4789"]'}


@pytest.fixture(scope="module")
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


class Configured:
    """A sensor with a configuration file and a tenant map, which it reads as the user who it becomes."""

    def __init__(self, cable: Wire, name: str, way: str) -> None:
        self.file, self.map, self.way = cable.work / f"{name}.toml", cable.work / f"{name}-tenants.toml", way
        self.logs = [cable.work / f"{name}-{part}" for part in ("logs", "other")]
        for folder in self.logs:
            folder.mkdir()
            folder.chmod(0o777)

    def write(self, tenant: str, *capture: str, logs: int = 0) -> None:
        self.map.write_text(f'[[tenant]]\nname = "{tenant}"\nvnis = [12345]\n')
        lines = ["[capture]", WAYS[self.way], f'tenant = "map:{self.map}"', "workers = 2", *capture]
        self.file.write_text("\n".join([*lines, "[output]", f'to = "{self.logs[logs]}"', ""]))


def said(sensor: Live, what: str, times: int) -> bool:
    return sensor.log.read_text().count(what) == times


def hang_up(sensor: Live, times: int, answer: str = "the configuration was read again") -> None:
    sensor.process.send_signal(signal.SIGHUP)
    sensor.wait(partial(said, sensor, answer, times))
    time.sleep(0.5)  # the workers do what they are told before their next packets


def ask(cable: Wire, talk: Talk, uri: str) -> None:
    """Opens a connection, where it is new, and sends one more request and its answer."""
    since = len(talk.packets)
    if not since:
        talk.open()
    talk.say([(True, f"GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), (False, b"HTTP/1.1 204 No Content\r\n\r\n")])
    cable.play_all([mirrored(ethernet(packet)) for _, _, packet in talk.packets[since:]])


@pytest.mark.parametrize("way", WAYS)
def test_tenants_outputs_and_filter_change_and_flows_go_on(cable: Wire, way: str) -> None:
    made = Configured(cable, f"hup-{way}", way)
    made.write("old")
    first, other = Talk(sport=20000, dport=80), Talk(sport=20001, dport=80)
    with live(cable, f"sensor-{way}", "--config", str(made.file)) as sensor:
        ask(cable, first, "/1")
        ask(cable, other, "/1")
        made.write("new", 'filter = "not port 20001"', "ring_size = 32", "receive_buffer = 32", logs=1)
        hang_up(sensor, 1)
        assert "capture.ring_size has changed, which takes effect at the next start" in sensor.log.read_text()
        ask(cable, first, "/2")
        ask(cable, other, "/2")
        made.file.write_text("[capture]\ninterfice = 1\n")
        hang_up(sensor, 1, "the configuration stays as it was: ")
        assert "did you mean 'capture.interface'?" in sensor.log.read_text()
        ask(cable, first, "/3")
        assert sensor.stop() == 0, sensor.log.read_text()
        records = {}
        for folder in made.logs:
            sensor.folder = folder
            records[folder] = (sensor.of("http"), sensor.of("conn"))
    (before, none), (after, conns) = records.values()
    assert none == [] and {record["tenant"] for record in before} == {"old"}
    assert [(r["id.orig_p"], r["uri"]) for r in sorted(before, key=lambda r: r["id.orig_p"])] == [
        (20000, "/1"),
        (20001, "/1"),
    ]
    assert [(r["id.orig_p"], r["uri"], r["tenant"]) for r in after] == [(20000, "/2", "new"), (20000, "/3", "new")]
    assert {c["id.orig_p"]: (c["orig_pkts"], c["tenant"]) for c in conns} == {20000: (5, "new"), 20001: (3, "new")}
    assert {r["uid"] for r in after} == {r["uid"] for r in before if r["id.orig_p"] == 20000}
    assert {c["uid"] for c in conns} == {r["uid"] for r in before}


@pytest.mark.parametrize("way", WAYS)
def test_every_packet_is_counted_while_it_changes_and_workers_die(cable: Wire, way: str) -> None:
    made = Configured(cable, f"load-{way}", way)
    made.write("zero")
    with live(cable, f"loaded-{way}", "--config", str(made.file)) as sensor:
        sending = cable.send(60000, seconds=4)
        for i in range(4):
            made.write(f"tenant-{i}", logs=i % 2)
            hang_up(sensor, i + 1)
            if i == 1:
                os.kill(sensor.workers()[0], signal.SIGKILL)
        assert sending.wait(30) == 0
        assert sensor.stop() == 0, sensor.log.read_text()
        sensor.folder = made.logs[1]
        counts = {name: sensor.counted(name) for name in ("packets", "kernel_drops", "lost_in_crash", "flow_packets")}
    assert counts["packets"] + counts["kernel_drops"] + counts["lost_in_crash"] == 60000
    assert counts["packets"] == counts["flow_packets"] > 50000
    conns = sensor.of("conn")
    assert len({conn["uid"] for conn in conns}) == len(conns)
    assert {conn["tenant"] for conn in conns} == {"tenant-3"}


def test_a_file_that_cannot_be_read_again_is_told_at_the_start(cable: Wire) -> None:
    made = Configured(cable, "secret", "ring")
    made.write("old")
    made.file.chmod(0o600)
    with live(cable, "sensor-secret", "--config", str(made.file), "--user", "nobody") as sensor:
        assert "SIGHUP will change nothing, for the configuration cannot be read again: " in sensor.log.read_text()
        hang_up(sensor, 1, "the configuration stays as it was: ")
        assert sensor.stop() == 0


def test_a_file_that_cannot_be_written_ends_nothing(cable: Wire) -> None:
    """The records go on to where they went; and no worker waits for an order that was never given."""
    made = Configured(cable, "unwritable", "ring")
    made.write("old")
    (made.logs[1] / "conn.log").touch(0o600)
    with live(cable, "sensor-unwritable", "--config", str(made.file)) as sensor:
        made.write("old", logs=1)
        hang_up(sensor, 1, "the configuration stays as it was: cannot write to ")
        cable.send_all(1000)
        assert sensor.stop() == 0, sensor.log.read_text()
        sensor.folder = made.logs[0]
    assert sum(conn["orig_pkts"] for conn in sensor.of("conn")) == 1000


def test_an_order_is_whole_or_not_there() -> None:
    orders = Orders()
    began = time.monotonic()
    assert orders.take() is None
    assert time.monotonic() - began < 0.05
    for names in (("a" * 5000,), ("b",)):
        order = Order(LiveOptions(), Options(only=frozenset(names)), TenantMap((Tenant("t"),)))
        orders.give(order)
        assert orders.take() == order
    os.pwrite(orders.file, b"torn", 0)
    assert orders.take() is None
