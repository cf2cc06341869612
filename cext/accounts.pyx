"""What a worker counts: the names, where each is counted, and what was counted before it.

A counter is a field of the room whose it is; here stands its address.  Live, all that was counted up to the end of a
block is booked together; of a replay, nothing is booked.
"""
from cext.layers import DROP_NAMES
from cext.ledger cimport Page
from cext.record cimport Record, Schema, clear, put_number

cdef Schema STATS = Schema("stats", "What the sensor did, and what it could not use.")

COUNTERS = (
    ("packets", "Frames read."),
    ("bytes", "Bytes of them that were captured."),
    ("flow_packets", "Packets that became a flow's."),
    ("flows", "Flows begun."),
    ("flows_peak", "Most flows at a time."),
    ("flows_evicted", "Flows ended early because the table was full."),
    ("twin_packets", "Packets that another vantage had shown already."),
    ("twin_flows", "Flows that another tenant's mirror session had shown already."),
    ("twins_forgotten", "Flows whose twin could not be found any more: too many were begun at a time."),
    ("gaps", "Holes in TCP streams that were given up."),
    ("missed_bytes", "Bytes in them."),
    ("reorder_shed", "Holes given up early for want of memory."),
    ("parsers_rejected", "Flows whose parser found them to be something else, or broken."),
    ("parsers_shed", "Flows that lost their parser for want of memory."),
    ("bodies_shed", "Bodies that were not looked at because more came than could be read."),
    ("large_flows_shed", "Large flows that lost their parser because far more came than could be read."),
    ("flows_unparsed", "Flows that were never parsed because nearly all room for waiting packets was taken."),
    ("parsers_refused", "Times that a parser was refused memory of its own: the budget of all was spent."),
    ("python_calls", "Questions put to Python: digests and the like."),
    ("records_lost", "Records that could not be encoded for want of memory."),
    ("cut_copies", "Packets whose copy is shorter than their IP length says."),
    ("datagrams_reassembled", "Datagrams put together from fragments."),
    ("datagrams_evicted", "Unfinished datagrams that gave way to newer ones."),
    ("datagrams_expired", "Datagrams whose fragments did not all come in time."),
    ("envelopes", "Different mirror envelopes seen; plain traffic is one."),
    *((f"drop_{name}", f"Packets not used. {doc}") for name, doc in DROP_NAMES),
)
LIVE_COUNTERS = (
    ("kernel_packets", "Live: packets that the kernel kept for the sensor."),
    ("kernel_drops", "Live: packets that the kernel dropped because the ring or the receive buffer was full."),
    ("ring_freezes", "Live: times that the ring was full."),
    ("lost_in_crash", "Live: packets in the hand of a worker that died."),
    ("unread_at_end", "Live: packets that there was no time left for at the end."),
    ("records_unwritten", "Live: records given up because the output did not take them in time."),
)
GAUGES = (                         # booked, but in no record
    ("flows_open", "Flows tracked now."),
    ("memory_bytes", "Bytes held for flows now, by reassembly, carries, drafts and parsers."),
    ("backlog_bytes", "Bytes of records that wait for the output now."),
    ("load_level", "What is left out, for more comes than is read: 0 nothing, 1 bodies, 2 large flows, 3 new flows."),
)
MOMENTARY = {"flows_peak", "envelopes"} | {name for name, _ in GAUGES}     # a worker that replaces another has its own
STATS_NAMES = tuple(name for name, _ in COUNTERS + LIVE_COUNTERS)
for name, doc in COUNTERS + LIVE_COUNTERS:
    STATS.count(name, doc)
cdef int WORKER = STATS.count("worker", "Live: number of the worker whose counters these are, from 0.")


cdef class Accounts:
    """The counters of the stats record, the gauges, and the number of records of each kind."""

    def __init__(self):
        kinds = Schema.registry
        self.names = (*STATS_NAMES, *(name for name, _ in GAUGES), *(f"records_{kind}" for kind in kinds))
        if len(self.names) > MOST_COUNTERS:
            raise ValueError(f"at most {MOST_COUNTERS} counters")

    def find(self, places):
        """``places``: the address of each counter by name."""
        cdef int i
        self.count = len(self.names)
        for i, name in enumerate(self.names):
            self.places[i] = <const uint64_t*><size_t>places[name]

    def attach(self, Ledger ledger, skip):
        """Live: counts go into a ledger, on top of what another worker has left in it, but for those to ``skip``."""
        cdef int i
        lost = ledger.lost
        self.ledger = ledger
        for i, (name, value) in enumerate(zip(self.names, ledger.read(len(self.names)))):
            if name in MOMENTARY or name in skip:
                value = 0
            self.base[i] = value + (lost if name == "lost_in_crash" else 0)

    def add(self, counted):
        """What another process has counted, by name."""
        cdef int i
        for i, name in enumerate(self.names):
            self.base[i] += <uint64_t>counted.get(name, 0)

    def counters(self):
        """All by name, as the stats record has them; those of the kernel only live."""
        cdef int i
        names = STATS_NAMES if self.ledger is not None else STATS_NAMES[:len(COUNTERS)]
        return {name: self.base[i] + self.places[i][0] for i, name in enumerate(names)}

    cdef log(self, Writer writer, Time ts, worker):
        """Writes a stats record; live with the worker's number."""
        cdef Record r
        cdef int slot
        clear(&r)
        r.ts = ts
        for slot, value in enumerate(self.counters().values()):
            put_number(&r, slot, value)
        if worker is not None:
            put_number(&r, WORKER, worker)
        writer.write_alone(&STATS.layout, &r)

    cdef void book(self, FrameSource source) noexcept nogil:
        """A block is done: all that was counted up to its end becomes true together."""
        cdef Page* page = self.ledger.next_page()
        cdef int i
        for i in range(self.count):
            page.values[i] = self.base[i] + self.places[i][0]
        self.ledger.turn_page(source.block)
        self.ledger.beat()
