"""What a worker reads from: a ring or sockets that the supervisor opened, behind one face."""
import socket
from typing import Protocol

from cext.receiver import Receiver
from cext.ring import Ring
from cext.source import FrameSource
from sensor.live.job import Job, RingJob, SocketJob


class Inlet(Protocol):
    @property
    def source(self) -> FrameSource: ...

    def account(self) -> None:
        """Fetches the kernel's counters."""


def open_inlet(job: Job) -> Inlet:
    if isinstance(job.source, RingJob):
        return RingInlet(job.source, job.sockets[0], job.ledger.opened)
    return SocketInlet(job.source, job.sockets, job.ledger.opened)


class RingInlet:
    def __init__(self, job: RingJob, ring: socket.socket, done: int) -> None:
        self.source = Ring(ring.fileno(), block_size=job.block_size, block_count=job.block_count, link=job.link,
                           done=done)

    def account(self) -> None:
        self.source.account()


class SocketInlet:
    def __init__(self, job: SocketJob, sockets: list[socket.socket], done: int) -> None:
        self.source = Receiver([(one.fileno(), port, dropped)
                                for one, (port, dropped) in zip(sockets, job.sockets, strict=True)], done=done)

    def account(self) -> None:
        self.source.account()
