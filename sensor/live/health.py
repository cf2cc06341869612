"""Is the sensor well?  All workers move, the kernel drops few packets, and the output takes the records."""
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

STALLED = 3.0                      # seconds after which a worker that did not move is not well
WINDOW = 60.0                      # seconds that drops and records are judged over
FEW = 100                          # dropped packets in the window that say nothing yet


class Booked(Protocol):
    """What is looked at of a Ledger."""

    @property
    def beaten(self) -> int: ...

    @property
    def replaced(self) -> int: ...

    def read(self, n: int) -> list[int]: ...


class Health:
    """Looks at the ledgers once a second; ``troubles`` says what is wrong now."""

    def __init__(self, ledgers: Sequence[Booked], names: Sequence[str], drop_limit: float) -> None:
        self.ledgers, self.names, self.drop_limit = ledgers, names, drop_limit
        self.samples: deque[tuple[float, dict[str, int]]] = deque()
        self.lock = threading.Lock()

    def counters(self, ledger: Booked) -> dict[str, int]:
        return dict(zip(self.names, ledger.read(len(self.names)), strict=True))

    def sample(self) -> None:
        """Remembers where all counters of all workers stand."""
        total = dict.fromkeys(self.names, 0)
        for ledger in self.ledgers:
            for name, value in self.counters(ledger).items():
                total[name] += value
        now = time.monotonic()
        with self.lock:
            self.samples.append((now, total))
            while self.samples[0][0] < now - WINDOW:
                self.samples.popleft()

    def troubles(self) -> list[str]:
        """Sentences; none when all is well."""
        now = time.monotonic()
        found = [f"worker {number} does not move" for number, ledger in enumerate(self.ledgers)
                 if now - ledger.beaten / 1e9 > STALLED]
        with self.lock:
            if len(self.samples) < 2:
                return found
            (_, first), (_, last) = self.samples[0], self.samples[-1]
        grown = {name: last[name] - first[name] for name in self.names}
        drops, packets = grown["kernel_drops"], grown["packets"] + grown["kernel_drops"]
        if drops > FEW and drops > self.drop_limit * packets:
            found.append(f"the kernel dropped {drops} of {packets} packets in the last minute")
        if grown["records_unwritten"]:
            found.append(f"the output was too slow for {grown['records_unwritten']} records of the last minute")
        return found
