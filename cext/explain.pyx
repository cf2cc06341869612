"""One packet, room by room: for ``cloudmri replay --explain``."""
from libc.string cimport memset

from cext.decap cimport MOST_STEPS, Step
from cext.flow cimport Flow
from cext.packet cimport HAS_GENEVE, HAS_VANTAGE, HAS_VXLAN, IPPROTO_TCP, Envelope, Frame, Packet
from cext.parser cimport NOBODY, Conn, protocol
from cext.pcap cimport Capture

from cext.types cimport NEVER
from cext.worker cimport Worker

from cext.layers import DROP_NAMES, LAYER_NAMES

PARSING = ("undecided", "probing", "parsed", "resting", "over")
END_STATES = ("INACTIVE", "SYN_SENT", "SYN_ACK_SENT", "PARTIAL", "ESTABLISHED", "CLOSED", "RESET")


def explain(Worker worker, Capture capture):
    """Takes the capture's next frame through the worker; a dict of what each room made of it, or None at the end.

    Keys: ``frame``, ``decap``, then ``dropped`` or ``packet``, ``before`` and ``after`` (the flow).
    """
    cdef Step steps[MOST_STEPS]
    cdef Frame frame
    cdef Packet p
    cdef bint is_orig = False, admitted
    if capture.fill(&frame, 1, NEVER) == 0:
        return None
    memset(&p, 0, sizeof(p))
    said = {"frame": {"ts": frame.ts, "captured": frame.captured, "link": frame.link}}
    drops = worker.counters()
    worker.decap.steps = steps
    admitted = worker.intake.admit(&frame, &p)
    worker.decap.steps = NULL
    said["decap"] = [(LAYER_NAMES[<int>steps[i].layer], steps[i].offset) for i in range(worker.decap.step_count)]
    if not admitted:
        now = worker.counters()
        said["dropped"] = next((name, doc) for name, doc in DROP_NAMES if now[f"drop_{name}"] > drops[f"drop_{name}"])
    else:
        said["envelope"] = envelope_of(&worker.decap.envelopes[p.envelope])
        said["packet"] = {
            "src": (<const char*>p.src.b)[:16], "dst": (<const char*>p.dst.b)[:16], "sport": p.sport, "dport": p.dport,
            "proto": p.proto, "flags": p.flags if p.proto == IPPROTO_TCP else None, "seq": p.seq, "ack": p.ack,
            "captured": p.captured, "claimed": p.claimed, "ip_bytes": p.ip_bytes, "tunnel_depth": p.tunnel_depth}
        said["before"] = flow_of(worker, worker.flows.find(&p, &is_orig), is_orig)
        worker.take(&p)
        said["after"] = flow_of(worker, worker.flows.find(&p, &is_orig), is_orig)
    worker.decap.end_batch()
    worker.flows.move_clock(worker.intake.now)
    worker.expire()
    return said


cdef dict envelope_of(const Envelope* e):
    said = {}
    if e.has & HAS_VXLAN:
        said["vxlan_vni"] = e.vxlan_vni
    if e.has & HAS_GENEVE:
        said["geneve_vni"] = e.geneve_vni
    if e.has & HAS_VANTAGE:
        said["vantage"] = (<const char*>e.vantage.b)[:16]
    return said


cdef flow_of(Worker worker, Flow* f, bint is_orig):
    """What the flow's rooms hold, seen from the side that sent the packet; None where there is no flow."""
    cdef Conn* conn
    cdef unsigned char uid[18]
    if f == NULL:
        return None
    conn = <Conn*>f.conn
    worker.writer.uid(f, f.uid_tenant, f.first, uid)
    said = {
        "uid": (<const char*>uid)[:18].decode(), "is_orig": is_orig, "history": f.history[:f.history_size].decode(),
        "packets": f.ends[is_orig].packets, "parsing": PARSING[f.parsing],
        "services": [protocol(i).name.decode() for i in range(64) if f.services >> i & 1],
        "twins": f.twins}
    if f.proto == IPPROTO_TCP:
        said |= {"state": END_STATES[f.side[is_orig].state], "next": f.side[is_orig].next, "last": f.ends[is_orig].last,
                 "held_bytes": f.side[is_orig].held_bytes, "missed": f.side[is_orig].missed,
                 "waits": bool(f.side[is_orig].waits)}
    if conn != NULL:
        said |= {"parser": None if conn.protocol == NOBODY else protocol(conn.protocol).name.decode(),
                 "carry": conn.taps[is_orig].carry.n, "skipping": bool(conn.taps[is_orig].skipping),
                 "skip": conn.taps[is_orig].skip, "need": conn.taps[is_orig].need}
    return said
