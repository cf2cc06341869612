"""From a worker to its sink: a bounded backlog and a thread that writes it, so that a slow reader stops no capture."""
import threading
from collections import deque
from collections.abc import Sequence

import msgpack

from sensor.sinks import Encoded, Sink
from sensor.turns import Turns

MOST_BACKLOG = 64 << 20            # bytes


class Outlet:
    """``put`` never waits.  What does not fit is given up, whole chunks of records, and counted."""

    def __init__(self, sink: Sink, turns: Turns, *, most: int = MOST_BACKLOG) -> None:
        """``turns``: held for each write, so that records of several workers do not mix."""
        self.sink, self.turns, self.most = sink, turns, most
        self.chunks: deque[tuple[str | None, Encoded] | Sink] = deque()
        self.backlog = self.given_up = 0
        self.changed = threading.Condition()
        self.trouble: Exception | None = None
        self.closing = self.reopening = False
        self.thread = threading.Thread(target=self.work, name="outlet", daemon=True)
        self.thread.start()

    def put(self, chunks: Sequence[tuple[str | None, Encoded]], *, always: bool = False) -> None:
        if not chunks:
            return
        with self.changed:
            for kind, data in chunks:
                if self.backlog and self.backlog + len(data) > self.most and not always:
                    self.given_up += count_records(bytes(data))
                    continue
                self.chunks.append((kind, data))
                self.backlog += len(data)
            self.changed.notify()

    def reopen(self) -> None:
        """Files are opened anew before the next write: they were moved away."""
        with self.changed:
            self.reopening = True
            self.changed.notify()

    def turn_to(self, sink: Sink) -> None:
        """What is put from now on goes there."""
        with self.changed:
            self.chunks.append(sink)
            self.changed.notify()

    def close(self, seconds: float) -> bool:
        """Writes what is left.  False when that took too long."""
        with self.changed:
            self.closing = True
            self.changed.notify()
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def work(self) -> None:
        """The thread."""
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.chunks or self.closing or self.reopening)
                    chunks, self.chunks = self.chunks, deque()
                    reopening, self.reopening = self.reopening, False
                if reopening:
                    self.sink.close()
                if not chunks and self.closing:
                    self.sink.close()
                    return
                self.write(chunks)
        except Exception as error:     # whatever it is: no record can be written any more
            self.trouble = error

    def write(self, chunks: deque[tuple[str | None, Encoded] | Sink]) -> None:
        for chunk in chunks:
            if not isinstance(chunk, tuple):
                self.sink.close()
                self.sink = chunk
                continue
            kind, data = chunk
            with self.turns:
                self.sink.write(kind, data)
            with self.changed:
                self.backlog -= len(data)


def count_records(data: bytes) -> int:
    """Records in a chunk: JSON lines, or msgpack maps."""
    if data.startswith(b"{"):
        return data.count(b"\n")
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return sum(1 for _ in unpacker)
