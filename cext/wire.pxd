"""Big-endian reads and writes of memory whose length the caller has checked.

Only the rooms that walk headers by offset use these (decap, fragments, pcap, cursor); parsers read through a Cursor.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "bytes.h" nogil:
    uint16_t be16(const uint8_t* p)
    uint32_t be24(const uint8_t* p)
    uint32_t be32(const uint8_t* p)
    uint64_t be64(const uint8_t* p)
    void put_be64(uint8_t* p, uint64_t v)
    uint16_t le16(const uint8_t* p)
    uint32_t le32(const uint8_t* p)
    void prefetch(const void* p)
    uint64_t mix64(uint64_t a, uint64_t b)
    int lowest_bit(uint64_t bits)
    int popcount(uint64_t bits)
    const bint SANITIZED
