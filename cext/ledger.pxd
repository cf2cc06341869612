"""Counters of a worker in memory that outlives it."""
from cython cimport final
from libc.stdint cimport uint64_t

from cext.types cimport Time

cdef enum:
    MOST_COUNTERS = 120
    MOST_MESSAGES = 32             # datagrams that are received at a time
    NOT_RECEIVED = 0xffffffff      # in the place of a message's length

cdef uint64_t IN_MESSAGES          # as number of frames: the messages tell how many were received

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len


cdef struct Page:                  # what was true when a block was done
    uint64_t block                 # number of the last block that was given back
    uint64_t values[MOST_COUNTERS]


cdef struct Book:
    uint64_t turn                  # the page that counts is turn & 1
    uint64_t opened                # number of the block in hand, or of the last
    uint64_t opened_frames         # frames in it
    uint64_t replaced              # times that a worker took the place of another: the owner writes it
    uint64_t beat                  # when the worker was last seen to move: ns of the monotonic clock
    Page pages[2]
    mmsghdr messages[MOST_MESSAGES]  # of a socket: the kernel itself writes here what it has handed over


@final
cdef class Ledger:
    cdef Book* book
    cdef Py_buffer memory
    cdef bint holds

    cdef Page* next_page(self) noexcept nogil
    cdef void open_block(self, uint64_t block, uint64_t frames) noexcept nogil
    cdef void turn_page(self, uint64_t block) noexcept nogil
    cdef void beat(self) noexcept nogil
