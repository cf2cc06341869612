"""What the supervisor tells a worker: a JSON text on its standard input, and descriptors that it inherits."""
import msgspec

from sensor.engine import Options


class RingJob(msgspec.Struct, frozen=True, tag="ring"):
    """Read the ring of an AF_PACKET socket."""

    fd: int
    block_size: int
    block_count: int
    link: int


class SocketJob(msgspec.Struct, frozen=True, tag="sockets"):
    """Receive from UDP sockets: descriptor, port, and what the kernel had dropped when the socket was opened."""

    sockets: tuple[tuple[int, int, int], ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker has to know."""

    number: int
    options: Options
    source: RingJob | SocketJob
    ledger: int                    # descriptor of the memory that its counters are in
    told: int                      # descriptor of the memory of what any worker has told
    lock: int                      # descriptor of a file whose lock is that of the outputs
    output: str                    # "-", or a directory
    block_ms: int
    stats_seconds: float
    grace_seconds: float           # how long the last records may take
    log_level: str


OUTPUT_CLOSED = 141                # exit code: who read the records has gone; as shells say of SIGPIPE
