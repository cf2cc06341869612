"""The supervisor: opens what workers need, gives up its rights, starts a worker a core, replaces those that die.

It owns rings and ledgers, so that a worker's death moves no flow to another worker and loses no count.  It has one
thread, and workers are its forks: a replacement needs no start-up, and no right to read the program.
"""
import logging
import mmap
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from cext import ledger, told
from sensor import log
from sensor.engine import build
from sensor.errors import LiveError
from sensor.live import bpf, pages, processes, rings, sockets
from sensor.live.interface import Interface
from sensor.live.job import KNOWN_TROUBLE, OUTPUT_CLOSED, Job, RingJob, SocketJob
from sensor.live.notify import Notify
from sensor.live.orders import Order, Orders
from sensor.live.wishes import Said, changed, try_output, wishes_from
from sensor.live.worker import work
from sensor.protocols import import_all
from sensor.tenants import Tenants
from sensor.turns import Turns

LOG = logging.getLogger("cloudmri.live")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
SHORT_LIFE = 5.0                   # seconds; a worker that dies sooner is replaced later and later …
LONGEST_WAIT = 30.0                # … up to this
PAGE_WAIT = 0.5                    # … and after the HTTP pages' process has ended
FORK_WAIT = 1.0                    # seconds until another try where no process was to be had


class Place:
    """A worker's place: its descriptors and its ledger stay when the worker goes."""

    def __init__(self, number: int, turns: Turns) -> None:
        self.number, self.turns = number, turns
        self.source: RingJob | SocketJob | None = None                 # None: there is nothing to read from yet
        self.sockets: list[socket.socket] = []
        self.ledger = ledger.Ledger(shared(ledger.SIZE))
        self.process: int | None = None
        self.began = self.again_at = self.wait = 0.0


def mute(one: socket.socket) -> None:
    """Lets no packet in any more; those that are in can be read."""
    if one.family == socket.AF_PACKET:
        bpf.attach(one, socket.SOL_SOCKET, bpf.SO_ATTACH_FILTER, bpf.NOTHING)
    else:
        sockets.close_inflow(one)


def shared(size: int) -> mmap.mmap:
    """Memory, all zero, that forks see too."""
    return mmap.mmap(-1, (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE)


class Supervisor:
    def __init__(self, listen: Callable[[], Said]) -> None:
        """Opens rings or sockets, and gives up its rights.  ``listen`` tells what is wished, and is asked again by
        SIGHUP.  Raises LiveError, UsageError."""
        self.listen = listen
        self.said = listen()
        self.live, self.options = live, options = wishes_from(**self.said)
        log.set_level(live.log_level)
        self.stop_by: float | None = None
        self.workers = live.workers
        processes.allow_descriptors()
        self.told = told.Told(shared(told.SIZE))
        self.pristine = build(options, self.told)      # each worker is a fork of it
        self.orders = Orders()
        turns = Turns()
        self.places = [Place(number, turns.another()) for number in range(self.workers)]
        self.interface: Interface | None = None
        self.told_that_it_listens = False
        self.move_by: float | None = None              # until when workers end, to begin anew on other rings
        if live.interface:
            self.interface = Interface(live.interface, self.workers, live.ring_bytes, self.set_up)
            self.claimed = rings.claim_ports((*options.vxlan_ports, *options.geneve_ports))
            self.look_at_the_interface()
        else:
            self.open_sockets()
        self.make_folder()
        self.pages = [pages.open_page(address) if address else None for address in (live.metrics, live.health)]
        self.page_process, self.page_again_at = 0, 0.0
        if live.user is not None:
            import_all()           # later it may not be readable
            processes.give_up_rights(live.user)
            self.try_to_read_again()
        self.code = 0

    def try_to_read_again(self) -> None:
        """What root could read, the user who it has become perhaps cannot."""
        try:
            self.listen()
            Tenants(self.options.tenant)
        except Exception as error:
            LOG.warning("SIGHUP will change nothing, for the configuration cannot be read again: %s", error)

    def make_folder(self) -> None:
        """The directory of the output; a new one belongs to the user who will write there."""
        folder = Path(self.live.output)
        if self.live.output == "-" or folder.is_dir():
            return
        try:
            folder.mkdir(parents=True)
            if self.live.user is not None and os.geteuid() == 0:
                account = processes.account_of(self.live.user)
                os.chown(folder, account.pw_uid, account.pw_gid)
        except OSError as error:
            raise LiveError(f"cannot write to {folder}: {error.strerror}") from None

    def set_up(self, opened: list[socket.socket]) -> None:
        """Makes rings of sockets, as the options have it."""
        assert self.live.interface is not None
        rings.set_up(opened, self.live.interface, ring_bytes=self.live.ring_bytes, block_ms=self.live.block_ms,
                     plain=self.live.plain, promiscuous=self.live.promiscuous,
                     vxlan_ports=self.options.vxlan_ports, geneve_ports=self.options.geneve_ports)

    def open_sockets(self) -> None:
        addresses = [sockets.parse_address(text) for text in self.live.listen]
        opened = sockets.open_sockets(addresses, self.workers, buffer_bytes=self.live.buffer_bytes,
                                      vxlan_ports=self.options.vxlan_ports, geneve_ports=self.options.geneve_ports)
        for place, found in zip(self.places, opened, strict=True):
            place.source = SocketJob(tuple((address.port, sockets.drops(one))
                                           for address, one in zip(addresses, found, strict=True)))
            place.sockets = found

    def look_at_the_interface(self) -> None:
        """An interface that came, or came anew: workers that read another one end, and begin on rings of this one."""
        if self.interface is None or self.stop_by is not None:
            return
        now = time.monotonic()
        if self.move_by is None and self.interface.is_new():
            self.move_by = now + self.patience
            self.pass_on(signal.SIGTERM)
        if self.move_by is None:
            return
        if any(place.process for place in self.places):
            if now > self.move_by:
                self.pass_on(signal.SIGKILL)
            return
        try:
            opened = self.interface.open()
        except (LiveError, OSError) as error:          # it has gone again meanwhile
            if not self.told_that_it_listens:
                raise
            self.interface.say(f"cannot be used: {error}; waiting for it")
            return
        for place, (job, ring) in zip(self.places, opened, strict=True):
            for old in place.sockets:
                old.close()
            place.source, place.sockets, place.again_at = job, [ring], 0.0
            place.ledger.begin_anew(self.pristine.accounts.names.index("lost_in_crash"))
        self.move_by, self.told_that_it_listens = None, False

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until nobody reads the records.  The exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.look_after_workers()
        self.notify = Notify([place.ledger for place in self.places])
        while any(place.process for place in self.places) or self.stop_by is None:
            found = signal.sigtimedwait(SIGNALS, self.time_left())
            if found is not None:
                self.take_signal(found.si_signo)
            self.look_after_workers()
            self.look_at_the_interface()
            self.notify.look(waiting=self.places[0].source is None)
        return self.code

    def time_left(self) -> float:
        """Seconds until something has to be done, signals apart."""
        now = time.monotonic()
        due = [place.again_at for place in self.places
               if place.process is None and place.source is not None and self.may_start]
        due += [self.page_again_at] if not self.page_process and any(self.pages) and self.stop_by is None else []
        if self.stop_by is not None:
            due.append(self.stop_by)
        return max(0.0, min([*due, now + 1.0]) - now)

    def take_signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self.stop_by is None:
                self.stop()
            elif number == signal.SIGINT:              # a second Ctrl-C
                self.kill()
        elif number == signal.SIGHUP:
            self.reload()
            self.pass_on(number)
        elif number == signal.SIGUSR1:
            self.pass_on(number)

    def reload(self) -> None:
        """Takes over what the configuration and the tenant map say now; nothing, where they cannot be used."""
        try:
            said, waits = changed(self.said, self.listen())
            live, options = wishes_from(**said)
            tenants = Tenants(options.tenant)
            pristine = build(options, self.told)
            try_output(live.output, options.format)
        except Exception as error:     # whatever it is: it is no reason to end
            LOG.error("the configuration stays as it was: %s", error)
            return
        for key in waits:
            LOG.warning("%s has changed, which takes effect at the next start", key)
        self.said, self.live, self.options, self.pristine = said, live, options, pristine
        log.set_level(live.log_level)
        self.orders.give(Order(live, options, tenants.map))
        LOG.info("the configuration was read again")

    def stop(self) -> None:
        """The workers let no packet in any more, read what is there, and end their flows."""
        self.stop_by = time.monotonic() + self.patience
        self.notify.tell("STOPPING=1")
        for place in self.places:
            for one in place.sockets:
                mute(one)
        self.pass_on(signal.SIGTERM)

    def kill(self) -> None:
        self.code = self.code or 1
        self.pass_on(signal.SIGKILL)

    def pass_on(self, number: int) -> None:
        for place in self.places:
            if place.process:
                os.kill(place.process, number)

    # ---- workers ---------------------------------------------------------------------------------------------------

    def start(self, place: Place) -> None:
        assert place.source is not None
        job = Job(number=place.number, worker=self.pristine, source=place.source, sockets=place.sockets,
                  ledger=place.ledger, turns=place.turns, output=self.live.output, format=self.options.format,
                  stats_seconds=self.live.stats_seconds, block_ms=self.live.block_ms,
                  grace_seconds=self.live.grace_seconds, orders=self.orders)
        try:
            place.process = processes.spawn(f"worker-{place.number}", lambda: work(job))
        except OSError as error:       # no process or no memory is to be had now
            LOG.error("worker %d cannot be started: %s; trying again", place.number, error.strerror)
            place.again_at = time.monotonic() + FORK_WAIT
        place.began = time.monotonic()

    @property
    def patience(self) -> float:
        """Seconds that the end of a worker may take: the last block may come late, and records follow it."""
        return self.live.grace_seconds + 2 + 6 * self.live.block_ms / 1000

    @property
    def may_start(self) -> bool:
        """Workers are begun: the end has not come, and no other ring is waited for."""
        return self.stop_by is None and self.move_by is None

    def look_after_pages(self, now: float) -> None:
        if self.stop_by is not None or not any(self.pages):
            return
        if self.page_process and os.waitpid(self.page_process, os.WNOHANG)[0]:
            LOG.error("the process of the HTTP pages has ended; another takes its place")
            self.page_process, self.page_again_at = 0, now + PAGE_WAIT
        if self.page_process or now < self.page_again_at:
            return
        ledgers = [place.ledger for place in self.places]
        captured = [one for place in self.places for one in place.sockets]
        captured += self.interface.spare_sockets() if self.interface else []
        try:
            self.page_process = processes.spawn("pages", lambda: pages.serve(
                self.pages, ledgers, self.pristine.accounts.names, self.live.drop_limit, self.live.interface, captured))
        except OSError as error:
            LOG.error("the process of the HTTP pages cannot be started: %s; trying again", error.strerror)
            self.page_again_at = now + PAGE_WAIT

    def look_after_workers(self) -> None:
        now = time.monotonic()
        self.look_after_pages(now)
        for place in self.places:
            if place.process is not None:
                ended, status = os.waitpid(place.process, os.WNOHANG)
                if ended:
                    place.process = None
                    self.take_end(place, os.waitstatus_to_exitcode(status), now)
            if (place.process is None and place.source is not None and now >= place.again_at
                    and self.may_start):
                self.start(place)
        if not self.told_that_it_listens and all(place.process for place in self.places):
            self.told_that_it_listens = True
            LOG.info("listening on %s with %d worker%s", self.live.interface or ", ".join(self.live.listen),
                     self.workers, "" if self.workers == 1 else "s")
        if self.stop_by is not None and now > self.stop_by:
            self.kill()

    def take_end(self, place: Place, code: int, now: float) -> None:
        """A worker has ended.  One that failed for a reason it knows ends all; another is replaced."""
        place.turns.free()             # it may have died in its own
        if self.stop_by is not None:
            self.code = self.code or (1 if code else 0)
        elif self.move_by is not None and code in (0, -signal.SIGKILL):
            place.source = None
        elif code in (KNOWN_TROUBLE, OUTPUT_CLOSED):
            self.code = code if code == OUTPUT_CLOSED else 1
            self.stop()
        else:
            place.ledger.replaced += 1
            place.wait = 0.0 if now - place.began > SHORT_LIFE else min(max(0.2, 2 * place.wait), LONGEST_WAIT)
            place.again_at = now + place.wait
            LOG.error("worker %d has ended with %s; another takes its place", place.number,
                      f"exit code {code}" if code >= 0 else f"signal {-code}")
