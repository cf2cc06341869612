"""A replay by several processes: each reads all frames and takes its share of the flows.

What takes the time is flows, streams, parsers and records; opening a frame is a sixth of it, and done by each.  The
records are those of one process: a flow is whole in one share, and every share's clock is moved by all frames.  What
is told once of all flows, certificates, is told by each share and kept once.
"""
import json
import logging
import mmap
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any, NoReturn

import msgpack
import msgspec

from cext.decap import DROP_NAMES
from sensor.engine import Chunk, Format, Options, Replay, Totals
from sensor.errors import SensorError, UsageError
from sensor.live.processes import FAILED, spawn
from sensor.protocols import schemas
from sensor.sinks import DirectorySink, Sink, StreamSink
from sensor.turns import Turns

LOG = logging.getLogger("cloudmri.engine")
OF_ALL = {"packets", "bytes", "cut_copies", "datagrams_reassembled", "datagrams_evicted", "datagrams_expired",
          "envelopes", *(f"drop_{name}" for name, _ in DROP_NAMES if name != "flows_full")}   # the same in each share
READ, DAY = 1 << 20, 86400.0


class ParallelReplay:
    """The face of a Replay, and several of them behind it, which begin at once.  They write to the output themselves,
    in turns; what is left to its iteration are certificates and the stats record."""

    def __init__(self, names: list[str], options: Options, shares: int, output: str) -> None:
        if "-" in names or not all(map(os.path.isfile, names)):
            raise UsageError("several processes need files that each of them can read: leave --workers out")
        self.names, self.options, self.shares = names, options, shares
        # the records of each process come apart by kind, for those of certificates are looked at
        self.replay = Replay(names, msgspec.structs.replace(options, by_kind=True))
        self.output = SharedOutput(output, options.format)
        self.on_progress: Callable[[str, int], None] = lambda name, offset: None
        self.stopped, self.refused = False, 0
        self.children: list[int] = []
        self.said: list[dict[str, Any]] = []
        self.certificates, self.told = b"", 0
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])      # until parent and children know what it means
        self.pipes = [self.start(share) for share in range(shares)]    # now: a fork must have one thread only

    def stop(self) -> None:
        """Reads no more; what is known of open flows is still written."""
        self.stopped = True
        for child in self.children:
            os.kill(child, signal.SIGINT)

    def __iter__(self) -> Iterator[Chunk]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        self.gather(self.pipes)
        for child in self.children:
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPIPE:
                signal.raise_signal(signal.SIGPIPE)    # nobody reads the output any more
            if status and not self.stopped:
                raise SensorError("a process of the replay has failed; not all records were written")
        self.children.clear()
        self.refused = max((said["refused"] for said in self.said), default=0)
        if certificates := self.once(self.certificates):
            yield self.as_asked("x509"), certificates
        self.replay.worker.log_stats()
        if stats := self.stats():
            yield self.as_asked("stats"), stats

    def as_asked(self, kind: str) -> str | None:
        return kind if self.options.by_kind else None

    def start(self, share: int) -> int:
        """A process for one share; the end of a pipe that it writes to."""
        reads, writes = os.pipe()
        self.children.append(spawn(f"share-{share}",
                                   lambda: work(self.replay, share, self.shares, self.output, writes)))
        os.close(writes)
        return reads

    def gather(self, pipes: list[int]) -> None:
        """What all processes say, until the last has ended."""
        unpackers = {pipe: msgpack.Unpacker(max_buffer_size=0) for pipe in pipes}
        poll = select.poll()
        for pipe in pipes:
            poll.register(pipe, select.POLLIN)
        while unpackers:
            for pipe, _ in poll.poll():
                data = os.read(pipe, READ)
                if not data:
                    poll.unregister(pipe)
                    os.close(pipe)
                    del unpackers[pipe]
                    continue
                unpackers[pipe].feed(data)
                for message in unpackers[pipe]:
                    self.take(message)

    def take(self, message: Any) -> None:
        """Certificates, what a process has counted, or how far it is."""
        if isinstance(message, bytes):
            self.certificates += message
        elif isinstance(message, dict):
            self.said.append(message)
        else:
            self.on_progress(*message)

    def totals(self) -> Totals:
        """Those of all shares; of what each has counted in full, those of the first."""
        found = [Totals(said["counters"], said["records"], said["weirds"]) for said in self.said]
        counters = {name: value if name in OF_ALL else sum(one.counters[name] for one in found)
                    for name, value in found[0].counters.items()} if found else {}
        records = added([one.records for one in found])
        if not self.options.only or "stats" in self.options.only:
            records["stats"] = 1
        if self.told:
            records["x509"] = self.told
        return Totals(counters, records, added([one.weirds for one in found]))

    def once(self, data: bytes) -> bytes:
        """Certificates of all shares: of each the first that was met in a day, as one process tells it."""
        told: dict[str, float] = {}
        kept = []
        for record, raw in sorted(self.decoded(data), key=lambda pair: float(pair[0]["ts"])):
            before = told.get(record["fingerprint"])
            if before is None or record["ts"] - before >= DAY:
                told[record["fingerprint"]] = record["ts"]
                kept.append(raw)
        self.told = len(kept)
        return b"".join(kept)

    def decoded(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """Records, each with the bytes that it came as."""
        if self.options.format == "json":
            return [(json.loads(line), line) for line in data.splitlines(keepends=True)]
        unpacker, found, at = msgpack.Unpacker(max_buffer_size=0), [], 0
        unpacker.feed(data)
        for record in unpacker:
            found.append((record, data[at : unpacker.tell()]))
            at = unpacker.tell()
        return found

    def stats(self) -> bytes:
        """The one stats record, of all shares; nothing where it is not written."""
        data = b"".join(part for _, part in self.replay.writer.drain())
        if not data:
            return b""
        (record, _), = self.decoded(data)
        record |= {"ts": max((said["ts"] for said in self.said), default=record["ts"])} | self.totals().counters
        if self.options.format == "json":
            return json.dumps(record, separators=(",", ":")).encode() + b"\n"
        return bytes(msgpack.packb(record))


def added(counts: list[dict[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter()))


class SharedOutput:
    """Where all processes write; a file of a directory is begun by the first that has something for it."""

    def __init__(self, output: str, form: Format) -> None:
        self.turns, self.kinds = Turns(), sorted(schemas())
        self.begun = mmap.mmap(-1, mmap.PAGESIZE)      # a byte for each kind
        self.files = None if output == "-" else DirectorySink(Path(output), form, append=True)
        self.sink: Sink = self.files or StreamSink(sys.stdout.buffer)

    def join(self) -> None:
        """In each process."""
        self.turns = self.turns.another()

    def write(self, kind: str, data: bytes) -> None:
        number = self.kinds.index(kind)
        with self.turns:
            if self.files and not self.begun[number]:
                self.files.begin(kind)
                self.begun[number] = 1
            self.sink.write(kind, data)


def work(replay: Replay, share: int, shares: int, output: SharedOutput, pipe: int) -> NoReturn:
    """The whole life of a process: its records to the output, and at the end what it has counted into the pipe."""
    code = FAILED
    try:
        output.join()
        signal.signal(signal.SIGINT, lambda *_: replay.stop())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        if share:
            logging.getLogger("cloudmri").setLevel(logging.CRITICAL)   # each would say the same of the files
        replay.worker.take_share(share, shares)
        with os.fdopen(pipe, "wb", buffering=0) as out:
            if share == 0:
                replay.on_progress = lambda name, offset: send(out, (name, offset))
            for kind, data in replay.flows():
                if kind == "x509":
                    send(out, data)
                elif kind is not None:
                    output.write(kind, data)
            _, last = replay.worker.times or (0, 0)
            send(out, {**replay.totals()._asdict(), "refused": replay.refused, "ts": last // 1000 / 1e6})
        code = 0
    except BrokenPipeError:
        code = 0                       # nobody reads any more
    except SensorError as error:
        LOG.error("%s", error)
        code = error.exit_code
    except BaseException:
        LOG.exception("a process of the replay failed")
    os._exit(code)


def send(out: RawIOBase, message: Any) -> None:
    rest = memoryview(msgpack.packb(message))
    while rest:
        rest = rest[out.write(rest) or 0:]
