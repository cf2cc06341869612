"""A flow that has ended → its conn record: Zeek's fields and meanings, and the Community ID.

Community ID, version 1: https://github.com/corelight/community-id-spec
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, strlen

from cext.digest cimport put_base64, sha1_short
from cext.flow cimport End
from cext.packet cimport IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, NO_VLAN
from cext.parser cimport protocol
from cext.record cimport Record, Schema, clear, put_number, put_text, put_word
from cext.tcp cimport conn_state, stream_bytes
from cext.text cimport put_ethernet
from cext.types cimport Addr, is_v4, span

cdef Schema CONN = Schema("conn", "Who talked with whom, for how long, and how much.")
cdef int PROTO = CONN.text("proto", "Transport protocol: tcp, udp, icmp, or unknown_transport.",
                           source="RFC 791, 3.1; RFC 8200, 3")
cdef int SERVICE = CONN.text("service", "Protocols confirmed in the flow, by what both sides say, with commas between.",
                             source="content")
cdef int DURATION = CONN.interval("duration", "From the first packet to the last that counts.", source="packet times")
cdef int ORIG_BYTES = CONN.count("orig_bytes", "Payload bytes of the originator; for TCP by sequence numbers; 0 for "
                                 "other transports than TCP, UDP and ICMP.", source="RFC 9293, 3.4; RFC 768")
cdef int RESP_BYTES = CONN.count("resp_bytes", "Payload bytes of the responder, in the same way.",
                                 source="RFC 9293, 3.4; RFC 768")
cdef int CONN_STATE = CONN.text("conn_state", "How the connection went: S0, S1, SF, REJ, S2, S3, RSTO, RSTR, RSTOS0, "
                                "RSTRH, SH, SHR or OTH, as in Zeek.", source="Zeek")
cdef int LOCAL_ORIG = CONN.bool("local_orig", "The originator is in a local network.", source="Zeek")
cdef int LOCAL_RESP = CONN.bool("local_resp", "The responder is in a local network.", source="Zeek")
cdef int MISSED_BYTES = CONN.count("missed_bytes", "Bytes of TCP payload that were not seen: loss, or a cut copy.",
                                   source="Zeek")
cdef int HISTORY = CONN.text("history", "What happened, a letter each, as in Zeek; upper case for the originator.",
                             source="Zeek")
cdef int ORIG_PKTS = CONN.count("orig_pkts", "Packets of the originator.", source="packets")
cdef int ORIG_IP_BYTES = CONN.count("orig_ip_bytes", "IP bytes of the originator, by the IP headers' total length.",
                                    source="RFC 791, 3.1; RFC 8200, 3")
cdef int RESP_PKTS = CONN.count("resp_pkts", "Packets of the responder.", source="packets")
cdef int RESP_IP_BYTES = CONN.count("resp_ip_bytes", "IP bytes of the responder, by the IP headers' total length.",
                                    source="RFC 791, 3.1; RFC 8200, 3")
cdef int IP_PROTO = CONN.count("ip_proto", "Protocol number of the IP header.", source="RFC 791, 3.1; RFC 8200, 3")
cdef int COMMUNITY_ID = CONN.text("community_id", "Community ID, version 1: the same in every tool.",
                                  source="Community ID 1")
cdef int FAILED_SERVICE = CONN.text("failed_service", "Protocols recognised and then left, with commas between.",
                                    source="content")
cdef int SPECULATIVE_SERVICE = CONN.text("speculative_service", "Protocols recognised by what one side says, not "
                                         "confirmed by the other, with commas between.", source="content")
cdef int INTERIM = CONN.bool("interim", "The flow goes on: what it amounts to so far.  Its last record lacks the mark.",
                             source="packets")
cdef int VLAN = CONN.count("vlan", "Outer VLAN of the first packet (IEEE 802.1Q).", source="IEEE 802.1Q, 9.6")
cdef int INNER_VLAN = CONN.count("inner_vlan", "Inner VLAN of it.", source="IEEE 802.1Q, 9.6")
cdef int ORIG_L2_ADDR = CONN.text("orig_l2_addr", "Ethernet address that the originator's packets came from.", max=17,
                                  source="IEEE 802.3, 3.2")
cdef int RESP_L2_ADDR = CONN.text("resp_l2_addr", "Ethernet address that the responder's packets came from.", max=17,
                                  source="IEEE 802.3, 3.2")
cdef int TWIN_PKTS = CONN.count("twin_pkts", "Packets that another vantage showed again, counted nowhere else.",
                                source="packets")
cdef int SHED = CONN.bool("shed", "Not all of it was parsed: more came than could be read, or memory was short.",
                          source="stats")

cdef enum:
    NAMES_SIZE = 256


cdef class ConnLog:
    def __init__(self, Writer writer):
        self.writer = writer

    cdef void write(self, Flow* f, bint interim) noexcept nogil:
        """One record: the flow's last, or what it amounts to so far."""
        cdef const End* o = &f.ends[True]
        cdef const End* r = &f.ends[False]
        cdef const char* state = conn_state(f)
        cdef uint8_t services[NAMES_SIZE]
        cdef uint8_t failed[NAMES_SIZE]
        cdef uint8_t guessed[NAMES_SIZE]
        cdef uint8_t community[64]
        cdef uint8_t l2[2][17]
        cdef uint32_t n
        cdef Record record
        if not (self.writer.wanted >> CONN.layout.id) & 1:
            return
        clear(&record)
        record.ts = f.first
        put_proto(&record, f.proto)
        put_names(&record, SERVICE, f.services, services)
        put_names(&record, FAILED_SERVICE, f.failed, failed)
        put_names(&record, SPECULATIVE_SERVICE, f.begun & ~f.services & ~f.failed, guessed)
        if f.last > f.first:
            put_number(&record, DURATION, f.last - f.first)
            put_number(&record, ORIG_BYTES, stream_bytes(f, True))
            put_number(&record, RESP_BYTES, stream_bytes(f, False))
        put_word(&record, CONN_STATE, state, <uint32_t>strlen(state))
        put_number(&record, LOCAL_ORIG, self.writer.is_local(f.orig_h.b))
        put_number(&record, LOCAL_RESP, self.writer.is_local(f.resp_h.b))
        put_number(&record, MISSED_BYTES, f.side[0].missed + f.side[1].missed)
        if f.history_size:
            put_word(&record, HISTORY, f.history, f.history_size)
        put_number(&record, ORIG_PKTS, o.packets)
        put_number(&record, ORIG_IP_BYTES, o.ip_bytes)
        put_number(&record, RESP_PKTS, r.packets)
        put_number(&record, RESP_IP_BYTES, r.ip_bytes)
        put_number(&record, IP_PROTO, f.proto)
        n = self.community_id(f, community)
        if n:
            put_text(&record, COMMUNITY_ID, span(community, n))
        if interim:
            put_number(&record, INTERIM, True)
        put_link(&record, f, l2[0], l2[1])
        if f.twins:
            put_number(&record, TWIN_PKTS, f.twins)
        if f.shed:
            put_number(&record, SHED, True)
        self.writer.put(f, &CONN.layout, &record)

    cdef uint32_t community_id(self, const Flow* f, unsigned char* text) noexcept nogil:
        """Seed 0, both ends in order, protocol, ports; SHA-1; base 64 behind ``1:``."""
        cdef uint8_t said[40]
        cdef uint8_t ports[4]
        cdef uint8_t digest[20]
        cdef uint32_t at = 2, i, skip = 12 if is_v4(&f.orig_h) else 0, size = 16 - skip
        cdef int order = memcmp(f.orig_h.b, f.resp_h.b, 16)
        cdef bint swap = not f.one_way and (order > 0 or (order == 0 and turned(f.orig_p) > turned(f.resp_p)))
        cdef const Addr* first = &f.resp_h if swap else &f.orig_h
        cdef const Addr* second = &f.orig_h if swap else &f.resp_h
        cdef uint16_t a = f.resp_p if swap else f.orig_p, b = f.orig_p if swap else f.resp_p
        said[0] = said[1] = 0
        memcpy(said + at, first.b + skip, size)
        memcpy(said + at + size, second.b + skip, size)
        at += 2 * size
        said[at], said[at + 1] = f.proto, 0
        at += 2
        if f.proto in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6):
            ports[0], ports[1], ports[2], ports[3] = a >> 8, a & 0xff, b >> 8, b & 0xff
            for i in range(4):
                said[at + i] = ports[i]
            at += 4
        text[0], text[1] = c'1', c':'
        sha1_short(said, at, digest)
        return <uint32_t>(put_base64(text + 2, digest, 20) - text)


cdef inline uint16_t turned(uint16_t port) noexcept nogil:
    """Of one address with itself Zeek orders the ports by their bytes the other way round; the ids are to agree."""
    return port << 8 | port >> 8


cdef void put_proto(Record* r, uint8_t proto) noexcept nogil:
    if proto == IPPROTO_TCP:
        put_word(r, PROTO, b"tcp", 3)
    elif proto == IPPROTO_UDP:
        put_word(r, PROTO, b"udp", 3)
    elif proto == IPPROTO_ICMP or proto == IPPROTO_ICMPV6:
        put_word(r, PROTO, b"icmp", 4)
    else:
        put_word(r, PROTO, b"unknown_transport", 17)


cdef void put_link(Record* r, const Flow* f, uint8_t* orig, uint8_t* resp) noexcept nogil:
    """Tags and addresses of the link layer, where it is Ethernet."""
    if f.vlan != NO_VLAN:
        put_number(r, VLAN, f.vlan)
    if f.inner_vlan != NO_VLAN:
        put_number(r, INNER_VLAN, f.inner_vlan)
    if f.has_l2:
        put_ethernet(orig, f.orig_l2)
        put_ethernet(resp, f.resp_l2)
        put_text(r, ORIG_L2_ADDR, span(orig, 17))
        put_text(r, RESP_L2_ADDR, span(resp, 17))


cdef void put_names(Record* r, int field, uint64_t bits, uint8_t* text) noexcept nogil:
    """The names of protocols, with commas between."""
    cdef uint32_t at = 0, size
    cdef int i = 0
    while bits:
        if bits & 1:
            size = <uint32_t>strlen(protocol(i).name)
            if at + size + 1 > NAMES_SIZE:
                break
            if at:
                text[at] = c','
                at += 1
            memcpy(text + at, protocol(i).name, size)
            at += size
        bits >>= 1
        i += 1
    if at:
        put_text(r, field, span(text, at))
