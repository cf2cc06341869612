"""The contract of what gives frames.

``fill`` gives up to ``room`` of them, none later than ``limit``; 0: none is here now.  They live until the next
``fill``, or until their block is given back.  ``look_ahead``, called for each frame of a batch when it is worked on,
fetches a frame of the next.  A source that lends blocks says ``boundary`` behind the last frame of one, and has it back
by ``give_back`` when all that came of it is booked.  ``filled`` says how much of what it can keep waits to be read, in
percent.  A live source names its descriptors by ``poll_also``, and can be waited for.
"""

from cpython.exc cimport PyErr_CheckSignals

from cext.types cimport MILLISECOND, monotonic


cdef class FrameSource:
    cdef poll_also(self, int fd):
        if self.polled_count == MOST_DESCRIPTORS:
            raise ValueError(f"at most {MOST_DESCRIPTORS} descriptors")
        self.polled[self.polled_count].fd, self.polled[self.polled_count].events = fd, POLLIN
        self.polled_count += 1

    def wait(self, int milliseconds):
        """Waits for frames.  False when none came for so long."""
        cdef Time until = monotonic() + milliseconds * <Time>MILLISECOND
        cdef bint come
        while True:
            with nogil:
                come = self.await_frames(until)
            PyErr_CheckSignals()   # one may have ended the waiting
            if come or monotonic() >= until:
                return come

    cdef bint await_frames(self, Time until) noexcept nogil:
        """False when nothing came until then, by the monotonic clock, or a signal did."""
        cdef int i
        cdef Time left = max(until - monotonic(), 0)
        cdef bint come = poll(self.polled, self.polled_count, <int>((left + MILLISECOND - 1) // MILLISECOND)) > 0
        self.troubled = False
        for i in range(self.polled_count if come else 0):
            self.troubled |= self.polled[i].revents & POLLERR != 0
        return come

    cdef int fill(self, Frame* frames, int room, Time limit) noexcept nogil:
        return 0

    cdef void look_ahead(self) noexcept nogil:
        pass

    cdef void give_back(self) noexcept nogil:
        self.boundary = False

    cdef int filled(self) noexcept nogil:
        return 0
