"""Where encoded records go."""
import os
from pathlib import Path
from typing import BinaryIO, Protocol

from sensor.errors import SensorError

SUFFIX = {"json": "log", "msgpack": "msgpack"}


class Sink(Protocol):
    """Takes what the writer has encoded."""

    by_kind: bool

    def write(self, kind: str | None, data: bytes) -> None: ...

    def close(self) -> None: ...


class StreamSink:
    """All kinds into one stream, such as standard output."""

    by_kind = False

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def write(self, kind: str | None, data: bytes) -> None:
        self.stream.write(data)
        self.stream.flush()

    def close(self) -> None:
        self.stream.flush()


class DirectorySink:
    """One file a kind, with Zeek's names: conn.log, http.log and so on.  Files of the same name are replaced."""

    by_kind = True

    def __init__(self, folder: Path, format: str) -> None:
        self.folder, self.suffix = folder, SUFFIX[format]
        self.files: dict[str, BinaryIO] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SensorError(f"cannot write to {folder}: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise SensorError(f"cannot write to {folder}: no permission; choose another with --output")

    def write(self, kind: str | None, data: bytes) -> None:
        assert kind is not None
        try:
            if kind not in self.files:
                self.files[kind] = (self.folder / f"{kind}.{self.suffix}").open("wb", buffering=0)
            self.files[kind].write(data)
        except OSError as error:
            raise SensorError(f"cannot write {kind}.{self.suffix} in {self.folder}: {error.strerror}") from None

    def close(self) -> None:
        for file in self.files.values():
            file.close()
