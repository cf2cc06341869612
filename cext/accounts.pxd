"""Counters of a worker by name."""
from cython cimport final
from libc.stdint cimport uint64_t

from cext.ledger cimport MOST_COUNTERS, Ledger
from cext.source cimport FrameSource
from cext.types cimport Time
from cext.writer cimport Writer


@final
cdef class Accounts:
    cdef readonly tuple names      # in the order of the ledger
    cdef int count
    cdef Ledger ledger             # live: where they are booked; else None
    cdef uint64_t base[MOST_COUNTERS]            # what was counted before
    cdef const uint64_t* places[MOST_COUNTERS]   # … and where it is counted now

    cdef void book(self, FrameSource source) noexcept nogil
    cdef log(self, Writer writer, Time ts, worker)
