"""What tests share: running captures through the sensor, and the bundled captures as conversations."""

import functools
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import dpkt
import pytest
from hypothesis import HealthCheck, settings

from cext.decap import Decap
from cext.pcap import Capture
from cext.worker import Worker
from cext.writer import Writer
from sensor import protocols
from sensor.networks import SERVER_TCP, SERVER_UDP, local
from sensor.tenants import Tenants
from tests.builders import Timed, Turns, pcap

ROOT = Path(__file__).parent.parent
PCAPS = sorted((ROOT / "pcaps").rglob("*.pcap"))
SHARED = ROOT.parent / "shared"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
Record = dict[str, Any]

settings.register_profile("ci", max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("deep", max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("CLOUDMRI_TESTS", "ci"))
protocols.load()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="write the golden files anew; read them before you commit")


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--accept"))


class Run:
    """A capture run through the packet path, and what came of it."""

    def __init__(
        self,
        data: bytes,
        *,
        tenant: str = "vni",
        format: str = "json",
        secrets: bool = False,
        sql_shapes: bool = False,
        http_headers: bool = False,
        http_sha256: bool = False,
        only: set[str] | None = None,
        chunk: int | None = None,
        decap: dict[str, Any] | None = None,
        protocols: set[str] | None = None,
        **worker: Any,
    ) -> None:
        tenants = Tenants(tenant)
        opened = Decap(tenants, **(decap or {}))
        self.writer = Writer(
            opened,
            format=format,
            secrets=secrets,
            sql_shapes=sql_shapes,
            http_headers=http_headers,
            http_sha256=http_sha256,
            only=only,
            tenant_names=tenants.names,
            local=local(),
        )
        self.worker = Worker(opened, self.writer, server_ports=(SERVER_TCP, SERVER_UDP), protocols=protocols, **worker)
        self.capture = Capture()
        self.output = b""
        for at in range(0, len(data), chunk or len(data) or 1):
            self.capture.feed(data[at : at + (chunk or len(data))])
            self.read()
        self.capture.end()
        self.read()
        self.open_memory = self.worker.memory()
        while self.worker.finish_flows():
            self.take()
        self.take()

    def read(self) -> None:
        while self.worker.run(self.capture):
            self.take()

    def take(self) -> None:
        self.output += b"".join(part for _, part in self.writer.drain())

    @property
    def lines(self) -> list[Record]:
        return [json.loads(line) for line in self.output.splitlines()]

    def of(self, kind: str) -> list[Record]:
        """Records of a kind, in order of time."""
        return sorted((r for r in self.lines if r["_path"] == kind), key=lambda r: (r["ts"], r.get("trans_depth", 0)))

    def one(self, kind: str) -> Record:
        found = self.of(kind)
        assert len(found) == 1, found
        return found[0]

    def counters(self) -> dict[str, int]:
        return self.worker.counters()


def run(frames: Iterable[Timed], **options: Any) -> Run:
    """Frames of Ethernet through the sensor."""
    return Run(pcap(frames), **options)


ENVELOPE = {"ts", "uid", "id.ctx.vxlan_vni", "id.ctx.geneve_vni", "vantage", "gwlb_endpoint", "gwlb_attachment"}


def facts(records: Iterable[Record], without: Iterable[str] = ()) -> list[Record]:
    """Records without what depends on time and envelope, in an order of their own."""
    drop = ENVELOPE | set(without)
    found = [{key: value for key, value in record.items() if key not in drop} for record in records]
    return sorted(found, key=lambda record: json.dumps(record, sort_keys=True))


@functools.cache
def exchanges(path: Path) -> list[tuple[tuple[int, int], Turns]]:
    """The UDP flows of a bundled capture as dpkt reads them: ports, and what each side said in turn."""
    flows: dict[tuple[bytes, int, bytes, int], tuple[tuple[int, int], Turns]] = {}
    with path.open("rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            packet = inner_ip(frame)
            if packet is None or not isinstance(packet.data, dpkt.udp.UDP):
                continue
            ends = (packet.src, packet.data.sport, packet.dst, packet.data.dport)
            back = (*ends[2:], *ends[:2])
            is_orig = back not in flows
            key = ends if is_orig else back
            said = flows.setdefault(key, ((packet.data.sport, packet.data.dport), []))[1]
            said.append((is_orig, bytes(packet.data.data)))
    return list(flows.values())


@functools.cache
def conversations(path: Path) -> list[tuple[tuple[int, int], Turns]]:
    """The TCP connections of a bundled capture as dpkt reads them: ports, and what each side said in turn."""
    flows: dict[tuple[bytes, int, bytes, int], tuple[tuple[int, int], Turns]] = {}
    with path.open("rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            packet = inner_ip(frame)
            if packet is None or not isinstance(packet.data, dpkt.tcp.TCP):
                continue
            tcp = packet.data
            key = (packet.src, tcp.sport, packet.dst, tcp.dport)
            back = (packet.dst, tcp.dport, packet.src, tcp.sport)
            if tcp.flags & dpkt.tcp.TH_SYN and not tcp.flags & dpkt.tcp.TH_ACK:
                flows[key] = ((tcp.sport, tcp.dport), [])
            is_orig = key in flows
            said = flows[key if is_orig else back][1]
            if tcp.data:
                said.append((is_orig, bytes(tcp.data)))
    return list(flows.values())


def inner_ip(frame: bytes) -> Any:
    """The innermost IPv4 packet of a frame in any envelope of the bundled captures, by dpkt alone."""
    packet = dpkt.ethernet.Ethernet(frame).data
    while isinstance(packet, dpkt.ip.IP) and isinstance(packet.data, dpkt.udp.UDP):
        if packet.data.dport == 4789:
            packet = dpkt.ethernet.Ethernet(bytes(packet.data.data)[8:]).data
        elif packet.data.dport == 6081:
            inner = bytes(packet.data.data)
            packet = dpkt.ip.IP(inner[8 + 4 * (inner[0] & 63) :])
        else:
            break
    return packet if isinstance(packet, dpkt.ip.IP) else None


def cannot(why: str) -> NoReturn:
    """Skips the test, and says why.  Where all are to run (SENSOR_TESTS=all, as in CI) it fails instead."""
    if os.environ.get("SENSOR_TESTS") == "all":
        pytest.fail(why)
    pytest.skip(why)


def need(*programs: str) -> None:
    """For a test that asks other programs, which scripts/setup test installs."""
    missing = [one for one in programs if not shutil.which(one, path=PATH)]
    if missing:
        cannot(f"needs {', '.join(missing)}")


@pytest.fixture
def shared() -> Path:
    """The material beside the checkout, where there is some."""
    if not SHARED.is_dir():
        pytest.skip("there is no ../shared")
    return SHARED
