from collections.abc import Collection

from cext.decap import Decap
from cext.filter import Filter
from cext.pcap import Capture
from cext.writer import Writer

COUNTERS: tuple[tuple[str, str], ...]

class Worker:
    decap: Decap
    writer: Writer
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
    ) -> None: ...
    def run(self, capture: Capture, limit: int = ...) -> bool: ...
    def finish_all(self) -> None: ...
    def log_stats(self) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def memory(self) -> dict[str, int]: ...
    @property
    def times(self) -> tuple[int, int] | None: ...
