"""What a worker reads from: a ring or sockets that the supervisor opened, behind one face."""
import socket
from typing import Protocol

from cext.ledger import Ledger
from cext.receiver import Receiver
from cext.ring import Ring
from cext.source import FrameSource
from sensor.live import bpf
from sensor.live.job import RingJob, SocketJob
from sensor.live.sockets import close_inflow


class Inlet(Protocol):
    sockets: list[socket.socket]   # to wait for

    @property
    def source(self) -> FrameSource: ...

    def account(self) -> None:
        """Fetches the kernel's counters."""

    def close(self) -> None:
        """Lets no packet in any more; those that are in can be read."""


class RingInlet:
    def __init__(self, job: RingJob, ledger: Ledger) -> None:
        self.sockets = [socket.socket(fileno=job.fd)]
        self.source = Ring(job.fd, block_size=job.block_size, block_count=job.block_count, link=job.link,
                           done=ledger.opened)

    def account(self) -> None:
        self.source.account()

    def close(self) -> None:
        bpf.attach(self.sockets[0], socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)


class SocketInlet:
    def __init__(self, job: SocketJob, ledger: Ledger) -> None:
        self.sockets = [socket.socket(fileno=fd) for fd, *_ in job.sockets]
        self.source = Receiver(job.sockets, done=ledger.opened)

    def account(self) -> None:
        self.source.account()

    def close(self) -> None:
        for one in self.sockets:
            close_inflow(one)
