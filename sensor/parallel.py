"""A replay by several processes: this one reads and opens frames, the others take the flows, share by share.

The records are those of one process: a flow is whole in one share, and every share's clock is moved by all frames.
What is told once of all flows, certificates, is kept apart and told at the end.

    captures → Divider ─ windows in shared memory ─→ worker of share 0 ─┐
                 ▲                                 → worker of share 1 ─┴→ output, in turns
                 └─ windows done; at the end certificates and counters ─┘
"""
import contextlib
import json
import logging
import mmap
import os
import select
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any, NoReturn

import msgpack

from cext.windows import RING, Divider, Share, size
from sensor import captures
from sensor.engine import Chunk, Format, Options, Replay, Totals
from sensor.errors import SensorError
from sensor.live.processes import FAILED, spawn
from sensor.protocols import schemas
from sensor.sinks import DirectorySink, Encoded, Sink, StreamSink
from sensor.turns import Turns

LOG = logging.getLogger("cloudmri.engine")
READ, DAY = 1 << 20, 86400.0
MOST_PENDING = 1 << 19             # bytes of records that a worker keeps from one window to the next
PATIENCE = 0.02                    # seconds that it waits for the next before it writes them
WINDOW, END = b"w", b"e"           # to a worker: the next window is whole; there will be no more


class Helper:
    """A process for one share, seen from the one that reads."""

    def __init__(self, pid: int, orders: socket.socket, answers: int) -> None:
        self.pid, self.orders, self.answers = pid, orders, answers
        self.unpacker = msgpack.Unpacker(max_buffer_size=0)
        self.windows = 0               # done
        self.said: dict[str, Any] | None = None
        self.is_running = True

    def tell(self, what: bytes) -> None:
        with contextlib.suppress(ConnectionError):     # its end is seen where its answers are read
            self.orders.send(what, socket.MSG_NOSIGNAL)

    def hear(self) -> Iterator[Any]:
        """What it has said; nothing any more when it has ended."""
        data = os.read(self.answers, READ)
        if not data:
            os.close(self.answers)
            self.is_running = False
        self.unpacker.feed(data)
        yield from self.unpacker


class ParallelReplay(Replay):
    """A replay whose workers are processes, which begin at once.  They write to the output themselves, in turns; what
    is left to its iteration are certificates and the stats record."""

    def __init__(self, names: list[str], options: Options, shares: int, output: str) -> None:
        # the records of each process come apart by kind, for those of certificates are looked at
        super().__init__(names, options._replace(by_kind=True))
        self.asked_by_kind = options.by_kind
        self.output = SharedOutput(output, options.format)
        self.memory = mmap.mmap(-1, size(shares))
        self.divider = Divider(self.memory, shares, self.worker.intake)
        self.handed_out = 0
        self.certificates, self.told = b"", 0
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])      # until a child knows what it means
        self.helpers = [self.start(share, shares) for share in range(shares)]  # now: a fork must have one thread only
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        self.poll = select.poll()
        for helper in self.helpers:
            self.poll.register(helper.answers, select.POLLIN)

    def start(self, share: int, shares: int) -> Helper:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reads, writes = os.pipe()
        pid = spawn(f"share-{share}", lambda: work(self, Share(self.memory, shares, share), theirs, writes))
        theirs.close()
        os.close(writes)
        return Helper(pid, ours, reads)

    # ---- reading ---------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Chunk]:
        for kind, data in super().__iter__():
            yield kind if self.asked_by_kind else None, data

    def flows(self) -> Iterator[Chunk]:
        """Divides all frames among the workers; what comes out here are certificates."""
        yield from self.sources()
        self.hand_out()
        for helper in self.helpers:
            helper.tell(END)
        while self.running():
            self.listen()
        for helper in self.helpers:
            if helper.said is not None:
                self.worker.add({name: n for name, n in helper.said["counters"].items() if name != "envelopes"})
        if certificates := self.once(self.certificates):
            yield "x509", certificates

    def take(self, source: captures.Source, limit: int) -> bool:
        """Some frames into the window in hand, which is handed out when it is full, or the source has no more now."""
        full = self.divider.read(source.capture, limit)
        waits = source.capture.status == "hungry" and (source.is_pipe or self.divider.is_worth_it)
        if full or waits or source.capture.status not in ("reading", "hungry"):
            self.hand_out()            # what a pipe had is told before it is asked for more
        return full

    def refill(self, source: captures.Source) -> None:
        """Its next bytes, right into the window if that is empty."""
        self.divider.lend(source.capture)
        source.refill()

    def hand_out(self) -> None:
        """The window in hand to the workers, once the next is free: half of the ring, to change sides less often."""
        if self.divider.is_empty:
            return
        if self.waiting() == RING - 1:
            while self.waiting() > RING // 2:
                self.listen()
        self.divider.hand_out()
        self.handed_out += 1
        for helper in self.helpers:
            helper.tell(WINDOW)

    def waiting(self) -> int:
        """Windows that a worker is not done with."""
        return self.handed_out - min(helper.windows for helper in self.helpers)

    # ---- what the workers say --------------------------------------------------------------------------------------

    def running(self) -> list[Helper]:
        return [helper for helper in self.helpers if helper.is_running]

    def listen(self) -> None:
        """Waits for something to be said.  Raises SensorError when a worker has failed."""
        ready = {number for number, _ in self.poll.poll()}
        for helper in self.running():
            if helper.answers not in ready:
                continue
            for message in helper.hear():
                self.note(helper, message)
            if not helper.is_running:
                self.poll.unregister(helper.answers)
                self.bury(helper)

    def note(self, helper: Helper, message: Any) -> None:
        """Certificates, a window done, or what it has counted."""
        if isinstance(message, bytes):
            self.certificates += message
        elif isinstance(message, dict):
            helper.said = message
        else:
            helper.windows += 1

    def bury(self, helper: Helper) -> None:
        _, status = os.waitpid(helper.pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPIPE:
            signal.raise_signal(signal.SIGPIPE)        # nobody reads the output any more
        if status:
            raise SensorError("a process of the replay has failed; not all records were written")

    def totals(self) -> Totals:
        """Those of all processes."""
        own = super().totals()
        said = [helper.said for helper in self.helpers if helper.said is not None]
        records = added([own.records, *(one["records"] for one in said)])
        if self.told:
            records["x509"] = self.told
        return Totals(own.counters, records, added([one["weirds"] for one in said]))

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

    def write(self, kind: str, data: Encoded) -> None:
        number = self.kinds.index(kind)
        with self.turns:
            if self.files and not self.begun[number]:
                self.files.begin(kind)
                self.begun[number] = 1
            self.sink.write(kind, data)


def work(replay: ParallelReplay, share: Share, orders: socket.socket, answers: int) -> NoReturn:
    """The whole life of a worker: windows in, its records to the output, at the end what it has counted."""
    code = FAILED
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)   # Ctrl-C ends the reading, and so all
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        replay.output.join()
        with os.fdopen(answers, "wb", buffering=0) as out:
            while next_order(replay, orders, out) == WINDOW:
                replay.worker.take_window(share)
                if replay.writer.pending > MOST_PENDING:
                    emit(replay, out)
                send(out, None)
            while replay.worker.finish_flows():
                emit(replay, out)
            emit(replay, out)
            send(out, Totals(replay.worker.counters(), *replay.writer.counters())._asdict())
        code = 0
    except BrokenPipeError:
        code = 0                       # nobody reads any more
    except SensorError as error:
        LOG.error("%s", error)
        code = error.exit_code
    except BaseException:
        LOG.exception("a process of the replay failed")
    os._exit(code)


def next_order(replay: ParallelReplay, orders: socket.socket, out: RawIOBase) -> bytes:
    """Waits for it; what there is of records is not kept when that takes long, as it does behind a pipe."""
    orders.settimeout(PATIENCE)
    try:
        return orders.recv(1)
    except TimeoutError:
        emit(replay, out)
    orders.settimeout(None)
    return orders.recv(1)


def emit(replay: ParallelReplay, out: RawIOBase) -> None:
    for kind, data in replay.writer.drain():
        if kind == "x509":
            send(out, data)
        elif kind is not None:
            replay.output.write(kind, data)


def send(out: RawIOBase, message: Any) -> None:
    rest = memoryview(msgpack.packb(message))
    while rest:
        rest = rest[out.write(rest) or 0:]
