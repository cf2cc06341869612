"""Content codings of HTTP, taken off by the libraries that browsers and servers use (RFC 9110, 8.4.1; 7932; 8878).

Only what is looked at comes here.  Memory is bounded: every decoder gives its bytes in pieces.
"""
import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli
import zstandard

PIECE = 1 << 16                    # bytes that a decoder gives at a time
SLICE = 64                         # bytes that zstd gets at a time: it has no bound, but 4 bytes give 128 KiB at most
WINDOW = 1 << 23                   # of zstd; what RFC 8878, 3.1.1.1.2, asks a decoder to bear
MOST = 1 << 28                     # bytes of a body that are hashed
LARGE = 1 << 20                    # bytes from which on a body may not be packed more than …
MOST_PACKED = 500                  # … so many to one: text packs 10 to 1, a bomb 1,000 and more
GZIP_BITS = 16 + zlib.MAX_WBITS
TOO_EARLY = "a body that ends too early"


def most_unpacked(packed: int) -> int:
    """Bytes that ``packed`` bytes of a body may unpack to if it is to be hashed."""
    return min(MOST, max(LARGE, MOST_PACKED * packed))


class Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` unpacks to.  Raises what the library raises on other bytes."""

    def end(self) -> Iterator[bytes]:
        """What was held back.  Raises ValueError where the coding has not come to its end."""


class Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def end(self) -> Iterator[bytes]:
        return iter(())


class Gzip:
    """Several members are one body (RFC 1952, 2.2); behind what has no members nothing may come."""

    def __init__(self, bits: int = GZIP_BITS) -> None:
        self.bits, self.unpacker = bits, zlib.decompressobj(bits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self.unpacker.eof:
                if self.bits != GZIP_BITS:
                    raise ValueError("bytes behind the end")
                self.unpacker = zlib.decompressobj(self.bits)
            yield self.unpacker.decompress(data, PIECE)
            data = self.unpacker.unconsumed_tail or self.unpacker.unused_data

    def end(self) -> Iterator[bytes]:
        if not self.unpacker.eof:      # raw deflate shows its end only when it is asked for more than there is
            yield self.unpacker.decompress(b"", PIECE)
        if not self.unpacker.eof:
            raise ValueError(TOO_EARLY)


class Deflate:
    """zlib's format as the standard has it, or raw as some servers send it (8.4.1.2); two bytes tell which."""

    def __init__(self) -> None:
        self.head, self.inside = b"", Gzip()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if len(self.head) < 2:
            self.head = data = self.head + data
            if len(data) < 2:
                return
            zlib_head = data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
            self.inside = Gzip(zlib.MAX_WBITS if zlib_head else -zlib.MAX_WBITS)
            self.head = data[:2]
        yield from self.inside.feed(data)

    def end(self) -> Iterator[bytes]:
        return self.inside.end()


class Brotli:
    """Trick "window to measure": the decoder fills its window before it stops, and 27 bytes can ask for 16 MiB.  So
    bytes are held until what they may unpack to fills the window; if they end before, they get a window of that size.
    """

    def __init__(self) -> None:
        self.held, self.holds, self.unpacker = b"", True, brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self.holds and data:
            self.held = data = self.held + data
            self.holds = most_unpacked(len(data)) < 1 << brotli_window(data)
            if self.holds:
                return
            self.held = b""
        yield from brotli_pieces(self.unpacker, data)

    def end(self) -> Iterator[bytes]:
        if self.held:
            yield from brotli_pieces(self.unpacker, narrowed(self.held, most_unpacked(len(self.held))))
        if not self.unpacker.is_finished():
            raise ValueError(TOO_EARLY)


def brotli_pieces(unpacker: brotli.Decompressor, data: bytes) -> Iterator[bytes]:
    """What the decoder gives for ``data``; it may say that it has room for more while it is in the midst of a copy."""
    piece = unpacker.process(data, output_buffer_limit=PIECE)
    while piece:
        yield piece
        piece = b"" if unpacker.is_finished() else unpacker.process(b"", output_buffer_limit=PIECE)


def brotli_window(data: bytes) -> int:
    """Bits of the window's size, told by four bits from 18 on (RFC 7932, 9.1); those below are all taken as 17."""
    return 17 + (data[0] >> 1 & 7) if data[0] & 1 else 17


def narrowed(data: bytes, most: int) -> bytes:
    """The same stream with a window that has room for ``most`` bytes.  So many unpack as before: a distance reaches
    back to what was unpacked, or beyond it to the dictionary, whatever the window (RFC 7932, 4 and 8)."""
    bits = max(18, (most + 16).bit_length())
    if brotli_window(data) <= bits:
        return data
    return bytes([data[0] & 0xF0 | (bits - 17) << 1 | 1]) + data[1:]


class Zstd:
    """Several frames are one body (RFC 8878, 3.1)."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.unpacker = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), SLICE):
            rest = data[at:at + SLICE]
            while rest:
                if self.unpacker.eof:
                    self.begin()
                yield self.unpacker.decompress(rest)
                rest = self.unpacker.unused_data if self.unpacker.eof else b""

    def end(self) -> Iterator[bytes]:
        if not self.unpacker.eof:
            raise ValueError(TOO_EARLY)
        return iter(())


DECODERS: dict[str, Callable[[], Decoder]] = {
    "": Plain,
    "gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstd,
}


# bytes that each holds at most; of br the largest window (RFC 7932, 9.1) and tables
COSTS = {"": 0, "gzip": 48 << 10, "deflate": 48 << 10, "br": 17 << 20, "zstd": WINDOW + (1 << 20)}
BUDGET = 128 << 20


def first_bytes(coding: str, data: bytes, n: int) -> bytes:
    """The first ``n`` bytes, or less, that ``data`` unpacks to; none of a coding that is not known."""
    plain = b""
    if coding not in DECODERS or not data:
        return plain
    pieces = (brotli_pieces(brotli.Decompressor(), narrowed(data, n)) if coding == "br"
              else DECODERS[coding]().feed(data))
    for piece in pieces:
        plain += piece[:n]
        if len(plain) >= n:
            break
    return plain[:n]


class Hash:
    """SHA-256 of a body as its reader gets it, without its coding.

    What the decoders of all bodies may hold is bounded: ``ValueError`` for one too many.
    """

    held = 0                       # bytes, of all that are open

    def __init__(self, coding: str) -> None:
        self.cost = 0
        if Hash.held + COSTS[coding] > BUDGET:
            raise ValueError("too many packed bodies at a time")
        self.decoder, self.digest, self.packed, self.size = DECODERS[coding](), hashlib.sha256(), 0, 0
        self.cost = COSTS[coding]
        Hash.held += self.cost

    def __del__(self) -> None:
        Hash.held -= self.cost

    def feed(self, data: bytes) -> None:
        """Raises what the library raises on bytes that are not of the coding; ValueError for a body too large, or
        packed too well."""
        self.packed += len(data)
        self.add(self.decoder.feed(data))

    def add(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self.digest.update(piece)
            self.size += len(piece)
            if self.size > most_unpacked(self.packed):
                raise ValueError("a body too large to hash")

    def finish(self) -> str:
        """Raises as ``feed`` does, and ValueError where the coding has not come to its end."""
        self.add(self.decoder.end())
        return self.digest.hexdigest()
