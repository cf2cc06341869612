"""Files, directories, globs and standard input → captures in the order of time.

Plain files are mapped.  All else is read in chunks that fit a near cache, right to where frames are taken from; gzip,
zstd and xz are unpacked.  The content tells which is which, never the name.
"""
import glob
import io
import logging
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from cext.pcap import Capture
from sensor.errors import CaptureError

LOG = logging.getLogger("cloudmri.captures")
CHUNK, STRETCH = 1 << 20, 8 << 20  # bytes that are read at a time, and of a mapped file
LONGEST_MAGIC = 6
CAPTURE_MAGICS = (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1",
                  b"\x0a\x0d\x0d\x0a")
FOREVER = 1 << 62
READ = "pcap and pcapng are read, plain, gzip, zstd or xz"


def open_gzip(file: BinaryIO) -> BinaryIO:
    import gzip
    return cast(BinaryIO, gzip.GzipFile(fileobj=file))


def open_xz(file: BinaryIO) -> BinaryIO:
    import lzma
    return cast(BinaryIO, lzma.LZMAFile(file))


def open_zstd(file: BinaryIO) -> BinaryIO:
    import zstandard
    return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))


DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": open_gzip,
    b"\x28\xb5\x2f\xfd": open_zstd,
    b"\xfd7zXZ\x00": open_xz,
}


def broken() -> tuple[type[Exception], ...]:
    """What a file that breaks off, or is damaged, raises; for an ``except``, which asks only when something was."""
    import lzma
    import zlib

    import zstandard
    return (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def is_read_once(name: str) -> bool:
    """Standard input, or a pipe with a name: whoever reads has taken it from all others."""
    return name == "-" or (os.path.exists(name) and not os.path.isfile(name))


def find(patterns: list[str]) -> list[str]:
    """The files that paths, directories and globs mean, each once.  ``-`` is standard input.

    Of a directory (with those below it) the captures are taken; other files are passed over.
    Raises CaptureError for a path that means nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        if pattern == "-" or (os.path.exists(pattern) and not os.path.isdir(pattern)):
            found[pattern] = None
            continue
        folders = [pattern] if os.path.isdir(pattern) else sorted(glob.glob(pattern, recursive=True))
        if not folders:
            raise CaptureError(f"{pattern}: there is no such file")
        files = [file for folder in folders for file in files_below(folder)]
        if not files:
            raise CaptureError(f"{pattern}: there is no capture in it; {READ}")
        found.update(dict.fromkeys(files))
    return list(found)


def files_below(path: str) -> list[str]:
    """The file itself, or the captures below a directory."""
    if not os.path.isdir(path):
        return [path]
    from pathlib import Path  # knows of URLs, which takes a 20th of a start to import

    return [str(file) for file in sorted(Path(path).rglob("*")) if file.is_file() and looks_like_capture(str(file))]


def looks_like_capture(path: str) -> bool:
    """True when the first bytes, unpacked, are those of a capture."""
    try:
        with open(path, "rb", buffering=0) as file:
            return unpacked(cast(BinaryIO, file)).read(4) in CAPTURE_MAGICS
    except broken():
        return False


def unpacked(file: BinaryIO) -> BinaryIO:
    """A file object that gives the plain bytes of an unbuffered one."""
    magic = b""
    while len(magic) < LONGEST_MAGIC and (more := file.read(LONGEST_MAGIC - len(magic))):
        magic += more              # a pipe may give one byte at a time
    whole = Rejoined(magic, file)
    for start, opener in DECOMPRESSORS.items():
        if magic.startswith(start):
            return opener(cast(BinaryIO, io.BufferedReader(whole, CHUNK)))
    return cast(BinaryIO, whole)


class Rejoined(io.RawIOBase):
    """A file as it was before ``start`` was read from it; pipes cannot seek."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self.start, self.file = start, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self.start:
            return read_into(self.file, buffer)
        data, self.start = self.start[: len(buffer)], self.start[len(buffer):]
        buffer[: len(data)] = data
        return len(data)


def read_into(file: BinaryIO, room: memoryview) -> int:
    """Reads what is there, without waiting for all that there is room for; how much, 0 at the end."""
    read: Callable[[memoryview], int] = getattr(file, "readinto1", None) or getattr(file, "readinto")  # noqa: B009
    return read(room)


class Source:
    """One capture that is being read."""

    def __init__(self, name: str) -> None:
        self.name, self.capture = name, Capture()
        try:
            file = open(0 if name == "-" else name, "rb", buffering=0, closefd=name != "-")  # noqa: SIM115
            self.file = cast(BinaryIO, file)
            self.start(self.file)
        except OSError as error:
            raise CaptureError(f"{name}: {error.strerror or error}") from None

    def start(self, file: BinaryIO) -> None:
        """A plain file is read as it is; anything else may have to be unpacked."""
        about = os.fstat(file.fileno())
        if stat.S_ISDIR(about.st_mode):
            raise CaptureError(f"{self.name}: is a directory")
        if about.st_size and self.name != "-" and stat.S_ISREG(about.st_mode):
            magic = os.pread(file.fileno(), LONGEST_MAGIC, 0)
            if not any(magic.startswith(start) for start in DECOMPRESSORS):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
                self.stream = file
                return
        self.stream = unpacked(file)

    @property
    def is_plain(self) -> bool:
        """True for a file that is read from any place, or mapped."""
        return self.stream is self.file

    def refill(self) -> None:
        """The next stretch or chunk.  A stream that breaks off gives what it had, and a warning."""
        if self.is_plain:
            new = self.capture.map(self.file.fileno(), os.fstat(self.file.fileno()).st_size, STRETCH)
            if new == 0:
                self.capture.end()
            if new >= 0:
                return
        try:
            n = self.read_chunk()
        except broken() as error:
            LOG.warning("%s: breaks off after %d bytes: %s", self.name, self.capture.offset, error)
            n = 0
        if n:
            self.capture.fed(n)
        else:
            self.capture.end()

    def read_chunk(self) -> int:
        """Reads to where frames are taken from; how much."""
        at = self.capture.next_byte
        room = self.capture.room(CHUNK)
        return os.preadv(self.file.fileno(), [room], at) if self.is_plain else read_into(self.stream, room)

    def next_time(self) -> int | None:
        """Time of the next frame in ns; None at the end."""
        while (time := self.capture.next_time()) is None and self.capture.status == "hungry":
            self.refill()
        return time

    def trouble(self) -> str | None:
        """What was wrong with the capture, once it has ended; None for nothing."""
        read = self.capture.frames_read
        if self.capture.status == "cut off":
            return f"{self.name}: ends in the middle of a packet, after {read} whole ones"
        if self.capture.status == "damaged":
            return f"{self.name}: is damaged at byte {self.capture.offset}; the {read} packets before it were read"
        return None

    @property
    def is_capture(self) -> bool:
        """False once it is known that the file is of no format that is read."""
        return self.capture.status != "no capture"

    def close(self) -> None:
        self.file.close()


def not_a_capture(name: str) -> str:
    return f"{name}: is no capture; {READ}"


def in_order(names: list[str], refuse: Callable[[str], None]) -> Iterator[tuple[Source, int]]:
    """Pairs of (source, time): read the source up to that time, then ask for the next pair.

    Files are merged by the time of their packets.  A file is open only while its packets are due, so thousands of
    rotated files cost two at a time.  ``refuse`` is told of files that cannot be read; the others go on.
    """
    waiting = sorted(first_times(names, refuse), reverse=True)
    running: list[tuple[int, int, Source]] = []
    while waiting or running:
        soonest = min(running)[0] if running else FOREVER
        while waiting and waiting[-1][0] <= soonest:
            time, order, source = waiting.pop()
            running.append((time, order, source if isinstance(source, Source) else Source(source)))
            soonest = min(soonest, time)
        entry = min(running)
        running.remove(entry)
        others = [time for time, _, _ in running] + ([waiting[-1][0]] if waiting else [])
        source = entry[2]
        yield source, min(others, default=FOREVER)
        time_left = source.next_time()
        if time_left is None:
            source.close()
        else:
            running.append((time_left, entry[1], source))


def first_times(names: list[str], refuse: Callable[[str], None]) -> Iterator[tuple[int, int, "Source | str"]]:
    """Time of the first packet, place in the list, and the file: by name, or open where it cannot be opened twice."""
    for order, name in enumerate(names):
        try:
            source = Source(name)
        except CaptureError as error:
            refuse(str(error))
            continue
        time = source.next_time()
        if not source.is_capture:
            refuse(not_a_capture(name))
        elif time is None:
            if trouble := source.trouble():
                LOG.warning("%s", trouble)
        elif len(names) == 1 or name == "-" or not os.path.isfile(name):
            yield time, order, source
            continue
        else:
            yield time, order, name
        source.close()
