"""The contract of a parser, and what the engine gives it."""
from libc.stdint cimport int8_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport strcmp

from cext.buffer cimport Buffer
from cext.cursor cimport Cursor
from cext.flow cimport Flow, flip
from cext.pool cimport take_block
from cext.record cimport Draft, Layout, Record, Schema, unfold
from cext.types cimport Addr, Flag, Span, Time

cdef enum Match:
    MAYBE                          # not enough bytes to tell
    YES
    NO

cdef enum Verdict:
    MORE                           # go on
    WAIT                           # not before the other side has spoken
    REST                           # go on, over datagrams with a new parser: this one has nothing left to say
    DONE                           # finished with this flow
    REJECT                         # not my protocol, or its framing is lost

cdef enum Reason:                  # why a flow or its parsing ends
    FINISHED, RESET_BY_PEER, TIMED_OUT, EVICTED, SHUTDOWN, HANDED_OVER

cdef enum:
    CARRY_MAX = 32768              # unread bytes that the engine keeps for a parser, by default
    MOST_PROTOCOLS = 64            # one bit each in Flow.services
    MOST_WEIRDS = 16               # names of oddities that are told of one flow
    NOBODY = -1
    ANYBODY = -2                   # hand_over: ask all protocols again

cdef extern from *:
    """
    static const uint64_t CLOUDMRI_ALL = ~(uint64_t)0;
    """
    const uint64_t ALL "CLOUDMRI_ALL"   # skip: all that will ever come


cdef struct Tap:                   # what the engine keeps of one direction of a parsed flow
    Buffer carry                   # what the parser left, and what came behind it
    uint64_t skip                  # bytes yet to be swallowed
    uint64_t skip_seen
    uint64_t skip_missed
    uint32_t need                  # do not call before so many bytes are there
    Flag waiting                   # the parser said WAIT
    Flag skipping
    Flag ended                     # the FIN was reached


cdef struct Weirds:
    const char* names[MOST_WEIRDS]


ctypedef bint (*Unwrapped)(Conn* outer, bint is_orig, const uint8_t* p, uint32_t n, uint64_t lost) noexcept nogil


cdef struct Conn:                  # what a parser may see of its flow
    Flow* flow
    Time ts                        # of the packet whose bytes are fed
    uint32_t segment_bytes         # of the TCP segment, or datagram, that they came in
    Flag truncated                 # a datagram of which the copy lacks the end
    Flag midstream                 # the flow's first bytes were not seen
    Flag rested                    # a parser before this one said REST
    # the engine's own
    uint8_t inner_parsing          # dispatch's Parsing of the stream inside
    Flag orig_first                # which side spoke first while it was not known who parses
    Flag spoken[2]
    uint8_t tries                  # segments of an unknown flow that were looked at
    uint8_t switches               # times that another protocol took over
    int8_t protocol
    int8_t next_protocol           # set by hand_over
    uint8_t weird_count
    void* sink                     # Sink, borrowed
    void* engine                   # Dispatch, borrowed
    Unwrapped unwrapped            # the engine's answer to unwrap
    Conn* inner                    # the stream inside of this one, owned
    Conn* outer                    # the stream that this one is inside of, or NULL
    uint64_t services              # Flow.services when it began
    void* parser                   # Parser, owned
    uint64_t candidates[2]         # protocols that what a side has said may still be, by is_orig
    Weirds* weirds                 # names that were told of this flow; NULL: none
    Tap taps[2]                    # by is_orig


cdef class Parser:
    """One flow's parser; made with all fields zero.  Every answer has a default but ``feed``.  What it keeps besides
    Python objects is freed in ``end``: it is not sure to be deallocated as an object is."""
    cdef Match probe(self, bint is_orig, Cursor c) noexcept nogil
    cdef Verdict feed(self, Conn* conn, bint is_orig, Cursor* c) noexcept nogil
    cdef Verdict gap(self, Conn* conn, bint is_orig, uint64_t n) noexcept nogil
    cdef Verdict skipped(self, Conn* conn, bint is_orig, uint64_t seen, uint64_t missed) noexcept nogil
    cdef Verdict eof(self, Conn* conn, bint is_orig) noexcept nogil
    cdef void end(self, Conn* conn, Reason why) noexcept nogil


cdef enum Policy:                  # what the operator wants, one bit each
    SECRETS = 1                    # secret fields are written
    SQL_SHAPES = 2                 # of SQL only its shape: no literal leaves the sensor
    HTTP_HEADERS = 4               # all headers with their values
    HTTP_SHA256 = 8                # hashes of bodies


cdef class Sink:
    """Where records go.  The one that writes them is made by the worker."""
    cdef uint32_t policy           # of Policy
    cdef bint behind               # more comes than can be read: bodies are not looked at
    cdef uint64_t spared           # bodies that were not
    cdef uint64_t lost             # records that there was no memory for
    cdef void write(self, Conn* conn, const Layout* layout, Record* r) noexcept nogil
    cdef void weird(self, Conn* conn, const char* name) noexcept nogil
    cdef uint32_t ask(self, const char* kind, const uint8_t* p, uint32_t n, uint8_t* answer,
                      uint32_t room) noexcept nogil
    cdef bint is_local(self, const uint8_t* addr) noexcept nogil
    cdef bint is_news(self, const uint8_t* key, uint32_t n, Time ts) noexcept nogil
    cdef void write_alone(self, const Layout* layout, Record* r) noexcept nogil


cdef struct Protocol:              # arrays by "is it over datagrams?"
    const char* name
    uint16_t ports[16]
    int port_count
    bint confirms                  # its parser says when it is sure; else it is as soon as it is recognised
    bint late                      # may begin behind another protocol's greeting: STARTTLS, SOCKS
    uint32_t carry_max
    uint64_t idle[2]               # seconds that a recognised flow may be silent; 0: as any other
    void* prototype[2]             # Parser that answers probe, borrowed; NULL where the transport is not its own
    void* kind[2]                  # the class, borrowed
    size_t size[2]                 # bytes of a parser that is made by copying its prototype, which is all zero; or 0


cdef Protocol* protocol(int number) noexcept nogil
cdef int protocol_count() noexcept nogil
cdef int find_protocol(const char* name) noexcept nogil
cdef void* take_parser(int number, bint datagrams) noexcept nogil
cdef void give_parser(void* parser, int number, bint datagrams) noexcept nogil


cdef inline void skip(Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
    """Swallows ``n`` bytes from the cursor on, without a call; a gap inside them is none.  ALL: to the end."""
    cdef Tap* tap = &conn.taps[is_orig]
    tap.skip, tap.skip_seen, tap.skip_missed, tap.skipping = n, 0, 0, n > 0


cdef inline void need(Conn* conn, bint is_orig, uint32_t n) noexcept nogil:
    """No call before ``n`` bytes are there: a large message in small segments stays linear."""
    conn.taps[is_orig].need = n


cdef inline void hand_over(Conn* conn, int number) noexcept nogil:
    """After this call the flow belongs to another protocol, or to whoever knows it (ANYBODY)."""
    conn.next_protocol = number


cdef inline bint unwrap(Conn* conn, bint is_orig, Span s) noexcept nogil:
    """Bytes of a stream inside of this one, whose protocol the engine finds.  False: nobody wants more of it."""
    return conn.unwrapped(conn, is_orig, s.p, s.n, 0)


cdef inline bint unwrap_lost(Conn* conn, bint is_orig, uint64_t n) noexcept nogil:
    """The same for ``n`` bytes that are missing there."""
    return conn.unwrapped(conn, is_orig, NULL, 0, n)


cdef inline void confirm(Conn* conn) noexcept nogil:
    """Both sides have said what the protocol asks of them: the flow is this ``service`` now."""
    conn.flow.services |= <uint64_t>1 << conn.protocol


cdef inline void confirm_also(Conn* conn, int number) noexcept nogil:
    """The same for another protocol that this one carries: TLS inside of QUIC."""
    if number != NOBODY:
        conn.flow.begun |= <uint64_t>1 << number
        conn.flow.services |= <uint64_t>1 << number


cdef inline void flip_roles(Conn* conn) noexcept nogil:
    """The sender is the responder after all: for datagrams, from within ``feed``."""
    flip(conn.flow)


cdef inline void emit(Conn* conn, Schema schema, Record* r) noexcept nogil:
    """Writes a record.  ``ts``, ``uid``, ``id`` and the envelope are filled in."""
    r.ts = conn.ts
    (<Sink>conn.sink).write(conn, &schema.layout, r)


cdef inline void emit_at(Conn* conn, Schema schema, Record* r, Time ts) noexcept nogil:
    """The same for something that began earlier."""
    r.ts = ts
    (<Sink>conn.sink).write(conn, &schema.layout, r)


cdef inline void emit_draft(Conn* conn, Draft* d) noexcept nogil:
    """Writes a draft; its ``record.ts`` is the time."""
    if unfold(d):
        (<Sink>conn.sink).write(conn, d.layout, d.record)
    else:
        (<Sink>conn.sink).lost = (<Sink>conn.sink).lost + 1


cdef inline void emit_alone(Conn* conn, Schema schema, Record* r) noexcept nogil:
    """Writes a record that belongs to no flow, such as a certificate's."""
    r.ts = conn.ts
    (<Sink>conn.sink).write_alone(&schema.layout, r)


cdef inline bint is_news(Conn* conn, Span key) noexcept nogil:
    """False when the same key was asked about less than a day ago, in the time of the packets."""
    return (<Sink>conn.sink).is_news(key.p, key.n, conn.ts)


cdef inline void weird(Conn* conn, const char* name) noexcept nogil:
    """Odd enough to tell.  Written once a flow and name at most, and so many names of a flow."""
    cdef Conn* told = conn
    cdef uint32_t i
    while told.outer != NULL:      # the outermost has the list of the flow
        told = told.outer
    for i in range(told.weird_count):
        if told.weirds.names[i] == name or strcmp(told.weirds.names[i], name) == 0:
            return
    if told.weirds == NULL:
        told.weirds = <Weirds*>take_block(sizeof(Weirds))
    if told.weirds == NULL or told.weird_count == MOST_WEIRDS:
        return
    told.weirds.names[told.weird_count] = name
    told.weird_count += 1
    (<Sink>conn.sink).weird(conn, name)


cdef inline bint is_local(Conn* conn, const Addr* a) noexcept nogil:
    """True for an address of the operator's own networks."""
    return (<Sink>conn.sink).is_local(&a.b[0])


cdef inline uint32_t policy(Conn* conn) noexcept nogil:
    """The operator's wishes, bits of Policy."""
    return (<Sink>conn.sink).policy


cdef inline bint is_behind(Conn* conn) noexcept nogil:
    """True while more comes than can be read: what is costly and not needed for a record is left out (spare)."""
    return (<Sink>conn.sink).behind


cdef inline void spare(Conn* conn) noexcept nogil:
    """A body was left out: counted, and told in the flow's conn record."""
    (<Sink>conn.sink).spared = (<Sink>conn.sink).spared + 1
    conn.flow.shed = True


cdef inline uint32_t ask(Conn* conn, const char* kind, Span s, uint8_t* answer, uint32_t room) noexcept nogil:
    """The one way to something heavy in Python, such as a digest.  Bytes of the answer; 0 when there is none."""
    return (<Sink>conn.sink).ask(kind, s.p, s.n, answer, room)
