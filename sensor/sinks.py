"""Where encoded records go."""
import os
from typing import BinaryIO, Protocol

from sensor.errors import SensorError

Encoded = bytes | memoryview
SUFFIX = {"json": "log", "msgpack": "msgpack"}


class Sink(Protocol):
    """Takes what the writer has encoded."""

    def write(self, kind: str | None, data: Encoded) -> None: ...

    def close(self) -> None: ...


class StreamSink:
    """All kinds into one stream, such as standard output."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def write(self, kind: str | None, data: Encoded) -> None:
        write_all(self.stream, data)
        self.stream.flush()

    def close(self) -> None:
        self.stream.flush()


class DirectorySink:
    """One file a kind, with Zeek's names: conn.log, http.log and so on.  Files of the same name are replaced, or
    appended to."""

    def __init__(self, folder: str, format: str, *, append: bool = False) -> None:
        self.folder, self.suffix, self.append = folder or os.curdir, SUFFIX[format], append
        self.files: dict[str, BinaryIO] = {}
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise SensorError(f"cannot write to {folder}: {error.strerror}") from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise SensorError(f"cannot write to {folder}: no permission; choose another with --output")

    def path(self, kind: str) -> str:
        return os.path.join(self.folder, f"{kind}.{self.suffix}")

    def begin(self, kind: str) -> None:
        """Empties a kind's file, for one that is appended to."""
        open(self.path(kind), "wb").close()

    def write(self, kind: str | None, data: Encoded) -> None:
        assert kind is not None
        try:
            if kind not in self.files:
                path = self.path(kind)
                self.files[kind] = open(path, "ab" if self.append else "wb", buffering=0)  # noqa: SIM115
            write_all(self.files[kind], data)
        except OSError as error:
            raise SensorError(f"cannot write {kind}.{self.suffix} in {self.folder}: {error.strerror}") from None

    def close(self) -> None:
        for file in self.files.values():
            file.close()
        self.files.clear()         # a later write opens them anew: that is how they are rotated


def write_all(file: BinaryIO, data: Encoded) -> None:
    """All of it, also where the system takes a part at a time, as it does of what has no buffer (PYTHONUNBUFFERED)."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest):]
