"""A file that is mapped to be read, from one end to the other: all of it at one address, a stretch of it in memory.

What nobody looks at, such as most of a download, is not even copied.
"""
cdef enum:
    LARGE_PAGE = 1 << 21           # a mapping begins at one, in the file and in memory: so the kernel can use them


cdef MappedFile map_from(int fd, uint64_t at, uint64_t end):
    """A file from the large page on in which ``at`` is.  None where it cannot be mapped."""
    cdef MappedFile new = MappedFile.__new__(MappedFile)
    new.at = new.given_back = at - at % LARGE_PAGE
    new.mapping = map_file(fd, new.at, end - new.at)
    return new if new.mapping != NULL else None


cdef class MappedFile:
    def __dealloc__(self):
        if self.mapping != NULL:
            unmap_file(self.mapping)

    cdef bint is_cut(self) noexcept nogil:
        """The file was cut off while it was mapped: bytes that were looked at may be zeros instead."""
        return self.mapping.cut

    cdef bint is_shortened(self) noexcept nogil:
        """Its file ends sooner now, whether or not that was seen."""
        return is_shortened(self.mapping)

    cdef void move_on(self, uint64_t done, uint64_t begin, uint64_t end) noexcept nogil:
        """This stretch of the file is read next, and nothing before ``done`` any more.

        Trick "stretches": the pages of a stretch are mapped at once, by a look at one of sixteen, and those of the last
        are given back.
        """
        done -= done % LARGE_PAGE
        begin -= begin % LARGE_PAGE
        if done > self.given_back:
            madvise(self.mapping.p + (self.given_back - self.at), done - self.given_back, MADV_DONTNEED)
            self.given_back = done
        touch(self.mapping.p + (begin - self.at), end - begin)
