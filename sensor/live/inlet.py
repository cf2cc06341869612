"""What a worker reads from: a ring or sockets that the supervisor opened, behind one face."""
import socket
from typing import Protocol

from cext.receiver import Receiver
from cext.ring import Ring
from cext.source import FrameSource
from sensor.live import bpf
from sensor.live.job import Job, RingJob, SocketJob
from sensor.live.sockets import close_inflow


class Inlet(Protocol):
    @property
    def source(self) -> FrameSource: ...

    def account(self) -> None:
        """Fetches the kernel's counters."""

    def close(self) -> None:
        """Lets no packet in any more; those that are in can be read."""


def open_inlet(job: Job) -> Inlet:
    if isinstance(job.source, RingJob):
        return RingInlet(job.source, job.sockets[0], job.ledger.opened)
    return SocketInlet(job.source, job.sockets, job.ledger.opened)


class RingInlet:
    def __init__(self, job: RingJob, ring: socket.socket, done: int) -> None:
        self.ring = ring
        self.source = Ring(ring.fileno(), block_size=job.block_size, block_count=job.block_count, link=job.link,
                           done=done)

    def account(self) -> None:
        self.source.account()

    def close(self) -> None:
        bpf.attach(self.ring, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)


class SocketInlet:
    def __init__(self, job: SocketJob, sockets: list[socket.socket], done: int) -> None:
        self.sockets = sockets
        self.source = Receiver([(one.fileno(), port, dropped)
                                for one, (port, dropped) in zip(sockets, job.sockets, strict=True)], done=done)

    def account(self) -> None:
        self.source.account()

    def close(self) -> None:
        for one in self.sockets:
            close_inflow(one)
