"""HTTP: /metrics for Prometheus and /readyz on one port, a bare /healthz for load balancers on another.

A process of its own, for the supervisor has one thread; it reads the ledgers and nothing else.
"""
import contextlib
import http.server
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NoReturn

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from cext.ledger import Ledger
from cext.worker import COUNTERS, GAUGES, LIVE_COUNTERS
from sensor.errors import LiveError, UsageError
from sensor.live import nic, processes
from sensor.live.health import Health

DOCS = dict(COUNTERS + LIVE_COUNTERS + GAUGES)
NOW = {"flows_peak", "envelopes"} | {name for name, _ in GAUGES}           # values that go down, too
REASONS = {"kernel_drops": "kernel", "lost_in_crash": "crash"}
REQUEST_SECONDS = 5.0


def open_page(address: str) -> socket.socket:
    """A listening socket at HOST:PORT.  Raises UsageError, LiveError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"an address to listen at is HOST:PORT, such as 127.0.0.1:9479, or none, not {address!r}")
    try:
        return socket.create_server((host.strip("[]"), int(port)), backlog=64,
                                    family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LiveError(f"cannot listen at {address}: {error.strerror}; choose another address, or none") from None


class Counters(Collector):
    """All ledgers as metrics, by worker."""

    def __init__(self, health: Health, interface: str | None) -> None:
        self.health, self.interface = health, interface

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for worker, ledger in enumerate(self.health.ledgers):
            for name, value in self.health.counters(ledger).items():
                add(found, name, str(worker), value)
            restarts = family(found, "worker_restarts", ["worker"], "Times that a worker took the place of another.")
            restarts.add_metric([str(worker)], ledger.replaced)
        for name, value in nic.counters(self.interface).items() if self.interface else ():
            errors = family(found, "interface_errors", ["counter"], "What the interface itself lost or found broken.")
            errors.add_metric([name], value)
        return found.values()


def add(found: dict[str, Metric], name: str, worker: str, value: int) -> None:
    """One counter of one worker: drops and records have their reason and kind as a label."""
    if name.startswith("drop_") or name in REASONS:
        drops = family(found, "packets_dropped", ["worker", "reason"], "Packets that did not become a flow's.")
        drops.add_metric([worker, REASONS.get(name) or name.removeprefix("drop_")], value)
    elif name in DOCS:
        family(found, name, ["worker"], DOCS[name]).add_metric([worker], value)
    else:
        records = family(found, "records", ["worker", "kind"], "Records written.")
        records.add_metric([worker, name.removeprefix("records_")], value)


def family(found: dict[str, Metric], name: str, labels: list[str], doc: str) -> CounterMetricFamily | GaugeMetricFamily:
    made = found.get(name)
    if made is None:
        kind = GaugeMetricFamily if name in NOW else CounterMetricFamily
        made = found[name] = kind(f"cloudmri_{name}", doc, labels=labels)
    assert isinstance(made, CounterMetricFamily | GaugeMetricFamily)
    return made


class Server(http.server.ThreadingHTTPServer):
    """Serves from a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


class Page(http.server.BaseHTTPRequestHandler):
    """What both servers have in common: short answers, no log, no client that keeps a thread."""

    timeout = REQUEST_SECONDS
    health: Health

    def answer(self, code: int, body: bytes = b"", kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def version_string(self) -> str:
        return "cloudmri"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError


class MetricsPage(Page):
    registry: CollectorRegistry

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self.answer(200, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        elif path == "/readyz":
            troubles = self.health.troubles()
            self.answer(503 if troubles else 200, "".join(f"{one}\n" for one in troubles or ["ready"]).encode())
        else:
            self.answer(404, b"there are /metrics and /readyz\n")


class HealthPage(Page):
    """Open to the mirrored network: it tells nothing but a code."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/healthz":
            self.answer(404)
        else:
            self.answer(503 if self.health.troubles() else 200)


def serve(listeners: Sequence[socket.socket | None], ledgers: Sequence[Ledger], names: Sequence[str],
          drop_limit: float, interface: str | None, captured: Sequence[socket.socket]) -> NoReturn:
    """The whole life of the process; ``listeners``: of the metrics, of the health page; ``captured``: what it must not
    keep, for a ring lives as long as anybody has its socket."""
    for one in captured:
        one.close()
    processes.become("pages")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    health = Health(ledgers, names, drop_limit)
    registry = CollectorRegistry()
    registry.register(Counters(health, interface))
    pages = (type("_", (MetricsPage,), {"health": health, "registry": registry}),
             type("_", (HealthPage,), {"health": health}))
    for listener, page in zip(listeners, pages, strict=True):
        if listener is not None:
            threading.Thread(target=Server(listener, page).serve_forever, daemon=True).start()
    with contextlib.suppress(BaseException):
        while True:
            health.sample()
            time.sleep(1)
    os._exit(processes.FAILED)
