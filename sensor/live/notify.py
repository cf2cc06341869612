"""What systemd is told: that the sensor is ready, that it stops, and, as long as all workers move, that it lives.

The protocol of sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names.  Without one nobody is told.
"""
import contextlib
import os
import socket
import time
from collections.abc import Sequence

from cext.ledger import Ledger
from sensor.live.health import STALLED


class Notify:
    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        self.ledgers, self.ready = ledgers, False
        self.address = os.environ.get("NOTIFY_SOCKET", "")
        self.watched = float(os.environ.get("WATCHDOG_USEC", "0")) > 0

    def look(self, *, waiting: bool) -> None:
        """Called about once a second; ``waiting``: there are no workers, for there is no interface yet."""
        if not self.address:
            return
        now = time.monotonic()
        if not waiting and not all(now - ledger.beaten / 1e9 < STALLED for ledger in self.ledgers):
            return
        if not self.ready:
            self.ready = True
            self.tell("READY=1")
        if self.watched:
            self.tell("WATCHDOG=1")

    def tell(self, what: str) -> None:
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(what.encode(), address)
