"""What was told already: keys that are news once a day, such as certificates.

A table in memory that several processes may share; they agree without a lock, for an entry changes by one
compare-and-swap.  Where a key finds no place near its own the one there is forgotten, and told anew when it returns.
"""
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from cext.shared cimport load64, store64, swap64
from cext.types cimport SECOND
from cext.wire cimport mix64

cdef enum:
    NEAR = 16                      # entries that are looked at

cdef uint64_t SPREAD = 0x9E3779B97F4A7C15, SPREAD_WORD = 0xD1B54A32D192ED03   # odd, with bits well spread
cdef Time DAY = 86400 * <Time>SECOND
SIZE = MOST_TOLD * sizeof(Entry)


cdef class Told:
    """A table in a buffer of SIZE bytes, all zero at first; without one, of this process alone."""

    def __cinit__(self, buffer=None):
        PyObject_GetBuffer(bytearray(SIZE) if buffer is None else buffer, &self.memory, PyBUF_WRITABLE)
        if self.memory.len < <Py_ssize_t>SIZE:
            PyBuffer_Release(&self.memory)
            raise ValueError(f"what was told needs {SIZE} bytes")
        self.entries = <Entry*>self.memory.buf

    def __dealloc__(self):
        if self.entries != NULL:
            PyBuffer_Release(&self.memory)

    cdef bint is_news(self, const uint8_t* key, uint32_t n, Time ts) noexcept nogil:
        """True for one caller a day: a day of the packets' time, whichever way it runs."""
        cdef uint64_t digest = digest_of(key, n), found, when
        cdef Entry* e
        cdef int i
        for i in range(NEAR):
            e = &self.entries[(digest + i) & (MOST_TOLD - 1)]
            found = load64(&e.key)
            if found == 0 and swap64(&e.key, 0, digest):
                store64(&e.when, <uint64_t>ts)
                return True
            if load64(&e.key) == digest:
                when = load64(&e.when)
                if when == 0 or -DAY < ts - <Time>when < DAY:
                    return False   # 0: another process is about to tell it
                return swap64(&e.when, when, <uint64_t>ts)
        e = &self.entries[digest & (MOST_TOLD - 1)]
        store64(&e.key, digest)
        store64(&e.when, <uint64_t>ts)
        return True


cdef uint64_t digest_of(const uint8_t* key, uint32_t n) noexcept nogil:
    """64 bits of a key, never 0."""
    cdef uint64_t h = n, word = 0
    cdef uint32_t i
    for i in range(n):
        word = word << 8 | key[i]
        if i % 8 == 7 or i == n - 1:
            h = mix64(h ^ SPREAD, word ^ SPREAD_WORD)
            word = 0
    return h | (h == 0)
