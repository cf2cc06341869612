"""A replay: captures in, encoded records out.  Used by the command line and, through ``replay``, from Python.

``build`` makes the worker, for a live run too.
"""
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import msgpack

from cext.decap import Decap
from cext.filter import Filter
from cext.told import Told
from cext.worker import Worker
from cext.writer import Writer
from sensor import captures
from sensor.errors import CaptureError, SensorError, UsageError
from sensor.networks import PRIVATE, SERVER_TCP, SERVER_UDP, local
from sensor.protocols import check_kinds
from sensor.sinks import Encoded
from sensor.tenants import Tenants

Format = Literal["json", "msgpack"]
Chunk = tuple[str | None, Encoded]  # kind, or None for all kinds mixed; encoded records
MOST_PORTS = 8


class Options(NamedTuple):
    """What a run does.  Times are nanoseconds since 1970."""

    only: frozenset[str] | None = None
    format: Format = "json"
    by_kind: bool = False
    secrets: bool = False
    tenant: str = "vni"
    filter: str | None = None
    begin: int | None = None
    end: int | None = None
    seed: int = 0
    local_nets: tuple[str, ...] = PRIVATE
    vxlan_ports: tuple[int, ...] = (4789,)
    geneve_ports: tuple[int, ...] = (6081,)
    open_tunnels: bool = True
    max_depth: int = 6
    max_flows: int = 1 << 20
    reorder_window: float = 0.25
    conn_interim: float = 0
    sql: Literal["text", "fingerprint"] = "text"
    http_headers: bool = False
    http_sha256: bool = False
    twins: Literal["mark", "omit"] = "mark"


def build(options: Options, told: Told | None = None) -> Worker:
    """A worker that does what the options say; ``told`` is shared by several.  Raises UsageError for what makes no
    sense, SensorError where memory is short."""
    check(options)
    try:
        return made(options, Tenants(options.tenant), told)
    except MemoryError as error:
        raise SensorError(f"not enough memory ({error}): allow fewer flows than {options.max_flows:,} with "
                          "--max-flows, or more memory (ulimit -v, vm.overcommit_memory)") from None


def made(options: Options, tenants: Tenants, told: Told | None) -> Worker:
    decap = Decap(tenants, vxlan_ports=options.vxlan_ports, geneve_ports=options.geneve_ports,
                  max_depth=options.max_depth, open_tunnels=options.open_tunnels)
    writer = Writer(decap, seed=options.seed, local=local(options.local_nets), told=told,
                    **of_writer(options, tenants))
    return Worker(decap, writer, begin=options.begin, end=options.end, server_ports=(SERVER_TCP, SERVER_UDP),
                  most_flows=options.max_flows, reorder_window=options.reorder_window, interim=options.conn_interim,
                  **of_worker(options))


def change(worker: Worker, options: Options, tenants: Tenants) -> None:
    """Lets a worker go on under other options, as far as it can: ports, bounds and seed stay.  Its records are
    drained.  Raises UsageError for what makes no sense, and then nothing has changed."""
    check(options)
    of_the_worker = of_worker(options)
    worker.change_tenants(tenants)
    worker.writer.change(**of_writer(options, tenants))
    worker.change(**of_the_worker)


def of_writer(options: Options, tenants: Tenants) -> dict[str, Any]:
    """What the writer is told, at the beginning and when it changes."""
    return {"format": options.format, "secrets": options.secrets, "by_kind": options.by_kind, "only": options.only,
            "tenant_names": tenants.names, "sql_shapes": options.sql == "fingerprint",
            "http_headers": options.http_headers, "http_sha256": options.http_sha256}


def of_worker(options: Options) -> dict[str, Any]:
    return {"filter": filter_of(options), "omit_twins": options.twins == "omit"}


def filter_of(options: Options) -> Filter | None:
    if not options.filter:
        return None
    from sensor.pcap_filter import compile_filter  # looks for libpcap, which few need
    return compile_filter(options.filter)


class Totals(NamedTuple):
    """What a run has counted."""

    counters: dict[str, int]
    records: dict[str, int]        # by kind
    weirds: dict[str, int]         # by name


class Replay:
    """One run over some captures.  Iterating gives encoded records; afterwards the counters tell what happened."""

    def __init__(self, names: list[str], options: Options) -> None:
        self.names, self.options, self.refused = names, options, 0
        self.on_progress: Callable[[str, int], None] = lambda name, offset: None
        self.stopped = False
        self.worker = build(options)
        self.writer = self.worker.writer

    def refuse(self, why: str) -> None:
        """A file that cannot be used; the others go on."""
        self.refused += 1
        captures.LOG.error("%s", why)

    def stop(self) -> None:
        """Reads no more; what is known of open flows is still written."""
        self.stopped = True

    def __iter__(self) -> Iterator[Chunk]:
        yield from self.flows()
        self.worker.log_stats()
        yield from self.writer.drain()

    def flows(self) -> Iterator[Chunk]:
        """All records but the last, of stats."""
        yield from self.sources()
        while self.worker.finish_flows():
            yield from self.drain()
        yield from self.drain()

    def drain(self) -> Iterable[Chunk]:
        """Records that are ready."""
        return self.writer.drain()

    def sources(self) -> Iterator[Chunk]:
        """Reads all captures."""
        for source, limit in captures.in_order(self.names, self.refuse):
            yield from self.read(source, limit)
            if self.stopped:
                break

    def totals(self) -> Totals:
        return Totals(self.worker.counters(), *self.writer.counters())

    def read(self, source: captures.Source, limit: int) -> Iterator[Chunk]:
        """All frames of one source up to a time."""
        while not self.stopped:
            more = self.worker.run(source.capture, limit)
            self.on_progress(source.name, source.capture.offset)
            yield from self.drain()
            if more:
                continue
            if source.capture.status != "hungry":
                break
            source.refill()
        if trouble := source.trouble():
            captures.LOG.warning("%s", trouble)


def check(options: Options) -> None:
    """Raises UsageError for names that are not known and ports that there are not."""
    check_kinds(set(options.only or ()))
    for ports in (options.vxlan_ports, options.geneve_ports):
        if len(ports) > MOST_PORTS or not all(0 < port < 65536 for port in ports):
            raise UsageError(f"at most {MOST_PORTS} ports from 1 to 65535 for one kind of tunnel")


def replay(*paths: str, only: Iterable[str] | None = None, tenant: str = "vni", filter: str | None = None,
           begin: float | None = None, end: float | None = None, secrets: bool = False,
           seed: int = 0) -> Iterator[dict[str, Any]]:
    """The records of captures, as dicts, in the order in which they are finished.

    >>> for record in sensor.replay("x.pcap", only={"http"}):
    ...     print(record["host"], record["uri"])

    ``paths`` are files, directories or globs; ``only`` names kinds of records; ``tenant`` is ``vni``, ``none`` or
    ``map:FILE``; ``filter`` is a libpcap expression for the inner packets; ``begin`` and ``end`` are seconds since
    1970.
    Keys are the field names of ``cloudmri schema``; unset fields are absent.  Raises CaptureError for the first file
    that is no capture, after the records of the others; UsageError for arguments that make no sense.
    """
    options = Options(only=None if only is None else frozenset(only), format="msgpack", tenant=tenant, filter=filter,
                      begin=nanoseconds(begin), end=nanoseconds(end), secrets=secrets, seed=seed)
    run = Replay(captures.find([str(path) for path in paths]), options)
    for _, data in run:
        unpacker = msgpack.Unpacker()
        unpacker.feed(data)
        yield from unpacker
    if run.refused:
        raise CaptureError(f"{run.refused} of {len(run.names)} files could not be read; the log says which")


def nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000) * 1000
