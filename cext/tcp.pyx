"""What the TCP headers of both sides add up to: sequence spaces, states, history (RFC 9293).

States, history letters and byte counts are Zeek's, so that ``conn_state`` and ``history`` mean what its users know.
Numbers are relative to the initial sequence number, which is 0, and 64 bits wide: a wrap is no event.

    INACTIVE → SYN_SENT → ESTABLISHED → CLOSED        a side that began with its SYN
    INACTIVE → PARTIAL ─────────────────→ CLOSED      one picked up in the middle
                            (any) ──→ RESET
"""
from libc.stdint cimport int32_t, uint8_t

from cext.flow cimport (CLOSED, ESTABLISHED, INACTIVE, MARK_ACK, MARK_DATA, MARK_FIN, MARK_FIN_RST, MARK_MULTI,
                        MARK_RST, MARK_SYN, PARTIAL, RESET, SYN_ACK_SENT, SYN_SENT, End, EndState, flip, note,
                        note_once, note_scaled)
from cext.packet cimport ACK, FIN, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, RST, SYN

cdef enum:
    LARGEST_WINDOW = 1073741824    # 2^30 (RFC 7323, 2.2): no acknowledgement is further ahead of what was seen
    RESET_IS_OVER = 100000000      # ns after a reset from which on a SYN is another connection's (Zeek)


cdef void take_any(Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil:
    cdef Side* me = &f.side[is_orig]
    cdef uint32_t size = segment_size(p)
    cdef int64_t at
    cdef uint8_t flips = f.flips
    set_partial(f, p, is_orig)
    begin_side(f, is_orig, p, size)
    at = relative(me, f.ends[is_orig].last, p.seq)
    turn.usable = at >= 0 and not p.flags & RST
    turn.acks = 0
    write_history(f, is_orig, p, <uint32_t>at)
    watch_window(f, is_orig, p)
    if not f.side[0].closed or not f.side[1].closed:
        f.last = p.ts if p.ts > f.last else f.last
    if p.flags & FIN and at >= 0:
        me.fin = <uint64_t>at + size
    if p.flags & ACK:
        turn.acks = take_ack(f, is_orig, p)
    note_progress(f, is_orig, p, at + size)
    turn.closing = advance_state(f, p, is_orig)
    turn.is_orig = is_orig if f.flips == flips else not is_orig
    f.first_seen |= 1 << turn.is_orig
    turn.at = at + (1 if p.flags & SYN else 0)


cdef void locate(const Flow* f, const Packet* p, bint is_orig, Turn* turn) noexcept nogil:
    """Where a twin's payload belongs: nothing is booked."""
    cdef const Side* me = &f.side[is_orig]
    cdef const Side* peer = &f.side[not is_orig]
    cdef int64_t at = relative(me, f.ends[is_orig].last, p.seq), acks = relative(peer, peer.acked, p.ack)
    turn.at = at + (1 if p.flags & SYN else 0)
    turn.is_orig = is_orig
    turn.usable = at >= 0 and me.state != INACTIVE and not p.flags & RST
    turn.acks = acks if p.flags & ACK and acks > 0 and peer.state != INACTIVE else 0
    turn.closing = False


cdef inline uint32_t segment_size(const Packet* p) noexcept nogil:
    """Sequence space that a packet takes: SYN and FIN count as a byte, the data of a reset does not count."""
    return (0 if p.flags & RST else p.claimed) + (1 if p.flags & SYN else 0) + (1 if p.flags & FIN else 0)


cdef inline int64_t relative(const Side* s, uint64_t near, uint32_t seq) noexcept nogil:
    """A sequence number on the wire as a relative one, taken as near as can be to ``near``."""
    return <int64_t>near + <int32_t>(seq - s.start - <uint32_t>near)


cdef void set_partial(Flow* f, const Packet* p, bint is_orig) noexcept nogil:
    if (f.first_seen >> is_orig) & 1:
        return
    if is_orig:
        f.partial = not p.flags & SYN or p.flags & ACK != 0
    elif not f.partial:
        f.partial = not p.flags & SYN


cdef void restart(Flow* f, bint is_orig, uint32_t start, uint64_t last) noexcept nogil:
    cdef Side* s = &f.side[is_orig]
    f.ends[is_orig].last = last
    s.start = start
    s.acked = 0
    s.next = 1


cdef void begin_side(Flow* f, bint is_orig, const Packet* p, uint32_t size) noexcept nogil:
    """Sets the initial sequence number: the SYN's, or one before the first byte seen."""
    cdef const Side* s = &f.side[is_orig]
    cdef bint syn = p.flags & SYN
    if s.state == INACTIVE:
        if syn:
            restart(f, is_orig, p.seq, size)
        else:
            restart(f, is_orig, p.seq - 1, 1)
    elif not syn or p.seq == s.start:
        return
    elif s.state == RESET:
        if s.before == INACTIVE:   # its reset may have been forged
            restart(f, is_orig, p.seq, size)
    elif s.state != CLOSED:
        restart(f, is_orig, p.seq, size)    # the connection did not come about before; this SYN is the one that counts


cdef void write_history(Flow* f, bint is_orig, const Packet* p, uint32_t at) noexcept nogil:
    cdef Side* s = &f.side[is_orig]
    cdef uint32_t control = p.flags & (SYN | FIN | RST)
    cdef char letter
    if control == 0:
        if p.claimed:
            note_once(f, is_orig, MARK_DATA, c'D')
        elif p.flags & ACK:
            note_once(f, is_orig, MARK_ACK, c'A')
    elif control == SYN:
        letter = c'H' if p.flags & ACK else c'S'
        if note_once(f, is_orig, MARK_SYN, letter) and s.syn_at != at:
            note(f, is_orig, letter)
        s.syn_at = at
    elif control == FIN:
        if note_once(f, is_orig, MARK_FIN, c'F') and s.fin_at != at + p.claimed:
            note(f, is_orig, c'F')
        s.fin_at = at + p.claimed
    elif control == RST:
        if note_once(f, is_orig, MARK_RST, c'R') and s.rst_at != at:
            note(f, is_orig, c'R')
        s.rst_at = at
    elif control & FIN and control & RST:
        note_once(f, is_orig, MARK_FIN_RST, c'I')
    else:
        note_once(f, is_orig, MARK_MULTI, c'Q')


cdef void watch_window(Flow* f, bint is_orig, const Packet* p) noexcept nogil:
    """A zero window is of interest unless a reset, or the other side's FIN, has made it moot."""
    if (p.window == 0 and not p.flags & RST and f.side[not is_orig].state != CLOSED
            and f.side[is_orig].state != RESET):
        note_scaled(f, is_orig, c'W', &f.side[is_orig].zero_windows)


cdef uint64_t take_ack(Flow* f, bint is_orig, const Packet* p) noexcept nogil:
    """What the packet acknowledges.  A side that is not seen yet begins where it is acknowledged."""
    cdef Side* peer = &f.side[not is_orig]
    cdef int64_t acks
    if peer.state == INACTIVE:
        restart(f, not is_orig, p.ack - 1, 0)
        return 1
    acks = relative(peer, peer.acked, p.ack)
    if acks < 0:
        return 0
    if <uint64_t>acks > f.ends[not is_orig].last + LARGEST_WINDOW:
        return 0
    if p.ack == 0 and <uint64_t>acks > peer.acked + TRUSTED_JUMP:
        return 0                   # an empty field rather than a large connection that has come to 0
    if not p.flags & RST and <uint64_t>acks > peer.acked:
        peer.acked = acks
    return acks


cdef void note_progress(Flow* f, bint is_orig, const Packet* p, int64_t end) noexcept nogil:
    """Moves the highest byte seen, or notes a retransmission."""
    cdef End* s = &f.ends[is_orig]
    cdef int64_t ahead = end - <int64_t>s.last
    if p.flags & (SYN | RST) and (ahead > TRUSTED_JUMP or ahead < -TRUSTED_JUMP):
        return
    if p.flags & FIN and s.last == 1 and end > 0:
        s.last = end
    elif f.side[is_orig].state == RESET:
        return
    elif ahead > 0:
        s.last = end
    elif p.claimed:
        note_scaled(f, is_orig, c'T', &s.retransmits)


cdef inline void enter(Side* s, EndState state) noexcept nogil:
    if s.state != state:
        s.before = s.state
        s.state = state


cdef bint advance_state(Flow* f, const Packet* p, bint is_orig) noexcept nogil:
    """Zeek's state machine.  True when the flow has come to its end and only lingers."""
    cdef Side* me = &f.side[is_orig]
    cdef Side* peer = &f.side[not is_orig]
    cdef bint close = False
    if me.state == INACTIVE:
        close = from_inactive(f, p, is_orig)
        me, peer = &f.side[is_orig], &f.side[not is_orig]
    elif me.state == SYN_SENT or me.state == SYN_ACK_SENT:
        if p.flags & FIN:
            enter(me, CLOSED)
        if p.flags & RST:
            enter(me, RESET)
        close = p.flags & (FIN | RST)
    elif me.state == ESTABLISHED or me.state == PARTIAL:
        close = from_established(me, peer, p)
    elif me.state == CLOSED and p.flags & RST and peer.state != CLOSED:
        enter(me, RESET)
        close = not me.closed
    if not close or me.closed:
        return False
    me.closed = True
    return me.state == RESET or peer.closed or peer.state == INACTIVE


cdef bint from_inactive(Flow* f, const Packet* p, bint is_orig) noexcept nogil:
    cdef Side* me = &f.side[is_orig]
    cdef Side* peer = &f.side[not is_orig]
    if p.flags & SYN:
        if is_orig:
            enter(me, SYN_ACK_SENT if p.flags & ACK else SYN_SENT)
        elif not p.flags & ACK and peer.state == SYN_ACK_SENT and p.seq == me.start:
            flip(f)                # the SYN came after its answer
            f.partial = False
            enter(&f.side[False], ESTABLISHED)
            enter(&f.side[True], ESTABLISHED)
        else:
            if peer.state == SYN_SENT:
                enter(peer, ESTABLISHED)
            enter(me, ESTABLISHED)
    if p.flags & FIN:
        enter(me, CLOSED)
    if p.flags & RST:
        enter(me, RESET)
    if me.state == INACTIVE:       # no flag that tells
        if not is_orig and p.claimed == 0 and peer.state == SYN_SENT:
            pass                   # an acknowledgement ahead of the SYN's answer
        elif p.flags & ACK and peer.state == ESTABLISHED:
            enter(me, ESTABLISHED)  # only its SYN was missed
            f.partial = False
        else:
            enter(me, PARTIAL)
    return p.flags & (FIN | RST)


cdef bint from_established(Side* me, Side* peer, const Packet* p) noexcept nogil:
    if p.flags & SYN and me.state == PARTIAL and peer.state == INACTIVE and not p.flags & ACK:
        enter(me, SYN_SENT)
    if p.flags & FIN and not p.flags & RST:
        enter(me, CLOSED)
        if peer.state == RESET and peer.before == CLOSED:
            enter(peer, CLOSED)    # a FIN and then a reset: it was a normal end after all
    if p.flags & RST:
        enter(me, RESET)
    return p.flags & (FIN | RST)


cdef bint begins_anew(const Flow* f, const Packet* p) noexcept nogil:
    """True when a SYN on a known four-tuple opens another connection."""
    cdef const Side* orig = &f.side[True]
    cdef const Side* resp = &f.side[False]
    cdef const Side* first = orig
    if not p.flags & SYN:
        return False
    if p.flags & ACK:
        if orig.state != INACTIVE:
            return False
        first = resp
    if is_closed(orig) and is_closed(resp):
        return True
    if (orig.state == RESET or resp.state == RESET) and p.ts - f.last > RESET_IS_OVER:
        return True
    if p.seq == first.start:
        return False
    return not (not p.flags & ACK and first.state == SYN_ACK_SENT and resp.state == INACTIVE and p.seq == resp.start)


cdef inline bint is_closed(const Side* s) noexcept nogil:
    return s.state == CLOSED or s.state == RESET or s.state == INACTIVE


cdef uint64_t stream_bytes(const Flow* f, bint is_orig) noexcept nogil:
    """Payload bytes by sequence numbers, SYN and FIN not counted."""
    cdef const Side* me = &f.side[is_orig]
    cdef uint64_t last = f.ends[is_orig].last, size = last if last > me.acked else me.acked
    if f.proto in (IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6):
        return last
    if f.proto != IPPROTO_TCP:
        return 0                   # what is payload of another transport is not known (Zeek)
    if me.before == SYN_SENT and me.state == RESET and f.side[not is_orig].state == INACTIVE and me.acked > 1:
        return 0                   # a half-open connection was found and aborted: its numbers mislead
    if size:
        size -= 1
    if me.fin and size:
        size -= 1
    return size


cdef bint clean(const Flow* f) noexcept nogil:
    """Both sides are established, or were when they closed: gaps are then real."""
    cdef int i
    for i in range(2):
        if f.side[i].state != ESTABLISHED and not (f.side[i].state == CLOSED and f.side[i].before == ESTABLISHED):
            return False
    return True


cdef const char* conn_state(const Flow* f) noexcept nogil:
    """Zeek's summary of how a connection went."""
    if f.proto == IPPROTO_TCP:
        return tcp_conn_state(f)
    if f.proto == IPPROTO_UDP:
        if f.ends[True].packets:
            return b"SF" if f.ends[False].packets else b"S0"
        return b"SHR" if f.ends[False].packets else b"OTH"
    return b"OTH"


cdef const char* tcp_conn_state(const Flow* f) noexcept nogil:
    cdef const Side* o = &f.side[True]
    cdef const Side* r = &f.side[False]
    cdef bint orig_idle = o.state == INACTIVE or o.state == PARTIAL
    cdef bint resp_idle = r.state == INACTIVE or r.state == PARTIAL
    if r.state == RESET:
        if o.state == SYN_SENT or o.state == SYN_ACK_SENT or (
                o.state == RESET and stream_bytes(f, True) == 0 and stream_bytes(f, False) == 0):
            return b"REJ"
        return b"RSTRH" if orig_idle else b"RSTR"
    if o.state == RESET:
        if o.before == INACTIVE and r.state == INACTIVE:
            return b"OTH"          # nothing was there to reset
        return b"RSTOS0" if resp_idle else b"RSTO"
    if r.state == CLOSED and o.state == CLOSED:
        return b"SF"
    if o.state == CLOSED:
        return b"SH" if resp_idle else b"S2"
    if r.state == CLOSED:
        return b"SHR" if orig_idle else b"S3"
    if o.state == SYN_SENT and r.state == INACTIVE:
        return b"S0"
    return b"S1" if o.state == ESTABLISHED and r.state == ESTABLISHED else b"OTH"
