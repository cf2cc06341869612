"""The first pass: frames → packets that a flow can take, or a reason why not; 32 at a time.

Here ends what a frame costs whose packet another process takes.
"""

from cext.layers cimport FILTERED, OUTSIDE_TIME
from cext.types cimport NEVER, SECOND

cdef enum:
    FAR_AHEAD = 60                 # seconds; a jump of more needs a second packet that agrees


cdef class Intake:
    def __init__(self, Decap decap, Filter filter=None, begin=None, end=None):
        """``begin`` and ``end``: times in ns that bound the packets used."""
        self.decap, self.filter = decap, filter
        self.begin = 0 if begin is None else begin
        self.end = NEVER if end is None else end
        self.shares = 1

    cdef int read(self, FrameSource source, Time limit) noexcept nogil:
        """Reads a batch; how many frames.  The packets of the batch before are void from here on."""
        cdef int i, n
        self.decap.end_batch()
        n = source.fill(self.frames, BATCH, limit)
        self.opened = 0
        for i in range(n):
            if self.admit(&self.frames[i], &self.batch[self.opened]):
                self.opened += 1
            else:
                source.look_ahead()
        return n

    cdef bint admit(self, const Frame* frame, Packet* p) noexcept nogil:
        """Opens a frame; False when it is none of a flow's."""
        self.packets += 1
        self.bytes += frame.captured
        if frame.ts < self.begin or frame.ts > self.end:
            self.decap.count(OUTSIDE_TIME)
            return False
        self.advance(frame.ts)
        if not self.decap.open(frame, p):
            return False
        if self.shares > 1 and p.lot % self.shares != self.share:
            return False
        if self.filter is not None and not self.filter.matches(p):
            self.decap.count(FILTERED)
            return False
        return True

    cdef void advance(self, Time ts) noexcept nogil:
        """Moves the clock.  A packet far in the future moves it only when a second one agrees."""
        if ts <= self.now:
            return
        if self.now and ts - self.now > FAR_AHEAD * <Time>SECOND:
            if not self.candidate or ts < self.candidate - FAR_AHEAD * <Time>SECOND:
                self.candidate = ts
                return
            if ts > self.candidate + FAR_AHEAD * <Time>SECOND:
                ts, self.candidate = self.candidate, ts
                return
        self.candidate = 0
        self.now = ts

    cdef void set_back(self, Time by) noexcept nogil:
        self.now -= by
        self.candidate = 0
