"""A live worker: one process, a fork of the supervisor, with one ring or its sockets and one pipeline."""
import logging
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from cext.receiver import Receiver
from cext.ring import Ring
from sensor import log
from sensor.engine import Format, change
from sensor.errors import SensorError
from sensor.live import processes
from sensor.live.job import KNOWN_TROUBLE, OUTPUT_CLOSED, Job, RingJob
from sensor.live.outlet import Outlet
from sensor.sinks import DirectorySink, Sink, StreamSink
from sensor.tenants import Tenants

LOG = logging.getLogger("cloudmri.live")
TURN_MS = 50                       # of reading; then records are handed to the outlet, and all else is looked after
LOADS = ("keeps up again: all is parsed", "falls behind: bodies are not looked at",
         "is far behind: the largest flows are not parsed", "is about to lose packets: no new flow is parsed")
BEHIND = 1_000_000_000             # ns that the packets' time is behind the clock on a silent link


class LiveWorker:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.worker = job.worker
        self.source = open_source(job)
        self.source.account()          # what a worker before this one has not fetched
        self.worker.attach(self.source, job.ledger)
        self.grace_seconds, self.stats_seconds = job.grace_seconds, job.stats_seconds
        self.outlet = Outlet(open_sink(job.output, job.format), job.turns)
        self.stop_by: float | None = None
        self.load_told = 0
        self.left = 0                  # packets that were not read when the time for the end was over
        self.asked_for_stats = self.asked_to_change = False
        self.next_account = 0.0
        self.next_stats = time.monotonic() + self.stats_seconds

    def run(self) -> int:
        """Until it is told to stop, and the ring is empty, or the output is gone.  The exit code."""
        while self.outlet.trouble is None:
            idle = self.worker.listen(self.source, TURN_MS)
            self.tell_load()
            self.emit()
            now = time.monotonic()
            if idle:
                self.look_for_trouble()
                if self.stop_by is not None and not self.more_comes():
                    break
                self.worker.tick(self.latest())
            if self.asked_to_change:
                self.change()
            if now > self.next_account:
                self.next_account = now + 1
                self.source.account()
                self.look_at_the_clock()
            if self.asked_for_stats or now > self.next_stats:
                self.write_stats()
            if self.stop_by is not None and now > self.stop_by:
                self.leave_the_rest()
                break
        return self.end()

    def latest(self) -> int:
        """No packet comes any more that was stamped before, in ns."""
        return time.time_ns() - max(BEHIND, 2_000_000 * self.job.block_ms)

    def look_at_the_clock(self) -> None:
        if by := self.worker.set_clock(time.time_ns()):
            LOG.warning("the clock was set back by %.0f s; times of open flows were set back, too", by / 1e9)

    def leave_the_rest(self) -> None:
        """Counts what there is no time for."""
        self.left = self.worker.pass_over(self.source)
        while self.more_comes():
            self.left += self.worker.pass_over(self.source)
        if self.left:
            LOG.error("%d packets were left unread after %g seconds; choose a longer --grace", self.left,
                      self.grace_seconds)

    def more_comes(self) -> bool:
        """False when nothing did for so long that nothing will: a block that has begun is handed over by then."""
        come = self.source.wait(max(2 * TURN_MS, 3 * self.job.block_ms))
        self.look_for_trouble()
        return come

    def tell_load(self) -> None:
        """Says what was left out, and when that is over."""
        worst, now = self.worker.take_load()
        if worst > self.load_told:
            LOG.warning("worker %d %s", self.job.number, LOADS[worst])
            self.load_told = worst
        if self.load_told and now == 0:
            LOG.warning("worker %d %s", self.job.number, LOADS[0])
            self.load_told = 0

    def look_for_trouble(self) -> None:
        """An interface that went down says so once: when it is asked.  Until then it ends every wait."""
        if not self.source.troubled:
            return
        for one in self.job.sockets:
            if error := one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                LOG.warning("the capture says: %s; going on", os.strerror(error))

    def emit(self, *, last: bool = False) -> None:
        self.outlet.put(self.worker.writer.drain(), always=last)
        self.worker.unwritten, self.worker.backlog = self.outlet.given_up, self.outlet.backlog

    def write_stats(self, *, last: bool = False) -> None:
        self.asked_for_stats = False
        self.next_stats = time.monotonic() + self.stats_seconds
        self.source.account()
        self.worker.log_stats(time.time_ns(), self.job.number)
        self.emit(last=last)

    def change(self) -> None:
        """Does from now on what the supervisor has ordered; no flow is lost.  Files are opened anew in any case."""
        self.asked_to_change = False
        order = self.job.orders.take()
        self.emit()
        if order is None:
            self.outlet.reopen()
            return
        try:
            tenants = Tenants(order.options.tenant, order.tenants)
            sink = open_sink(order.live.output, order.options.format)
            change(self.worker, order.options, tenants)
        except Exception as error:     # whatever it is: it is no reason to end
            LOG.error("worker %d goes on as before: %s", self.job.number, error)
            self.outlet.reopen()
            return
        log.set_level(order.live.log_level)
        self.grace_seconds, self.stats_seconds = order.live.grace_seconds, order.live.stats_seconds
        self.next_stats = min(self.next_stats, time.monotonic() + self.stats_seconds)
        self.outlet.turn_to(sink)

    def end(self) -> int:
        """Flows are closed, records written, counters booked."""
        while self.worker.finish_flows():
            self.emit(last=True)       # all open flows at once may be more than otherwise waits
        self.write_stats(last=True)
        self.worker.settle()
        if not self.outlet.close(self.grace_seconds):
            LOG.error("the output did not take the last records within %g seconds", self.grace_seconds)
            return KNOWN_TROUBLE
        if self.outlet.trouble is None:
            return KNOWN_TROUBLE if self.left else 0
        if isinstance(self.outlet.trouble, BrokenPipeError):
            return OUTPUT_CLOSED
        LOG.error("%s", self.outlet.trouble)
        return KNOWN_TROUBLE

    # ---- signals ---------------------------------------------------------------------------------------------------

    def stop(self, *_: Any) -> None:
        """What is here is read, and flows are ended.  The supervisor has seen to it that no packet more comes."""
        if self.stop_by is None:
            self.stop_by = time.monotonic() + self.grace_seconds

    def ask_to_change(self, *_: Any) -> None:
        self.asked_to_change = True

    def ask_for_stats(self, *_: Any) -> None:
        self.asked_for_stats = True


def open_source(job: Job) -> Ring | Receiver:
    """What the worker reads, from where a worker before it left off."""
    done = job.ledger.opened
    if isinstance(job.source, RingJob):
        return Ring(job.sockets[0].fileno(), block_size=job.source.block_size, block_count=job.source.block_count,
                    link=job.source.link, done=done)
    sockets = [(one.fileno(), port, dropped)
               for one, (port, dropped) in zip(job.sockets, job.source.sockets, strict=True)]
    return Receiver(sockets, done=done)


def open_sink(output: str, form: Format) -> Sink:
    if output == "-":
        return StreamSink(sys.stdout.buffer)
    return DirectorySink(output, form, append=True)


def work(job: Job) -> NoReturn:
    """The whole life of the process."""
    code = KNOWN_TROUBLE
    try:
        worker = LiveWorker(job)
        for number, handler in ((signal.SIGTERM, worker.stop), (signal.SIGHUP, worker.ask_to_change),
                                (signal.SIGUSR1, worker.ask_for_stats), (signal.SIGINT, signal.SIG_IGN),
                                (signal.SIGPIPE, signal.SIG_IGN)):
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())             # what came before is looked at now
        code = worker.run()
    except SensorError as error:
        LOG.error("%s", error)
    except BaseException:
        LOG.exception("worker %d failed", job.number)
        code = processes.FAILED
    os._exit(code)                 # a thread may still wait for a reader that never reads
