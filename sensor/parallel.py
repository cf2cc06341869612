"""A replay by several processes: each reads all captures and takes the flows of its share.

The records are those of one process: a flow is whole in one share, and every share sees all frames, so its clock is the
same.  What is told once of all flows, certificates, is kept apart and told at the end.

    captures ─┬→ share 0, this process ─┬→ output, in turns
              └→ share 1, another one  ─┘
                 … at the end its certificates and counters → this process
"""
import contextlib
import json
import logging
import mmap
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import msgpack

from sensor.engine import Chunk, Format, Options, Replay, Totals
from sensor.errors import SensorError
from sensor.live.processes import FAILED, spawn
from sensor.protocols import schemas
from sensor.sinks import DirectorySink, Encoded, Sink, StreamSink
from sensor.turns import Turns

LOG = logging.getLogger("cloudmri.engine")
DAY = 86400.0
SEEN_BY_ALL = ("packets", "bytes", "envelopes", "cut_copies", "datagrams_", "drop_")    # counters of the way in …
OF_SHARES = ("drop_filtered", "drop_flows_full")                                       # … but these


class Helper:
    """A process for another share."""

    def __init__(self, pid: int, answer: int) -> None:
        self.pid, self.answer = pid, answer
        self.status: int | None = None

    def has_failed(self) -> bool:
        """True when it has ended by a signal or an error; does not wait."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return bool(self.status)

    def said(self) -> dict[str, Any] | None:
        """Waits for its end: certificates and counters; None when nobody reads its output any more."""
        with open(self.answer, "rb") as file:
            data = file.read()
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        return msgpack.unpackb(data) if data else None


class ParallelReplay(Replay):
    """A replay by several processes, which begin at once, of captures that each can open.  They write to the output
    themselves, in turns; what is left to its iteration are certificates and the stats record."""

    def __init__(self, names: list[str], options: Options, shares: int, output: str) -> None:
        # the records of each process come apart by kind, for those of certificates are looked at
        super().__init__(names, options._replace(by_kind=True))
        self.asked_by_kind = options.by_kind
        self.output = SharedOutput(output, options.format)
        self.certificates: list[Encoded] = []
        self.told = 0
        self.others: list[Totals] = []
        self.worker.intake.shares = shares
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])      # until a child knows what it means
        self.helpers = [self.start(share) for share in range(1, shares)]     # now: a fork must have one thread
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])

    def start(self, share: int) -> Helper:
        reads, writes = os.pipe()
        pid = spawn(f"share-{share}", lambda: self.help(share, writes))
        os.close(writes)
        return Helper(pid, reads)

    # ---- this process ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Chunk]:
        for kind, data in super().__iter__():
            yield kind if self.asked_by_kind else None, data

    def flows(self) -> Iterator[Chunk]:
        """Writes the records of all flows; what comes out here are certificates."""
        yield from super().flows()
        for helper in self.helpers:
            said = helper.said()
            self.check(helper)
            if said is not None:
                self.certificates += [said.pop("certificates")]
                self.others.append(Totals(**said))
        for other in self.others:
            self.worker.add({name: n for name, n in other.counters.items() if not is_seen_by_all(name)})
        if certificates := self.once(b"".join(self.certificates)):
            yield "x509", certificates

    def stop(self) -> None:
        """All read no more, each where it is."""
        super().stop()
        for helper in self.helpers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(helper.pid, signal.SIGINT)

    def drain(self) -> Iterable[Chunk]:
        """Writes what is ready; raises SensorError when another process has failed."""
        for kind, data in self.writer.drain():
            if kind == "x509":
                self.certificates.append(bytes(data))
            elif kind is not None:
                self.output.write(kind, data)
        for helper in self.helpers:
            if helper.has_failed():
                self.check(helper)
        return ()

    def check(self, helper: Helper) -> None:
        status = helper.status or 0
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPIPE:
            signal.raise_signal(signal.SIGPIPE)        # nobody reads the output any more
        if status:
            raise SensorError("a process of the replay has failed; not all records were written")

    def totals(self) -> Totals:
        """Those of all processes."""
        own = super().totals()
        records = added([own.records, *(other.records for other in self.others)])
        if self.told:
            records["x509"] = self.told
        return Totals(own.counters, records, added([own.weirds, *(other.weirds for other in self.others)]))

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

    # ---- another process -------------------------------------------------------------------------------------------

    def help(self, share: int, answer: int) -> NoReturn:
        """Its whole life: the records of its flows to the output, at the end what is left to its parent to say."""
        code = FAILED
        try:
            signal.signal(signal.SIGINT, lambda *_: super(ParallelReplay, self).stop())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            logging.getLogger("cloudmri.captures").disabled = True     # what is wrong with a capture is said once
            self.helpers = []
            self.worker.intake.share = share
            self.output.join()
            for _ in super().flows():
                pass
            totals = super().totals()._asdict() | {"certificates": b"".join(self.certificates)}
            with open(answer, "wb") as file:
                file.write(msgpack.packb(totals))
            code = 0
        except BrokenPipeError:
            code = 0                   # nobody reads any more
        except SensorError as error:
            LOG.error("%s", error)
            code = error.exit_code
        except BaseException:
            LOG.exception("a process of the replay failed")
        os._exit(code)


def is_seen_by_all(counter: str) -> bool:
    """True when each process counts the same there, for it is of the way to the flows."""
    return counter.startswith(SEEN_BY_ALL) and counter not in OF_SHARES


def added(counts: list[dict[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter()))


class SharedOutput:
    """Where all processes write; a file of a directory is begun by the first that has something for it."""

    def __init__(self, output: str, form: Format) -> None:
        self.turns, self.kinds = Turns(), sorted(schemas())
        self.begun = mmap.mmap(-1, mmap.PAGESIZE)      # a byte for each kind
        self.files = None if output == "-" else DirectorySink(output, form, append=True)
        self.sink: Sink = self.files or StreamSink(sys.stdout.buffer)

    def join(self) -> None:
        """In each process but the first."""
        self.turns = self.turns.another()

    def write(self, kind: str, data: Encoded) -> None:
        number = self.kinds.index(kind)
        with self.turns:
            if self.files and not self.begun[number]:
                self.files.begin(kind)
                self.begun[number] = 1
            self.sink.write(kind, data)
