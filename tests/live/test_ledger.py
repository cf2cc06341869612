"""The book that outlives a worker."""

import pytest

from cext.decap import Decap
from cext.ledger import SIZE, Ledger
from cext.pcap import Capture
from cext.worker import Worker
from cext.writer import Writer
from sensor.tenants import Tenants
from tests.builders import connection, pcap


def worker() -> Worker:
    decap = Decap(Tenants())
    return Worker(decap, Writer(decap))


def read(made: Worker, frames: int) -> Capture:
    """A worker that has read a connection of some frames."""
    capture = Capture()
    capture.feed(pcap(list(connection([(True, b"x")] * 40).frames())[:frames]))
    capture.end()
    while made.run(capture):
        pass
    return capture


def test_a_worker_goes_on_from_what_the_one_before_has_booked() -> None:
    book = bytearray(SIZE)
    for so_far in (10, 20, 30):
        made = worker()
        made.attach(Capture(), Ledger(book))
        read(made, 10)
        assert made.counters()["packets"] == so_far
        before = dict(zip(made.accounts.names, Ledger(book).read(len(made.accounts.names)), strict=True))
        assert before["packets"] == so_far - 10  # nothing is true before it is booked
        made.settle()
        after = dict(zip(made.accounts.names, Ledger(book).read(len(made.accounts.names)), strict=True))
        assert (after["packets"], after["flow_packets"], after["lost_in_crash"]) == (so_far, so_far, 0)
    assert Ledger(book).beaten > 0


def test_a_book_needs_room() -> None:
    with pytest.raises(ValueError, match=str(SIZE)):
        Ledger(bytearray(SIZE - 1))
    with pytest.raises((BufferError, TypeError)):
        Ledger(bytes(SIZE))
