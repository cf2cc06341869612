"""Streams and datagrams → the parser that knows them.

In: bytes in order, or word of their loss, from the streams.  Out: calls to parsers.  The engine keeps what a parser
leaves (the carry, bounded), swallows what it skips, waits for what it needs, and ends it.

    UNDECIDED → PROBING → PARSED ⇄ RESTING
                   └─────────┴────────┴──▶ OVER
"""
from libc.stdint cimport int8_t
from libc.stdlib cimport free
from libc.string cimport memmove, memset

from cext.buffer cimport append, reserve
from cext.cursor cimport Cursor, cursor
from cext.packet cimport IPPROTO_UDP
from cext.parser cimport (ALL, ANYBODY, EVICTED, FINISHED, HANDED_OVER, NOBODY, Weirds, give_parser, protocol,
                          protocol_count, take_parser, weird)
from cext.pool cimport give_block, take_block
from cext.wire cimport lowest_bit

cdef enum:
    PROBE_MAX = 4096               # bytes of a side that are kept while nobody knows them
    LATE_SEGMENTS = 64             # segments of an unknown flow in which another protocol may begin
    MOST_SWITCHES = 8              # protocols inside of each other in one flow; also bounds the recursion
    PROBE_DATAGRAMS = 4            # datagrams that are looked at
    LARGE_AT_FIRST = 1 << 24       # bytes of a flow that is too large when the sensor is far behind
    LARGE_AT_LAST = 1 << 16


cdef class Dispatch(Taker):
    def __init__(self, Sink sink, wanted=None, uint64_t most_carried=48 << 20):
        """``wanted``: names of the protocols to ask; None for all."""
        self.sink, self.most_carried = sink, most_carried
        self.set_load(KEEPS_UP)
        self.recogniser = Recogniser(wanted)
        for i in range(protocol_count()):
            for datagrams in range(2):
                if protocol(i).idle[<int>datagrams]:
                    self.patient[<int>datagrams] |= <uint64_t>1 << <int>i

    # ---- what is left out while more comes than can be read --------------------------------------------------------

    cdef void set_load(self, Load load) noexcept nogil:
        """Told again and again: as long as it lasts, flows half as large as before are too large."""
        if load < NO_LARGE:
            self.large = LARGE_AT_FIRST
        elif self.load >= NO_LARGE and self.large > LARGE_AT_LAST:
            self.large //= 2
        self.load, self.sink.behind = load, load >= NO_BODIES

    cdef bint is_too_large(self, Flow* f, bint is_orig) noexcept nogil:
        """True when the flow has just lost its parser for its size.  One whose bytes are swallowed costs nothing."""
        cdef const Tap* tap
        if f.parsing != PARSED or f.ends[0].ip_bytes + f.ends[1].ip_bytes < self.large:
            return False
        tap = &(<Conn*>f.conn).taps[is_orig]
        if tap.skipping and tap.skip > LARGE_AT_LAST:
            return False
        self.large_shed += 1
        f.shed = True
        self.close(f, EVICTED)
        return True

    # ---- what the streams tell -------------------------------------------------------------------------------------

    cdef bint wants(self, Flow* f) noexcept nogil:
        return f.parsing != OVER

    cdef void data(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n, Time ts) noexcept nogil:
        cdef Conn* conn
        if f.parsing == OVER:
            return
        if self.load >= NO_LARGE and self.is_too_large(f, is_orig):
            return
        if f.conn == NULL and not self.may_begin(f, self.recogniser.asked[False]):
            return
        conn = <Conn*>f.conn if f.conn != NULL else self.open(f, False)
        if conn == NULL:
            return
        conn.ts, conn.segment_bytes = ts, n
        if f.parsing != PARSED:
            self.probe(f, is_orig, p, n)
        elif not swallow(conn, is_orig, n):
            self.feed(f, is_orig, p, n)

    cdef void lost(self, Flow* f, bint is_orig, uint64_t n, Time ts) noexcept nogil:
        """A gap inside a skip is none; else the carry is void and the parser is told."""
        cdef Conn* conn = <Conn*>f.conn
        cdef Tap* tap
        cdef uint64_t part
        if f.parsing == OVER or conn == NULL:
            return
        tap = &conn.taps[is_orig]
        conn.ts = ts
        if f.parsing != PARSED:
            self.drop_carry(tap)
            return
        while tap.skipping:
            part = n if n < tap.skip else tap.skip
            tap.skip_missed += part
            n -= part
            if tap.skip != ALL:
                tap.skip -= part
            if tap.skip or not self.end_skip(f, is_orig) or not self.stays(f) or n == 0:
                return
        self.drop_carry(tap)
        tap.need, tap.waiting = 0, False
        if self.obey(f, (<Parser>conn.parser).gap(conn, is_orig, n)):
            self.stays(f)

    cdef void eof(self, Flow* f, bint is_orig, Time ts) noexcept nogil:
        cdef Conn* conn = <Conn*>f.conn
        if f.parsing == OVER or conn == NULL:
            return
        conn.taps[is_orig].ended = True
        if f.parsing != PARSED:
            return
        conn.ts = ts
        self.end_side_inside(conn, is_orig)
        if conn.taps[is_orig].skipping and not (self.end_skip(f, is_orig) and self.stays(f)):
            return
        if self.obey(f, (<Parser>conn.parser).eof(conn, is_orig)):
            self.stays(f)

    cdef void datagram(self, Flow* f, bint is_orig, const Packet* p) noexcept nogil:
        """One datagram: a feed of its own, with no carry."""
        cdef Verdict verdict
        cdef Conn* conn
        cdef Cursor c
        if f.parsing == OVER or p.captured == 0:
            return
        if self.load >= NO_LARGE and self.is_too_large(f, is_orig):
            return
        if f.parsing != PARSED and not (self.resume(f) if f.parsing == RESTING else self.recognise(f, is_orig, p)):
            return
        conn = <Conn*>f.conn
        conn.ts, conn.segment_bytes, conn.truncated = p.ts, p.claimed, p.captured < p.claimed
        c = cursor(p.payload, p.captured)
        verdict = (<Parser>conn.parser).feed(conn, is_orig, &c)
        if verdict == Verdict.REST:
            self.rest(f)
        else:
            self.obey(f, verdict)

    cdef void rest(self, Flow* f) noexcept nogil:
        """Nothing is kept of the flow but which protocol it is of.

        Trick "resting": a question that was answered leaves 312 bytes behind for the time that its flow is remembered,
        instead of 600; and the next one's parser is warm.
        """
        cdef const Conn* conn = <const Conn*>f.conn
        if conn.weirds == NULL and conn.inner == NULL and f.begun == <uint64_t>1 << conn.protocol:
            self.close(f, FINISHED)
            f.parsing = RESTING

    cdef bint resume(self, Flow* f) noexcept nogil:
        cdef Conn* conn = self.open(f, True)
        if conn == NULL or not self.start(f, lowest_bit(f.begun)):
            return False
        conn.rested = True
        return True

    cdef bint recognise(self, Flow* f, bint is_orig, const Packet* p) noexcept nogil:
        """True when a protocol knows the datagram, and has the flow now.  After a few that nobody knew only those are
        asked that may begin late (DTLS behind STUN).  Nothing is kept of an unknown flow but their number."""
        cdef uint64_t asked = self.recogniser.asked[True]
        cdef int number
        if f.tries >= PROBE_DATAGRAMS:
            asked &= self.recogniser.late
        if not self.may_begin(f, asked):
            return False
        number = self.recogniser.who(f, &asked, is_orig, p.payload, p.captured)
        if number == NOBODY:
            f.tries += 1
            if f.tries == LATE_SEGMENTS:
                f.parsing = OVER
            return False
        return self.open(f, True) != NULL and self.start(f, number)

    cdef void end(self, Flow* f, Reason why, Time ts) noexcept nogil:
        """The flow is over."""
        cdef Conn* conn = <Conn*>f.conn
        if conn != NULL:
            conn.ts = ts
            self.close(f, why)
        f.parsing = OVER

    cdef uint64_t longest_idle(self, uint64_t services, bint datagrams) noexcept nogil:
        cdef uint64_t most = 0
        while services:
            most = max(most, protocol(lowest_bit(services)).idle[datagrams])
            services &= services - 1
        return most

    # ---- whose is it? ----------------------------------------------------------------------------------------------

    cdef Conn* open(self, Flow* f, bint datagrams) noexcept nogil:
        """The parser's half of a flow, with every protocol of its transport as a candidate."""
        cdef Conn* conn
        conn = <Conn*>take_block(sizeof(Conn))
        if conn == NULL:
            f.parsing = OVER
            return NULL
        memset(conn, 0, sizeof(Conn))
        conn.flow, conn.sink, conn.midstream = f, <void*>self.sink, f.partial
        conn.engine, conn.unwrapped = <void*>self, unwrapped
        conn.candidates[0] = conn.candidates[1] = self.recogniser.asked[datagrams]
        conn.protocol, conn.next_protocol = NOBODY, NOBODY
        f.conn, f.parsing = conn, PROBING
        return conn

    cdef bint may_begin(self, Flow* f, uint64_t asked) noexcept nogil:
        """False when nobody is to be asked, for good; where the sensor is behind no flow begins to be parsed."""
        if self.load == NOTHING_NEW and not f.tries:
            self.unparsed += 1
            f.shed, asked = True, 0
        if not asked:
            f.parsing = OVER
        return asked != 0

    cdef void probe(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """Asks the candidates; the first that says yes gets all that was kept, in the order it was said.

        A side that nobody knows is not kept: the other side may still tell (an HTTP server's answer to garbage).
        """
        cdef Conn* conn = <Conn*>f.conn
        cdef Tap* mine = &conn.taps[is_orig]
        cdef int number
        if not conn.spoken[0] and not conn.spoken[1]:
            conn.orig_first = is_orig
        conn.spoken[is_orig] = True
        if not conn.candidates[is_orig]:
            self.probe_late(f, is_orig, p, n)
            return
        if mine.carry.n == 0 and conn.taps[not is_orig].carry.n == 0:
            number = self.recogniser.who(f, &conn.candidates[is_orig], is_orig, p, n)
            if number != NOBODY:
                if self.start(f, number):
                    self.feed(f, is_orig, p, n)
                return
            if conn.candidates[is_orig] and self.keep(f, is_orig, p, n, PROBE_MAX):
                return
        elif mine.carry.n and self.begin_late(f, is_orig, p, n):
            return
        elif self.keep(f, is_orig, p, n, PROBE_MAX):
            number = self.recogniser.who(f, &conn.candidates[is_orig], is_orig, mine.carry.p, <uint32_t>mine.carry.n)
            if number != NOBODY:
                if self.start(f, number):
                    self.run_both(f, conn.orig_first)
                return
        self.give_up_side(f, is_orig)

    cdef void probe_late(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """A side that nobody knows: some protocols begin behind another's greeting, at the start of a segment."""
        cdef Conn* conn = <Conn*>f.conn
        if self.begin_late(f, is_orig, p, n):
            return
        conn.tries += 1
        if conn.tries > LATE_SEGMENTS:
            self.close(f, FINISHED)

    cdef bint begin_late(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """True when one of those begins here to whom what was said before does not belong."""
        cdef Conn* conn = <Conn*>f.conn
        cdef int number = self.recogniser.who_begins(~conn.candidates[is_orig], is_orig, p, n)
        if number == NOBODY:
            return False
        self.drop_carry(&conn.taps[0])
        self.drop_carry(&conn.taps[1])
        if self.start(f, number):
            self.feed(f, is_orig, p, n)
        return True

    cdef void give_up_side(self, Flow* f, bint is_orig) noexcept nogil:
        """When nobody knows what a side says its bytes go."""
        cdef Conn* conn = <Conn*>f.conn
        if conn != NULL and not conn.candidates[is_orig]:
            self.drop_carry(&conn.taps[is_orig])

    cdef bint start(self, Flow* f, int number) noexcept nogil:
        """Makes the parser.  What a side said that this protocol has said no to is not for it."""
        cdef Conn* conn = <Conn*>f.conn
        cdef int side
        for side in range(2):
            if not conn.candidates[side] >> number & 1:
                self.drop_carry(&conn.taps[side])
        conn.parser = take_parser(number, f.proto == IPPROTO_UDP)
        if conn.parser == NULL:
            self.close(f, EVICTED)
            return False
        conn.protocol = <int8_t>number
        self.parsers += 1
        f.parsing = PARSED
        f.begun |= <uint64_t>1 << number
        if not protocol(number).confirms:
            f.services |= <uint64_t>1 << number
        return True

    cdef void run_both(self, Flow* f, bint first) noexcept nogil:
        """Feeds both carries anew, the side ``first`` first."""
        cdef Conn* conn = <Conn*>f.conn
        cdef int turn
        cdef bint side
        for turn in range(2):
            side = first if turn == 0 else not first
            if f.parsing == PARSED and conn.taps[side].carry.n:
                self.feed(f, side, NULL, 0)
        for turn in range(2):
            side = first if turn == 0 else not first
            if f.parsing == PARSED and conn.taps[side].ended:
                self.eof(f, side, conn.ts)

    # ---- feeding ---------------------------------------------------------------------------------------------------

    cdef void feed(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """New bytes of one side; then those of the other that waited for them, and so on while there is progress."""
        cdef Conn* conn = <Conn*>f.conn
        cdef Tap* tap = &conn.taps[is_orig]
        cdef bint moved
        if tap.carry.n == 0 and not tap.waiting:
            moved = self.run(f, is_orig, p, n)
        else:
            if not self.keep(f, is_orig, p, n, protocol(conn.protocol).carry_max + n):
                return
            if tap.waiting:
                return
            moved = self.run(f, is_orig, tap.carry.p, <uint32_t>tap.carry.n)
        while moved and f.parsing == PARSED and conn.taps[not is_orig].waiting:
            is_orig = not is_orig
            tap = &conn.taps[is_orig]
            tap.waiting = False
            moved = self.run(f, is_orig, tap.carry.p, <uint32_t>tap.carry.n)

    cdef bint run(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """Feeds what is there until the parser wants more, waits or ends; keeps the rest.  True: bytes were used."""
        cdef Conn* conn = <Conn*>f.conn
        cdef Tap* tap = &conn.taps[is_orig]
        cdef const uint8_t* start = p
        cdef const uint8_t* end = p + n
        cdef Verdict verdict
        cdef Cursor c
        while True:
            if tap.skipping:
                if tap.skip > <uint64_t>(end - p):
                    tap.skip_seen += end - p
                    if tap.skip != ALL:
                        tap.skip -= end - p
                    p = end
                    break
                tap.skip_seen += tap.skip
                p += tap.skip
                tap.skip = 0
                if not self.end_skip(f, is_orig):
                    return True
                if conn.next_protocol == NOBODY:
                    continue
                if self.leave(f, is_orig, p, <uint32_t>(end - p)):
                    self.switch(f)
                return True
            if p == end or end - p < tap.need:
                break
            tap.need = 0
            c = cursor(p, <uint32_t>(end - p))
            verdict = (<Parser>conn.parser).feed(conn, is_orig, &c)
            if verdict == Verdict.REJECT:
                self.note_rejection(f)
                conn.next_protocol = ANYBODY   # what the parser did not use may be another's
            if conn.next_protocol != NOBODY:
                if self.leave(f, is_orig, c.p, <uint32_t>(end - c.p)):
                    self.switch(f)
                return True
            if not self.obey(f, verdict):
                return True
            tap.waiting = verdict == Verdict.WAIT
            if tap.waiting or (c.p == p and not tap.skipping):
                p = c.p
                break
            p = c.p
        if tap.need > protocol(conn.protocol).carry_max or end - p > protocol(conn.protocol).carry_max:
            weird(conn, b"message_too_long")
            self.obey(f, Verdict.REJECT)
            return True
        self.leave(f, is_orig, p, <uint32_t>(end - p))
        return p > start

    cdef bint leave(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n) noexcept nogil:
        """The carry is now the ``n`` bytes at ``p``, perhaps its own tail.  False: the flow has lost its parser."""
        cdef Tap* tap = &(<Conn*>f.conn).taps[is_orig]
        if tap.carry.p != NULL and tap.carry.p <= p <= tap.carry.p + tap.carry.n and tap.carry.n:
            memmove(tap.carry.p, p, n)
            tap.carry.n = n
            if n == 0:
                self.drop_carry(tap)
            return True
        return self.keep(f, is_orig, p, n, n)

    cdef bint keep(self, Flow* f, bint is_orig, const uint8_t* p, uint32_t n, uint32_t most) noexcept nogil:
        """Adds to the carry.  False: it would be too long, or memory is short, and the flow has lost its parser."""
        cdef Tap* tap = &(<Conn*>f.conn).taps[is_orig]
        cdef size_t before = tap.carry.room
        if n == 0:
            return True
        if self.carried > self.most_carried:
            self.shed += 1
            f.shed = True
            self.close(f, EVICTED)
            return False
        if tap.carry.n + n > most or not reserve(&tap.carry, n):
            if f.parsing == PARSED:
                self.close(f, EVICTED)
            else:
                (<Conn*>f.conn).candidates[is_orig] = 0
            return False
        self.carried += tap.carry.room - before
        append(&tap.carry, p, n)
        return True

    cdef bint obey(self, Flow* f, Verdict verdict) noexcept nogil:
        """True while the parser goes on."""
        if verdict != Verdict.DONE and verdict != Verdict.REJECT:
            return True
        if verdict == Verdict.REJECT:
            self.note_rejection(f)
        self.close(f, FINISHED)
        return False

    cdef void note_rejection(self, Flow* f) noexcept nogil:
        """The parser says that the flow is not its own, or broken: it is no service of it."""
        cdef Conn* conn = <Conn*>f.conn
        self.rejected += 1
        f.failed |= <uint64_t>1 << conn.protocol
        f.services &= ~(<uint64_t>1 << conn.protocol)

    cdef bint end_skip(self, Flow* f, bint is_orig) noexcept nogil:
        """Tells the parser that its skip is over.  True while it goes on."""
        cdef Conn* conn = <Conn*>f.conn
        cdef Tap* tap = &conn.taps[is_orig]
        tap.skipping, tap.skip = False, 0
        return self.obey(f, (<Parser>conn.parser).skipped(conn, is_orig, tap.skip_seen, tap.skip_missed))

    cdef bint stays(self, Flow* f) noexcept nogil:
        """False when the parser has handed the flow over, which is done then."""
        if (<Conn*>f.conn).next_protocol == NOBODY:
            return True
        self.switch(f)
        return False

    cdef void switch(self, Flow* f) noexcept nogil:
        """Another protocol takes over with both carries: the one that was named, or one that knows them."""
        cdef Conn* conn = <Conn*>f.conn
        cdef int number = conn.next_protocol, side
        conn.next_protocol = NOBODY
        conn.switches += 1
        if conn.switches > MOST_SWITCHES or (number != ANYBODY and ~self.recogniser.wanted >> number & 1):
            self.close(f, HANDED_OVER)
            return
        self.end_inside(conn, HANDED_OVER)
        (<Parser>conn.parser).end(conn, HANDED_OVER)
        self.free_parser(conn)
        for side in range(2):
            conn.taps[side].skipping = conn.taps[side].waiting = conn.spoken[side] = False
            conn.taps[side].need = 0
            conn.candidates[side] = self.recogniser.asked[False]
        f.parsing = PROBING
        if number == ANYBODY:
            for side in range(2):
                if number == ANYBODY and conn.taps[side].carry.n:
                    conn.spoken[side] = True
                    number = self.recogniser.who(f, &conn.candidates[side], side, conn.taps[side].carry.p,
                                                 <uint32_t>conn.taps[side].carry.n)
                    number = ANYBODY if number == NOBODY else number
        if number != ANYBODY:
            if self.start(f, number):
                self.run_both(f, True)
            return
        self.give_up_side(f, False)
        self.give_up_side(f, True)

    cdef void close(self, Flow* f, Reason why) noexcept nogil:
        """Ends the parser and frees its half of the flow."""
        cdef Conn* conn = <Conn*>f.conn
        f.parsing = OVER
        if conn == NULL:
            return
        self.end_inside(conn, why)
        if conn.parser != NULL:
            (<Parser>conn.parser).end(conn, why)
            self.free_parser(conn)
        self.drop_carry(&conn.taps[0])
        self.drop_carry(&conn.taps[1])
        give_block(conn.weirds, sizeof(Weirds))
        f.conn = NULL
        give_block(conn, sizeof(Conn))

    # ---- streams inside of streams ---------------------------------------------------------------------------------
    # The flow lends its place to the inner half, which is dispatched as any other, and has it back afterwards.

    cdef bint inside(self, Conn* outer, bint is_orig, const uint8_t* p, uint32_t n, uint64_t lost) noexcept nogil:
        """What a parser has unwrapped.  False when nobody wants more."""
        cdef Flow* f = outer.flow
        if outer.inner_parsing == OVER:
            return False
        f.conn, f.parsing = outer.inner, outer.inner_parsing
        if outer.inner == NULL:
            self.open_inside(f, outer)
        if n:
            self.data(f, is_orig, p, n, outer.ts)
        if lost:
            self.lost(f, is_orig, lost, outer.ts)
        self.give_back(f, outer)
        return outer.inner_parsing != OVER

    cdef void open_inside(self, Flow* f, Conn* outer) noexcept nogil:
        """Only so deep."""
        cdef Conn* conn
        outer.services = f.services
        if outer.switches == MOST_SWITCHES:
            f.parsing = OVER
            return
        conn = self.open(f, False) if self.may_begin(f, self.recogniser.asked[False]) else NULL
        if conn != NULL:
            conn.switches, conn.outer = outer.switches + 1, outer

    cdef void give_back(self, Flow* f, Conn* outer) noexcept nogil:
        """What the outer protocols are stays so, whatever was found inside."""
        outer.inner, outer.inner_parsing = <Conn*>f.conn, f.parsing
        f.conn, f.parsing = outer, PARSED
        f.services |= outer.services
        f.failed &= ~outer.services

    cdef void end_side_inside(self, Conn* outer, bint is_orig) noexcept nogil:
        """The FIN of a stream is that of the stream inside, too."""
        cdef Flow* f = outer.flow
        if outer.inner != NULL:
            f.conn, f.parsing = outer.inner, outer.inner_parsing
            self.eof(f, is_orig, outer.ts)
            self.give_back(f, outer)

    cdef void end_inside(self, Conn* outer, Reason why) noexcept nogil:
        cdef Flow* f = outer.flow
        cdef uint8_t parsing = f.parsing
        if outer.inner != NULL:
            outer.inner.ts = outer.ts
            f.conn = outer.inner
            self.close(f, why)
            outer.inner = NULL
            f.conn, f.parsing = outer, parsing
        outer.inner_parsing = UNDECIDED

    # ---- memory ----------------------------------------------------------------------------------------------------

    cdef void drop_carry(self, Tap* tap) noexcept nogil:
        self.carried -= tap.carry.room
        free(tap.carry.p)
        tap.carry.p, tap.carry.n, tap.carry.room = NULL, 0, 0

    cdef void free_parser(self, Conn* conn) noexcept nogil:
        give_parser(conn.parser, conn.protocol, conn.flow.proto == IPPROTO_UDP)
        conn.parser = NULL
        self.parsers -= 1


cdef inline bint swallow(Conn* conn, bint is_orig, uint32_t n) noexcept nogil:
    """True for bytes in the midst of a skip, for which nobody waits: that is most of a body's."""
    cdef Tap* tap = &conn.taps[is_orig]
    if not tap.skipping or tap.skip <= n or tap.carry.n or tap.waiting or conn.taps[not is_orig].waiting:
        return False
    tap.skip_seen += n
    if tap.skip != ALL:
        tap.skip -= n
    return True


cdef bint unwrapped(Conn* outer, bint is_orig, const uint8_t* p, uint32_t n, uint64_t lost) noexcept nogil:
    """``unwrap`` and ``unwrap_lost`` of the contract."""
    return (<Dispatch>outer.engine).inside(outer, is_orig, p, n, lost)
