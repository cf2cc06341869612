from collections.abc import Sequence

from cext.source import FrameSource

class Receiver(FrameSource):
    def __init__(self, sockets: Sequence[tuple[int, int, int]], *, done: int = 0) -> None: ...
    def account(self) -> None: ...
