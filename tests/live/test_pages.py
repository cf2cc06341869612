"""What Prometheus and load balancers are told."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sensor.live import pages
from sensor.live.health import FEW, Health
from tests.conftest import PATH, ROOT
from tests.live.sensor import Live, live, named, status
from tests.live.wire import Wire, wire

METRICS, HEALTH = "127.0.0.1:9479", "172.31.0.2:8080"
NAMES = ("packets", "kernel_drops", "records_unwritten")


@pytest.fixture(scope="module")
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture(scope="module")
def sensor(cable: Wire) -> Iterator[Live]:
    words = ["-i", Wire.ear, "--workers", "2", "--metrics-listen", METRICS, "--health-listen", HEALTH]
    with live(cable, "pages", *words) as started:
        yield started


def get(cable: Wire, url: str, *words: str) -> tuple[int, str]:
    """Status and body."""
    command = ["curl", "-s", "-m", "5", "-w", "\n%{http_code}", *words, f"http://{url}"]
    done = subprocess.run(cable.inside(cable.listener, command), capture_output=True, text=True)
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


def metrics(cable: Wire) -> dict[tuple[str, ...], float]:
    """Name and label values, by the labels' names → value, as Prometheus' own parser reads them."""
    code, body = get(cable, f"{METRICS}/metrics")
    assert code == 200
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_counters_are_there_by_worker_reason_and_kind(cable: Wire, sensor: Live) -> None:
    cable.send_all(2000, flows=40)
    sensor.wait(lambda: sum(metrics(cable)["cloudmri_packets_total", str(i)] for i in (0, 1)) == 2000)
    found = metrics(cable)
    for worker in ("0", "1"):
        assert found["cloudmri_packets_total", worker] > 300
        assert found["cloudmri_flows_open", worker] > 5
        assert found["cloudmri_packets_dropped_total", "kernel", worker] == 0
        assert found["cloudmri_packets_dropped_total", "truncated_ip", worker] == 0
        assert found["cloudmri_records_total", "http", worker] == 0
        assert found["cloudmri_worker_restarts_total", worker] == 0
        assert ("cloudmri_memory_bytes", worker) in found and ("cloudmri_backlog_bytes", worker) in found
    assert sum(found["cloudmri_flows_open", worker] for worker in ("0", "1")) == 40


def test_what_the_interface_itself_counts_is_there(cable: Wire, sensor: Live) -> None:
    found = metrics(cable)
    for name in ("rx_errors", "rx_dropped", "rx_missed_errors", "rx_queue_0_drops"):
        assert found["cloudmri_interface_errors_total", name] == 0


def test_the_drivers_counters_are_those_of_ethtool(cable: Wire) -> None:
    script = "import json, sensor.live.nic as n; print(json.dumps([n.driver_counters(i) for i in ('t0', 'lo', 'no')]))"
    asked = [sys.executable, "-c", script], ["ethtool", "-S", Wire.ear]
    got, said = (
        subprocess.run(cable.inside(cable.listener, words), capture_output=True, text=True, check=True, cwd=ROOT,
                       env=os.environ | {"PATH": PATH}).stdout
        for words in asked
    )  # fmt: skip
    want = [line.strip().partition(": ") for line in said.splitlines()[1:]]
    assert json.loads(got) == [{name: int(value) for name, _, value in want}, {}, {}]


def test_names_follow_the_conventions(cable: Wire, sensor: Live) -> None:
    """https://prometheus.io/docs/practices/naming: a prefix, a unit, total behind what only grows; each has a help."""
    _, body = get(cable, f"{METRICS}/metrics")
    for family in text_string_to_metric_families(body):
        assert family.name.startswith("cloudmri_") and family.documentation
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)


def test_it_is_well_until_a_worker_stands_still(cable: Wire, sensor: Live) -> None:
    assert get(cable, f"{HEALTH}/healthz") == (200, "")
    assert get(cable, f"{METRICS}/readyz") == (200, "ready\n")
    worker = sensor.workers()[1]
    os.kill(worker, signal.SIGSTOP)
    try:
        sensor.wait(lambda: get(cable, f"{HEALTH}/healthz") == (503, ""))
        assert get(cable, f"{METRICS}/readyz") == (503, "worker 1 does not move\n")
    finally:
        os.kill(worker, signal.SIGCONT)
    sensor.wait(lambda: get(cable, f"{HEALTH}/healthz") == (200, ""))


def test_a_replaced_worker_is_counted_and_the_pages_come_back(cable: Wire, sensor: Live) -> None:
    os.kill(sensor.workers()[0], signal.SIGKILL)
    sensor.wait(lambda: metrics(cable)["cloudmri_worker_restarts_total", "0"] == 1)
    children = sensor.children()
    (pages,) = [pid for pid in children if "pages" in named(pid)]
    assert int(status(pages)["CapEff"], 16) == 0
    os.kill(pages, signal.SIGKILL)
    sensor.wait(lambda: get(cable, f"{HEALTH}/healthz")[0] == 200)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (f"{HEALTH}/metrics", 404),
        (f"{HEALTH}/", 404),
        (f"{METRICS}/", 404),
        (f"{METRICS}/healthz", 404),
        (f"{METRICS}/metrics?name=x", 200),
    ],
)
def test_other_paths_are_not_there(cable: Wire, sensor: Live, url: str, code: int) -> None:
    """The health page is open to the mirrored network, and tells it nothing."""
    assert get(cable, url)[0] == code
    assert get(cable, url, "-X", "POST")[0] == 501
    got = get(cable, url, "-I")
    assert got[0] == code and ("cloudmri" not in got[1] or "Server: cloudmri\n" in got[1].replace("\r", ""))


def test_those_who_send_a_byte_now_and_then_keep_nobody_out() -> None:
    listener = pages.open_page("127.0.0.1:0")
    server = pages.Server(listener, {"/healthz": lambda: pages.Answer(200)})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    slow = [socket.create_connection(listener.getsockname()) for _ in range(pages.MOST_REQUESTS + 5)]
    for one in slow:
        with contextlib.suppress(OSError):
            one.sendall(b"GET /heal")
    end = time.monotonic() + 3 * pages.REQUEST_SECONDS
    answer = b""
    while not answer:
        assert time.monotonic() < end
        with contextlib.suppress(OSError), socket.create_connection(listener.getsockname()) as asking:
            asking.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = asking.recv(100)
        time.sleep(0.2)
        server.end_overdue()
    assert b" 200 " in answer
    for one in slow:
        one.close()
    server.shutdown()
    server.server_close()


class Book:
    """A ledger that a test writes: by hand, for a worker's pages have no other way in."""

    def __init__(self) -> None:
        self.values = dict.fromkeys(NAMES, 0)
        self.beaten = time.monotonic_ns()
        self.replaced = 0

    def read(self, n: int) -> list[int]:
        return list(self.values.values())[:n]


@pytest.mark.parametrize(
    ("grown", "trouble"),
    [
        ({"packets": 10_000}, ""),
        ({"packets": 10_000, "kernel_drops": FEW}, ""),
        ({"packets": 10_000, "kernel_drops": 400}, ""),
        ({"packets": 10_000, "kernel_drops": 600}, "the kernel dropped 600 of 10600 packets in the last minute"),
        ({"records_unwritten": 7}, "the output was too slow for 7 records of the last minute"),
    ],
)
def test_drops_and_unwritten_records_of_the_last_minute_count(grown: dict[str, int], trouble: str) -> None:
    book = Book()
    health = Health([book], NAMES, 0.05)
    book.values["kernel_drops"] = 10_000  # of long ago
    health.sample()
    assert not health.troubles()
    for name, value in grown.items():
        book.values[name] += value
    health.sample()
    assert health.troubles() == ([trouble] if trouble else [])
    health.samples = type(health.samples)((at - 100, values) for at, values in health.samples)
    health.sample()
    assert not health.troubles()
    book.beaten -= 4_000_000_000
    assert health.troubles() == ["worker 0 does not move"]
