"""The loop: batch → decap → flow → stream → parser → out.

Two passes over up to 32 frames: the intake opens and hashes them; then flows, streams and parsers take them, which are
prefetched.  Time comes from the packets, never from the clock, so a file and a live run act alike.
"""

from cext.decap cimport ends_hash, flow_hash
from cext.dispatch cimport Load
from cext.filter cimport Filter
from cext.flow cimport ESTABLISHED, INACTIVE, MARK_DATA, NO_FLOW, RESET, SYN_ACK_SENT, SYN_SENT, note_once
from cext.layers cimport FLOWS_FULL
from cext.layers import DROP_NAMES
from cext.ledger cimport Ledger
from cext.packet cimport ACK, BATCH, FIN, IPPROTO_TCP, IPPROTO_UDP, SYN
from cext.parser cimport EVICTED, FINISHED, SHUTDOWN, TIMED_OUT
from cext.owned cimport owned_bytes, owned_refused
from cext.record cimport Schema, draft_bytes
from cext.tcp cimport Turn, begins_anew, clean, locate, take_turn
from cext.types cimport MILLISECOND, NEVER, SECOND, monotonic

cdef enum:
    DRAIN = 1 << 18                # bytes of output after which the owner is asked to take them
    DRAIN_LIVE = 1 << 20           # … by a live worker, for whom the way to Python is dear
    BATCHES = 1024                 # between two looks at signals
    ATTEMPT = 5                    # seconds for an answer to a SYN; Zeek's timeouts, here and below
    LINGER = 5                     # … for late packets of a flow that has ended
    HANDSHAKE_IDLE = 60
    TCP_IDLE = 300
    DATAGRAM_IDLE = 60
    TWIN_SILENCE = 2               # … after which another vantage takes the place of a silent one
    BEHIND = 25                    # percent of what the source can keep: bodies are not looked at,
    FAR_BEHIND = 50                # … large flows not parsed,
    FALLING = 75                   # … new flows neither,
    CAUGHT_UP = 10                 # … until so little is left
    SET_BACK = 5                   # … that packets are ahead of a clock that was set back


cdef class Worker:
    """Reads captures into records.  Pure mechanics: what to do comes in as arguments, records go out by drain."""

    def __init__(self, Decap decap, Writer writer, *, Filter filter=None, begin=None, end=None,
                 server_ports=((), ()), protocols=None, uint32_t most_flows=1 << 20, double reorder_window=0.25,
                 double interim=0, bint omit_twins=False):
        """``begin`` and ``end``: times in ns that bound the packets used; ``server_ports``: of TCP, of UDP;
        ``interim``: seconds after which a flow that goes on has another conn record, 0 for none; ``omit_twins``: of a
        flow that another tenant has shown only the conn record is written."""
        self.decap, self.writer = decap, writer
        self.intake = Intake(decap, filter, begin, end)
        self.flows = FlowTable(most_flows)
        self.dispatch = Dispatch(writer, protocols)
        self.streams = Streams(self.dispatch, window=reorder_window)
        self.conns = ConnLog(writer)
        self.sessions = Sessions()
        self.twin_flows = Twins()
        self.omit_twins = omit_twins
        self.refused_before = owned_refused()
        self.accounts = Accounts()
        self.find_places(FrameSource())
        self.interim = <Time>(min(interim, 1e9) * SECOND)
        if self.interim <= 0:
            self.interim = NEVER
        for i, ports in enumerate(server_ports):
            for port in ports:
                self.server_ports[i][<int>port >> 3] |= 1 << (<int>port & 7)

    # ---- the owner's side ------------------------------------------------------------------------------------------

    def attach(self, FrameSource source, Ledger ledger):
        """Live: counts into a ledger, and goes on from what a worker before this one has left in it."""
        self.find_places(source)
        source.ledger = ledger
        self.accounts.attach(ledger, ("kernel_drops",) if source.counts_on else ())
        self.book(source)

    def run(self, FrameSource source, Time limit=NEVER):
        """Reads frames up to ``limit``, until there is output to take, a signal may wait, or the source has no more.

        True while the source may have frames that it can give at once.
        """
        cdef int n = BATCH, turns = 0
        with nogil:
            while turns < BATCHES and n and self.writer.pending < DRAIN:
                n = self.read(source, limit)
                turns += 1
        return n != 0

    def listen(self, FrameSource source, int milliseconds):
        """Live: reads frames as they come, for so long, or until there is output to take, a signal came or the source
        is ``troubled``.

        True when all that was here is read.  It is the waiting that is done here: between two blocks the way to Python
        and back takes as long as a hundred packets, for it is never in the caches.
        """
        cdef Time until = monotonic() + milliseconds * <Time>MILLISECOND, now = 0
        cdef int n = BATCH
        with nogil:
            while self.writer.pending < DRAIN_LIVE and now < until:
                n = self.read(source, NEVER)
                now = monotonic()
                if n == 0 and now < until and (not source.await_frames(until) or source.troubled):
                    break
        return n == 0

    def change(self, *, Filter filter=None, bint omit_twins=False):
        """From now on; the arguments as those of the worker."""
        self.intake.filter, self.omit_twins = filter, omit_twins

    def change_tenants(self, tenant_of):
        """From now on envelopes belong to the tenants that another policy names.  Flows go on, under their uids."""
        cdef Flow* f
        self.decap.change_tenants(tenant_of)
        f = self.flows.after(NULL)
        while f != NULL:
            f.tenant = self.decap.tenants[f.envelope]
            f.hash = flow_hash(self.decap.key, ends_hash(self.decap.key, &f.orig_h, f.orig_p, &f.resp_h, f.resp_p),
                               f.tenant, f.proto)
            f = self.flows.after(f)
        self.flows.hash_anew()

    def settle(self):
        """Live: books what was counted since the last block; between blocks only."""
        self.book(self.source)

    def tick(self, Time now):
        """Live, between blocks: time goes on where no packet comes.  Nothing is later than ``now`` any more."""
        with nogil:
            self.intake.advance(now)
            self.flows.move_clock(self.intake.now)
            self.expire()
            self.book(self.source)

    def set_clock(self, Time now):
        """Live: no packet is later than ``now`` any more.  Where the clock was set back, flows and their timers follow
        it.  By how much, in ns; 0 where it was not."""
        cdef Time by = self.intake.now - now
        if by < SET_BACK * <Time>SECOND:
            return 0
        self.intake.set_back(by)
        self.flows.set_back(by)
        self.twin_flows.forget()
        return by

    def take_load(self):
        """Live: the highest load level since the last call, and that of now."""
        worst, self.load_worst = self.load_worst, self.load_level
        return worst, self.load_level

    def pass_over(self, FrameSource source):
        """Live, when the time for the end is over: counts the frames that are here.  How many they were."""
        cdef int n = 1
        cdef uint64_t before = self.unread
        with nogil:
            while n:
                n = source.fill(self.intake.frames, BATCH, NEVER)
                self.unread += n
                if source.boundary:
                    self.book(source)
                    source.give_back()
        return self.unread - before

    def finish_flows(self):
        """Ends open flows: the run is over.  True when there may be more, and output is to be taken first."""
        cdef Flow* f = self.flows.any()
        with nogil:
            while f != NULL and self.writer.pending < DRAIN:
                self.finish(f, SHUTDOWN)
                f = self.flows.any()
        return f != NULL

    def log_stats(self, Time now=0, worker=None):
        """Writes a stats record, of the packets' time or a later one; live with the worker's number, and with records
        of the mirror sessions."""
        cdef Time ts = max(self.intake.now, now)
        self.weigh()
        if worker is not None:
            self.sessions.write(self.writer, self.decap.envelope_count, ts, worker)
        self.accounts.log(self.writer, ts, worker)

    def counters(self):
        """All counters by name, as the stats record has them; those of the kernel only live."""
        self.weigh()
        return self.accounts.counters()

    def add(self, counted):
        """Counts what another process has counted, by name."""
        self.accounts.add(counted)

    cdef int read(self, FrameSource source, Time limit) noexcept nogil:
        """One batch of frames; how many."""
        cdef int n = self.intake.read(source, limit)
        self.process(source, self.intake.batch, self.intake.opened, self.intake.now)
        if source.boundary:
            self.book(source)
            source.give_back()
            self.look_at_the_load(source)
        return n

    cdef void book(self, FrameSource source) noexcept nogil:
        """A block is done: all that was counted up to its end becomes true together."""
        self.weigh()
        self.accounts.book(source)

    cdef void weigh(self) noexcept nogil:
        """Brings the counters up to date that are sums of several rooms."""
        self.refused = owned_refused() - self.refused_before
        self.memory_held = self.streams.held + self.dispatch.carried + draft_bytes() + owned_bytes()

    cdef void look_at_the_load(self, FrameSource source) noexcept nogil:
        """Between blocks: leaves out more the fuller the source is; nothing any more once it is almost empty."""
        cdef int filled = source.filled()
        cdef int level = (filled >= BEHIND) + (filled >= FAR_BEHIND) + (filled >= FALLING)
        if filled > CAUGHT_UP and level < <int>self.load_level:
            level = <int>self.load_level
        if level or self.load_level:
            self.dispatch.set_load(<Load>level)
            self.load_level = level
            self.load_worst = max(self.load_worst, self.load_level)

    cdef find_places(self, FrameSource source):
        """Where each counter stands."""
        cdef int i
        self.source = source
        self.accounts.find({f"drop_{name}": <size_t>&self.decap.drops[i] for i, (name, _) in enumerate(DROP_NAMES)} | {
            "packets": <size_t>&self.intake.packets, "bytes": <size_t>&self.intake.bytes,
            "flow_packets": <size_t>&self.flow_packets, "flows": <size_t>&self.flows.created,
            "flows_peak": <size_t>&self.flows.peak, "flows_evicted": <size_t>&self.evicted,
            "twin_packets": <size_t>&self.twins, "twin_flows": <size_t>&self.twin_flows.found,
            "twins_forgotten": <size_t>&self.twin_flows.forgotten, "gaps": <size_t>&self.streams.gaps,
            "missed_bytes": <size_t>&self.streams.missed, "reorder_shed": <size_t>&self.streams.shed,
            "parsers_rejected": <size_t>&self.dispatch.rejected, "parsers_shed": <size_t>&self.dispatch.shed,
            "bodies_shed": <size_t>&self.writer.spared,
            "large_flows_shed": <size_t>&self.dispatch.large_shed, "flows_unparsed": <size_t>&self.dispatch.unparsed,
            "load_level": <size_t>&self.load_level,
            "parsers_refused": <size_t>&self.refused, "python_calls": <size_t>&self.writer.asked,
            "records_lost": <size_t>&self.writer.lost, "cut_copies": <size_t>&self.decap.cut_copies,
            "datagrams_reassembled": <size_t>&self.decap.fragments.completed,
            "datagrams_evicted": <size_t>&self.decap.fragments.evicted,
            "datagrams_expired": <size_t>&self.decap.fragments.expired,
            "envelopes": <size_t>&self.decap.envelope_count, "kernel_packets": <size_t>&source.kernel_packets,
            "kernel_drops": <size_t>&source.kernel_drops, "ring_freezes": <size_t>&source.freezes,
            "lost_in_crash": <size_t>&self.lost, "unread_at_end": <size_t>&self.unread,
            "records_unwritten": <size_t>&self.unwritten, "flows_open": <size_t>&self.flows.count,
            "memory_bytes": <size_t>&self.memory_held, "backlog_bytes": <size_t>&self.backlog} | {
            f"records_{kind}": <size_t>&self.writer.records[i] for i, kind in enumerate(Schema.registry)})

    def memory(self):
        """Bytes held right now, by room: what must be back at its start when all flows have ended."""
        return {"flows": self.flows.count, "held": self.streams.held, "carried": self.dispatch.carried,
                "parsers": self.dispatch.parsers, "drafts": draft_bytes(), "owned": owned_bytes()}

    # ---- packets ----------------------------------------------------------------------------------------------------

    cdef void process(self, FrameSource source, Packet* batch, int n, Time now) noexcept nogil:
        """A batch: time goes on to that of its last frame, and each packet goes into its flow."""
        cdef int i
        for i in range(n):
            self.flows.prefetch_bucket(batch[i].hash)
        for i in range(n):
            self.flows.prefetch_flow(batch[i].hash)
        for i in range(n):
            if batch[i].proto == IPPROTO_UDP and batch[i].tenant:
                self.twin_flows.prefetch_sights(self.flows.likely(batch[i].hash), &batch[i])
        self.flows.move_clock(now)
        for i in range(n):
            source.look_ahead()
            self.take(&batch[i])
        self.expire()

    cdef void take(self, const Packet* p) noexcept nogil:
        """One packet into its flow."""
        cdef bint is_orig
        cdef Flow* f = self.flows.find(p, &is_orig)
        if f != NULL and p.ts >= f.deadline:
            self.finish(f, TIMED_OUT)
            f = NULL
        elif f != NULL and p.proto == IPPROTO_TCP and p.flags & SYN and begins_anew(f, p) and not (
                self.is_twin(f, p, is_orig)):
            self.finish(f, FINISHED)
            f = NULL
        if f == NULL:
            f = self.new_flow(p, &is_orig)
            if f == NULL:
                self.decap.count(FLOWS_FULL)
                return
        if p.ts >= f.report:
            self.report(f, p.ts)
        self.flow_packets += 1
        self.sessions.see(p)
        if self.is_twin(f, p, is_orig):
            self.take_twin(f, p, is_orig)
            return
        f.ends[is_orig].envelope = p.envelope
        f.ends[is_orig].seen = p.ts
        f.ends[is_orig].packets += 1
        f.ends[is_orig].ip_bytes += p.ip_bytes
        if p.proto == IPPROTO_TCP:
            self.take_tcp(f, p, is_orig)
        else:
            self.take_datagram(f, p, is_orig)
        if not f.lingers:
            f.deadline = p.ts + self.timeout(f)
        self.flows.schedule(f, self.wake(f))

    cdef Time wake(self, const Flow* f) noexcept nogil:
        """When the flow must be looked at: for its end, for a hole to give up, or for an interim record."""
        cdef Time when = self.streams.wake(f, f.deadline)
        return f.report if f.report < when else when

    cdef Flow* new_flow(self, const Packet* p, bint* is_orig) noexcept nogil:
        """A new flow; when the table is full the one that would time out soonest gives way."""
        cdef bint flip = self.flips(p)
        cdef Flow* f = self.flows.create(p, flip)
        if f == NULL:
            f = self.flows.oldest()
            if f == NULL:
                return NULL
            self.evicted += 1
            self.finish(f, EVICTED)
            f = self.flows.create(p, flip)
        if f != NULL:
            f.report = p.ts + self.interim if self.interim != NEVER else NEVER
        is_orig[0] = not flip
        return f

    cdef bint flips(self, const Packet* p) noexcept nogil:
        """True when the sender of a flow's first packet is the responder: its port is a server's (Zeek's rules)."""
        if p.proto == IPPROTO_TCP:
            if p.flags & SYN:      # an answer to a SYN comes from the responder, unless the ports speak against it
                return p.flags & ACK != 0 and (self.is_server_port(p, p.sport) or not self.is_server_port(p, p.dport))
        elif p.proto != IPPROTO_UDP:
            return False
        if not self.is_server_port(p, p.sport):
            return False
        if not self.is_server_port(p, p.dport):
            return True
        return p.proto == IPPROTO_TCP and p.sport < p.dport

    cdef bint is_server_port(self, const Packet* p, uint16_t port) noexcept nogil:
        return (self.server_ports[p.proto == IPPROTO_UDP][port >> 3] >> (port & 7)) & 1

    cdef bint is_twin(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil:
        """True when another vantage shows what the side's own vantage shows too."""
        cdef uint32_t own = f.ends[is_orig].envelope
        return own != p.envelope and own != NO_FLOW and p.ts - f.ends[is_orig].seen <= TWIN_SILENCE * <Time>SECOND

    cdef void take_twin(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil:
        """Offered to reassembly, where it may fill a gap, and counted apart."""
        cdef Turn turn
        self.twins += 1
        f.twins += 1
        if p.proto != IPPROTO_TCP:
            return
        if f.side[0].waits or f.side[1].waits:
            self.streams.look_at_the_clock(f, p.ts)
        locate(f, p, is_orig, &turn)
        if turn.usable and p.flags & FIN and not f.side[is_orig].fin:
            f.side[is_orig].fin = <uint64_t>turn.at + p.claimed + 1
        if turn.usable and p.claimed:
            self.streams.push(f, &turn, p)

    cdef void take_tcp(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil:
        cdef Turn turn
        cdef uint64_t acked = f.side[not is_orig].acked, seen = f.ends[not is_orig].last
        if f.side[0].waits or f.side[1].waits:
            self.streams.look_at_the_clock(f, p.ts)
        take_turn(f, p, is_orig, &turn)
        if turn.acks > acked and acked and clean(f):
            self.sessions.acknowledge(p.envelope, acked, seen, turn.acks)
        if p.flags & SYN and f.tenant and not f.is_twin and self.twin_flows.is_handshake_known(f, p.ts):
            self.leave_twin(f)
        self.streams.push(f, &turn, p)
        if turn.closing:
            f.lingers = True
            f.deadline = p.ts + LINGER * <Time>SECOND

    cdef void take_datagram(self, Flow* f, const Packet* p, bint is_orig) noexcept nogil:
        if p.proto == IPPROTO_UDP:
            note_once(f, is_orig, MARK_DATA, c'D')
        f.ends[is_orig].last += p.claimed
        if p.ts > f.last:
            f.last = p.ts
        if p.proto == IPPROTO_UDP:
            if f.tenant and not f.is_twin and self.twin_flows.is_datagram_known(f, p):
                self.leave_twin(f)
            self.dispatch.datagram(f, is_orig, p)

    cdef void leave_twin(self, Flow* f) noexcept nogil:
        """Another tenant has shown the flow already, and its records were written there."""
        if self.omit_twins:
            self.dispatch.end(f, FINISHED, f.last)

    cdef Time timeout(self, const Flow* f) noexcept nogil:
        """How long the flow may be silent from now on."""
        cdef bint of_tcp = f.proto == IPPROTO_TCP
        cdef uint64_t idle
        cdef Time soon = NEVER
        if of_tcp and (f.side[True].state != ESTABLISHED or f.side[False].state != ESTABLISHED):
            soon = self.handshake_timeout(f)
        if soon != NEVER:
            return soon
        idle = self.dispatch.idle_seconds(f)
        return <Time>(idle if idle else TCP_IDLE if of_tcp else DATAGRAM_IDLE) * SECOND

    cdef Time handshake_timeout(self, const Flow* f) noexcept nogil:
        """The same for a connection that did not come about, or was torn down; NEVER for any other."""
        cdef int o = f.side[True].state, r = f.side[False].state
        if r == INACTIVE and (o == SYN_SENT or o == SYN_ACK_SENT):
            return f.first + ATTEMPT * <Time>SECOND - f.last
        if f.side[True].closed or f.side[False].closed:
            if o == RESET or r == RESET or o == INACTIVE or r == INACTIVE:
                return LINGER * <Time>SECOND
        if o in (INACTIVE, SYN_SENT, SYN_ACK_SENT) and r in (INACTIVE, SYN_SENT, SYN_ACK_SENT):
            return HANDSHAKE_IDLE * <Time>SECOND
        return NEVER

    # ---- ends ------------------------------------------------------------------------------------------------------

    cdef void expire(self) noexcept nogil:
        """Looks at the flows whose time has come: some are over, some have a hole to give up."""
        cdef Flow* f = self.flows.due()
        cdef Time wake
        while f != NULL:
            if f.deadline < self.flows.now:
                self.finish(f, TIMED_OUT)
            else:
                if f.proto == IPPROTO_TCP:
                    self.streams.settle(f, self.flows.now)
                if f.report <= self.flows.now:
                    self.report(f, self.flows.now)
                wake = self.wake(f)
                # a hole that nobody has acknowledged stays: looking again before time moves on would never end
                self.flows.schedule(f, wake if wake > self.flows.now else self.flows.now + SECOND)
            f = self.flows.due()

    cdef void report(self, Flow* f, Time now) noexcept nogil:
        """An interim record; the next is due a whole number of intervals later."""
        self.conns.write(f, True)
        f.report += (now - f.report) // self.interim * self.interim + self.interim

    cdef void finish(self, Flow* f, Reason why) noexcept nogil:
        """What is held goes, the parser ends, the conn record is written; the flow is gone."""
        if f.proto == IPPROTO_TCP:
            if why == TIMED_OUT:   # holes that were due before go first, whether or not anybody looked then
                self.streams.give_up_due(f, f.deadline)
            self.streams.finish(f, f.last)
        self.dispatch.end(f, why, f.last)
        self.conns.write(f, False)
        self.flows.remove(f)
