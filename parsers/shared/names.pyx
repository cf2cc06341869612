"""Numbers → names, for nogil code: a sorted table made once from a dict."""
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cext.types cimport span


cdef class NameTable:
    """Built from {number: name}.  A number without a name is written as ``unknown`` and the number."""

    def __init__(self, dict names, str unknown="unknown-"):
        cdef bytes text
        if len(unknown) > LONGEST_UNKNOWN - 10:
            raise ValueError(f"{unknown!r} leaves no room for a number")
        self.names = <Name*>malloc(len(names) * sizeof(Name))
        if self.names == NULL:
            raise MemoryError("table of names")
        self.unknown = unknown.encode()
        self.unknown_size = <uint32_t>len(unknown)
        self.alive = [self.unknown]
        self.prefix = self.unknown
        for number, name in sorted(names.items()):
            text = name.encode()
            self.alive.append(text)
            self.names[self.count].number, self.names[self.count].size = number, <uint32_t>len(text)
            self.names[self.count].text = text
            self.count += 1
        self.first = self.names[0].number

    def __dealloc__(self):
        free(self.names)

    cdef Span find(self, uint32_t number, uint8_t* scratch) noexcept nogil:
        """The name; ``unknown-N``, written into LONGEST_UNKNOWN bytes of scratch, where there is none."""
        cdef int low = 0, high = self.count, middle
        cdef uint32_t at = LONGEST_UNKNOWN
        if number - self.first < <uint32_t>self.count and self.names[number - self.first].number == number:
            low = high = <int>(number - self.first)        # most tables begin without a hole
        while low < high:
            middle = (low + high) // 2
            if self.names[middle].number < number:
                low = middle + 1
            else:
                high = middle
        if low < self.count and self.names[low].number == number:
            return span(<const uint8_t*>self.names[low].text, self.names[low].size)
        while number or at == LONGEST_UNKNOWN:
            at -= 1
            scratch[at] = <uint8_t>(c'0' + number % 10)
            number //= 10
        at -= self.unknown_size
        memcpy(scratch + at, self.prefix, self.unknown_size)
        return span(scratch + at, LONGEST_UNKNOWN - at)
