"""The interface that is captured from: there, not yet there, gone, or back under the same name.

A socket that is in a fan-out group cannot be bound again, and a new one takes a right that is gone by then.  So spare
sockets are opened at the start: one set each time that the interface comes anew.  One that goes down and up again, or
is renamed, keeps its sockets.
"""
import logging
import socket
from collections.abc import Callable

from sensor.errors import LiveError
from sensor.live import rings
from sensor.live.job import RingJob

LOG = logging.getLogger("cloudmri.live")
SPARES = 16                        # times that an interface may come anew


class Interface:
    def __init__(self, name: str, workers: int, ring_bytes: int, set_up: Callable[[list[socket.socket]], None]) -> None:
        """``set_up`` makes rings of sockets.  Raises LiveError where no raw socket can be had."""
        self.name, self.ring_bytes, self.set_up = name, ring_bytes, set_up
        rings.refuse_too_much(workers * rings.bytes_of(ring_bytes))
        self.spares = [rings.raw_sockets(workers) for _ in range(SPARES)]
        self.index = 0             # of the interface that the rings are bound to; 0: of none
        self.missed = ""           # what was said last of why there is none

    def spare_sockets(self) -> list[socket.socket]:
        return [one for spare in self.spares for one in spare]

    def is_new(self) -> bool:
        """True when it is there, and not the one that the rings are bound to."""
        try:
            found = socket.if_nametoindex(self.name)
        except OSError:
            self.miss()
            return False
        return found != self.index

    def miss(self) -> None:
        """It is not there by its name: renamed, gone, or not yet there."""
        try:
            if self.index and socket.if_indextoname(self.index):
                return
        except OSError:
            self.say("has gone; waiting for it to come back")
            return
        try:
            rings.link_of(self.name)
        except LiveError as error:
            self.say(f"is not there yet; waiting for it ({error})")

    def say(self, what: str) -> None:
        if what != self.missed:
            LOG.warning("interface %s %s", self.name, what)
        self.missed = what

    def open(self) -> list[tuple[RingJob, socket.socket]]:
        """Rings on the interface as it is now, one for each worker.  Raises LiveError."""
        if not self.spares:
            raise LiveError(f"interface {self.name} has come anew {SPARES} times; start again")
        link = rings.link_of(self.name)
        index = socket.if_nametoindex(self.name)
        opened = self.spares.pop()
        self.set_up(opened)
        self.index, self.missed = index, ""
        blocks, size = rings.blocks_of(self.ring_bytes)
        job = RingJob(size, blocks, link)
        return [(job, ring) for ring in opened]
