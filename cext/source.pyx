"""The contract of what gives frames.

``fill`` gives up to ``room`` of them, none later than ``limit``; 0: none is here now.  They live until the next
``fill``, or until their block is given back.  A source that lends blocks says ``boundary`` behind the last frame of
one, and has it back by ``give_back`` when all that came of it is booked.  ``filled`` says how much of what it can keep
waits to be read, in percent.
"""


cdef class FrameSource:
    cdef int fill(self, Frame* frames, int room, Time limit) noexcept nogil:
        return 0

    cdef void give_back(self) noexcept nogil:
        self.boundary = False

    cdef int filled(self) noexcept nogil:
        return 0
