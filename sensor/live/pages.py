"""HTTP: /metrics for Prometheus and /readyz on one port, a bare /healthz for load balancers on another.

A process of its own, for the supervisor has one thread; it reads the ledgers and nothing else.
"""
import contextlib
import http.server
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from cext.accounts import COUNTERS, GAUGES, LIVE_COUNTERS
from sensor.errors import LiveError, UsageError
from sensor.live import nic, processes
from sensor.live.health import Booked, Health

LOG = logging.getLogger("cloudmri.live")
DOCS = dict(COUNTERS + LIVE_COUNTERS + GAUGES)
NOW = {"flows_peak", "envelopes"} | {name for name, _ in GAUGES}           # values that go down, too
REASONS = {"kernel_drops": "kernel", "lost_in_crash": "crash", "unread_at_end": "end"}
REQUEST_SECONDS = 5.0             # for all of a request
MOST_REQUESTS = 32                 # at a time; another is not answered


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT.  Raises UsageError."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"an address to listen at is HOST:PORT, such as 127.0.0.1:9479, or none, not {address!r}")
    return host.strip("[]"), int(port)


def open_page(address: str) -> socket.socket:
    """A listening socket at HOST:PORT.  Raises UsageError, LiveError."""
    host, port = parse_address(address)
    try:
        return socket.create_server((host, port), backlog=64,
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


class Answer(NamedTuple):
    code: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"


Pages = dict[str, Callable[[], Answer]]                # by path


class Server(http.server.ThreadingHTTPServer):
    """Serves pages from a socket that listens already, to so many at a time, and to none for long."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: Pages) -> None:
        super().__init__(listener.getsockname()[:2], Request, bind_and_activate=False)
        self.socket.close()
        self.socket, self.pages = listener, pages
        self.begun: dict[socket.socket, float] = {}    # requests that are not answered yet
        self.lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            full = len(self.begun) >= MOST_REQUESTS
            if not full:
                self.begun[request] = time.monotonic()
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.begun.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was too slow, is nobody's trouble."""
        LOG.debug("a request of %s was not answered", client_address, exc_info=True)

    def end_overdue(self) -> None:
        """Ends those that send a byte now and then."""
        with self.lock:
            overdue = [one for one, began in self.begun.items() if time.monotonic() - began > REQUEST_SECONDS]
        for one in overdue:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Request(http.server.BaseHTTPRequestHandler):
    """Short answers, no log, no client that keeps a thread."""

    timeout = REQUEST_SECONDS
    server: Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        answer = page() if page else Answer(404)
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def version_string(self) -> str:
        return "cloudmri"


def metrics_pages(health: Health, interface: str | None) -> Pages:
    registry = CollectorRegistry()
    registry.register(Counters(health, interface))

    def ready() -> Answer:
        troubles = health.troubles()
        return Answer(503 if troubles else 200, "".join(f"{one}\n" for one in troubles or ["ready"]).encode())

    return {"/metrics": lambda: Answer(200, generate_latest(registry), CONTENT_TYPE_LATEST), "/readyz": ready,
            "/": lambda: Answer(404, b"there are /metrics and /readyz\n")}


def health_pages(health: Health) -> Pages:
    """Open to the mirrored network: they tell nothing but a code."""
    return {"/healthz": lambda: Answer(503 if health.troubles() else 200)}


def serve(listeners: Sequence[socket.socket | None], ledgers: Sequence[Booked], names: Sequence[str],
          drop_limit: float, interface: str | None, captured: Sequence[socket.socket]) -> NoReturn:
    """The whole life of the process; ``listeners``: of the metrics, of the health page; ``captured``: what it must not
    keep, for a ring lives as long as anybody has its socket."""
    for one in captured:
        one.close()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    health = Health(ledgers, names, drop_limit)
    servers = [Server(listener, pages) for listener, pages
               in zip(listeners, (metrics_pages(health, interface), health_pages(health)), strict=True) if listener]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.suppress(BaseException):
        while True:
            health.sample()
            for server in servers:
                server.end_overdue()
            time.sleep(1)
    os._exit(processes.FAILED)
