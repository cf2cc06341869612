"""pcap and pcapng captures → batches of frames."""
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cext.buffer cimport Buffer
from cext.mapped cimport MappedFile
from cext.packet cimport Frame
from cext.source cimport FrameSource
from cext.types cimport Time


cdef enum Format:
    UNREAD, PCAP, PCAPNG

cdef enum State:
    READING                        # more frames may be here
    HUNGRY                         # the next frame is not whole yet
    ENDED                          # the last frame was read
    CUT_OFF                        # the capture ends inside a frame
    DAMAGED                        # what follows is no frame
    NO_CAPTURE                     # the first bytes are of no format that is read


cdef struct Interface:             # of a pcapng section (draft-ietf-opsawg-pcapng, 4.2)
    uint32_t link
    uint32_t snap
    bint binary                    # resolution is a power of two, not of ten
    uint8_t digits
    int64_t offset                 # seconds


@final
cdef class Capture(FrameSource):
    cdef const uint8_t* base
    cdef size_t size
    cdef size_t at
    cdef bint whole                # nothing will be added
    cdef Format format
    cdef State state
    cdef bint big                  # big-endian numbers
    cdef bint nano
    cdef uint32_t link
    cdef Interface* interfaces
    cdef uint32_t interface_count
    cdef Time last                 # time of the frame before
    cdef Frame held                # the one frame that lay past fill's limit
    cdef bint holding
    cdef Buffer own                # bytes that were fed
    cdef MappedFile file           # where the bytes are, if they were not fed; or None
    cdef const uint8_t* ahead      # what look_ahead has come to, or NULL
    cdef size_t dropped            # bytes that were here and are no more
    cdef uint64_t frames

    cdef bint move_home(self, size_t more) noexcept
    cdef bint is_cut(self) noexcept nogil
    cdef State damaged(self) noexcept nogil
    cdef int fill_usual(self, Frame* frames, int room, Time limit) noexcept nogil
    cdef bint advance(self, Frame* frame) noexcept nogil
    cdef void read_start(self) noexcept nogil
    cdef bint pcap_frame(self, Frame* frame) noexcept nogil
    cdef bint pcapng_frame(self, Frame* frame) noexcept nogil
    cdef bint section(self, const uint8_t* p, uint32_t size) noexcept nogil
    cdef bint interface(self, const uint8_t* p, uint32_t size) noexcept nogil
    cdef bint enhanced(self, const uint8_t* p, uint32_t size, bint old, Frame* frame) noexcept nogil
    cdef bint simple(self, const uint8_t* p, uint32_t size, Frame* frame) noexcept nogil
    cdef bint wants(self, size_t n) noexcept nogil
    cdef uint32_t u32(self, const uint8_t* p) noexcept nogil
    cdef uint16_t u16(self, const uint8_t* p) noexcept nogil
