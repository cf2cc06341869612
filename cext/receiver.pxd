"""UDP sockets → batches of frames in buffers of its own."""
from cython cimport final
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cext.ledger cimport MOST_MESSAGES, iovec, mmsghdr, msghdr, socklen_t
from cext.packet cimport Frame
from cext.source cimport MOST_DESCRIPTORS, FrameSource
from cext.types cimport Time

cdef enum:
    HEADROOM = 64                  # in front of each datagram: for the headers that the socket has taken off
    LONGEST_DATAGRAM = 65536
    SENDER = 28                    # sizeof(sockaddr_in6)
    CONTROL = 64                   # bytes for a time stamp

cdef extern from "sys/socket.h" nogil:
    enum: SOL_SOCKET
    enum: SO_TIMESTAMPNS
    enum: MSG_DONTWAIT
    cdef struct cmsghdr:
        int cmsg_level
        int cmsg_type
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    uint8_t* CMSG_DATA(cmsghdr* control)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int n, int flags, void* timeout)
    int getsockopt(int fd, int level, int name, void* value, socklen_t* size)


cdef struct Slot:                  # one datagram
    uint8_t sender[SENDER]         # sockaddr_in or sockaddr_in6
    iovec place
    uint8_t control[CONTROL]
    uint8_t bytes[HEADROOM + LONGEST_DATAGRAM]


@final
cdef class Receiver(FrameSource):
    cdef uint16_t ports[MOST_DESCRIPTORS]
    cdef uint32_t dropped[MOST_DESCRIPTORS]    # by the kernel's own counter, which wraps
    cdef int turn                  # the socket that is asked next
    cdef Slot* slots

    cdef mmsghdr* message(self, int i) noexcept nogil
    cdef int receive(self, int fd, int room) noexcept nogil
    cdef void wrap(self, Frame* frame, int i, uint16_t port) noexcept nogil
