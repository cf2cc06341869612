"""From the supervisor to its workers: what is to be done from now on.

A file in memory that all have: the supervisor writes it before it sends SIGHUP.  A digest tells a worker that reads
while the next order is being written.
"""
import hashlib
import os
import time

import msgspec

from sensor.engine import Options
from sensor.live.wishes import LiveOptions
from sensor.tenant_map import TenantMap

DIGEST = 16                        # bytes
PATIENCE = 0.1                     # seconds that writing one takes at most


class Order(msgspec.Struct, frozen=True):
    live: LiveOptions
    options: Options
    tenants: TenantMap | None      # read by the supervisor, so that all have the same


class Orders:
    def __init__(self) -> None:
        self.file = os.memfd_create("cloudmri-orders")

    def give(self, order: Order) -> None:
        data = msgspec.msgpack.encode(order)
        data = hashlib.blake2b(data, digest_size=DIGEST).digest() + data
        os.pwrite(self.file, data, 0)
        os.ftruncate(self.file, len(data))

    def take(self) -> Order | None:
        """The last one; None when there was none."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = os.pread(self.file, os.fstat(self.file).st_size, 0)
            if not found:
                return None
            if hashlib.blake2b(found[DIGEST:], digest_size=DIGEST).digest() == found[:DIGEST]:
                return msgspec.msgpack.decode(found[DIGEST:], type=Order)
            time.sleep(0.001)
        return None
