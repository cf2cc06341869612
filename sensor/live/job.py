"""What a worker has to know.  It is a fork of the supervisor, so descriptors and objects are simply there."""
import socket

import msgspec

from cext.ledger import Ledger
from cext.worker import Worker
from sensor.engine import Format
from sensor.live.orders import Orders
from sensor.turns import Turns


class RingJob(msgspec.Struct, frozen=True):
    """Read the ring of an AF_PACKET socket."""

    block_size: int
    block_count: int
    link: int


class SocketJob(msgspec.Struct, frozen=True):
    """Receive from UDP sockets: the port of each, and what the kernel had dropped when it was opened."""

    sockets: tuple[tuple[int, int], ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker has to know."""

    number: int
    worker: Worker                 # that has done nothing yet
    source: RingJob | SocketJob
    sockets: list[socket.socket]   # the ring's, or the sockets
    ledger: Ledger
    turns: Turns                   # of those who write to the output
    output: str                    # "-", or a directory
    format: Format
    block_ms: int
    stats_seconds: float
    grace_seconds: float           # how long the last records may take
    orders: Orders                 # what is to be done from a SIGHUP on


KNOWN_TROUBLE = 3                  # exit code of a worker that said what is wrong: another would fare no better
OUTPUT_CLOSED = 141                # … whose reader has gone; as shells say of SIGPIPE
