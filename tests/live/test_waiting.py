"""A worker waits for frames where it reads them, and hears of all else while it waits."""

import errno
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cext.decap import Decap
from cext.ledger import SIZE, Ledger
from cext.receiver import Receiver
from cext.worker import Worker
from cext.writer import Writer
from sensor.live.worker import LiveWorker
from sensor.tenants import Tenants

SOON, LONG = 0.05, 10_000  # seconds until something happens; milliseconds that nobody waits through


class Listener:
    """A worker and the socket that it reads."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.source = Receiver([(self.socket.fileno(), 4789, 0)])
        decap = Decap(Tenants())
        self.worker = Worker(decap, Writer(decap))
        self.worker.attach(self.source, Ledger(bytearray(SIZE)))

    def send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(40), self.socket.getsockname())


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


@pytest.fixture
def rung() -> Iterator[list[int]]:
    """The signals that came."""
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, SOON, SOON)   # again and again: one may come before anybody waits
    yield heard
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_what_comes_while_it_waits_is_read_before_its_turn_is_over(listener: Listener) -> None:
    began = time.monotonic()
    threading.Timer(SOON, listener.send).start()
    assert listener.worker.listen(listener.source, 300)
    assert 0.3 <= time.monotonic() - began < 5
    assert listener.worker.counters()["packets"] == 1


def test_a_signal_ends_its_turn(listener: Listener, rung: list[int]) -> None:
    began = time.monotonic()
    assert listener.worker.listen(listener.source, LONG)
    assert time.monotonic() - began < 5
    assert rung


def test_a_bare_wait_goes_on_behind_a_signal(listener: Listener, rung: list[int]) -> None:
    began = time.monotonic()
    assert not listener.source.wait(200)
    assert 0.2 <= time.monotonic() - began < 5
    assert rung
    listener.send()
    assert listener.source.wait(LONG)


def trouble(listener: Listener) -> None:
    """The socket has sent to where nobody listens any more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        listener.socket.connect(gone.getsockname())
    listener.socket.send(b"")


def test_trouble_with_a_socket_is_told_until_somebody_asks_what_it_is(listener: Listener) -> None:
    trouble(listener)
    assert listener.source.wait(LONG)
    assert listener.source.troubled
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert not listener.source.wait(0)
    assert not listener.source.troubled


def test_trouble_at_the_very_end_does_not_keep_a_worker(listener: Listener) -> None:
    """A ring's frames are passed over without a call that would take the error away."""
    trouble(listener)
    leaving: Any = object.__new__(LiveWorker)  # without what the end has no use for
    leaving.job = SimpleNamespace(sockets=[listener.socket], block_ms=10)
    leaving.worker = SimpleNamespace(pass_over=lambda source: 3)
    leaving.source, leaving.left, leaving.grace_seconds = listener.source, 0, 1

    def too_long(*_: object) -> None:
        raise TimeoutError("the worker goes on for ever")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(5)
    try:
        leaving.leave_the_rest()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert leaving.left == 6
