from collections.abc import Collection

from cext.decap import Decap
from cext.filter import Filter
from cext.ledger import Ledger
from cext.source import FrameSource
from cext.writer import Writer

COUNTERS: tuple[tuple[str, str], ...]
LIVE_COUNTERS: tuple[tuple[str, str], ...]
GAUGES: tuple[tuple[str, str], ...]

class Worker:
    decap: Decap
    writer: Writer
    unwritten: int
    backlog: int
    names: tuple[str, ...]
    def __init__(
        self,
        decap: Decap,
        writer: Writer,
        *,
        filter: Filter | None = None,
        begin: int | None = None,
        end: int | None = None,
        server_ports: tuple[Collection[int], Collection[int]] = ...,
        protocols: Collection[str] | None = None,
        most_flows: int = ...,
        reorder_window: float = 0.25,
        interim: float = 0,
        omit_twins: bool = False,
    ) -> None: ...
    def attach(self, source: FrameSource, ledger: Ledger) -> None: ...
    def run(self, source: FrameSource, limit: int = ...) -> bool: ...
    def take_share(self, share: int, shares: int) -> None: ...
    def settle(self) -> None: ...
    def tick(self, now: int) -> None: ...
    def take_load(self) -> tuple[int, int]: ...
    def set_clock(self, now: int) -> int: ...
    def pass_over(self, source: FrameSource) -> int: ...
    def finish_all(self) -> None: ...
    def log_stats(self, now: int = 0, worker: int | None = None) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def memory(self) -> dict[str, int]: ...
    @property
    def times(self) -> tuple[int, int] | None: ...
