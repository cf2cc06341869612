"""DNS, case by case: RFC 1035, 6762, 6891, 7871."""

import struct

import pytest

from tests.builders import START, Turns, connection, ethernet, ip, udp
from tests.conftest import Record, Run, run

Name = str


def name(text: Name) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def question(text: Name, kind: int = 1, cls: int = 1) -> bytes:
    return name(text) + struct.pack(">HH", kind, cls)


def resource(owner: bytes, kind: int, data: bytes, ttl: int = 60, cls: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, cls, ttl, len(data)) + data


def message(number: int, flags: int, *sections: list[bytes]) -> bytes:
    filled = [*sections, *([[]] * (4 - len(sections)))]
    return struct.pack(">6H", number, flags, *map(len, filled)) + b"".join(part for one in filled for part in one)


QUERY, ANSWER = 0x0100, 0x8180
HERE = b"\xc0\x0c"  # the question's name


def exchange(*turns: tuple[bool, bytes], port: int = 53, resp: str = "10.2.0.2") -> Run:
    frames = []
    for number, (is_orig, payload) in enumerate(turns):
        ends = ("10.1.0.1", resp) if is_orig else (resp, "10.1.0.1")
        ports = (40000, port) if is_orig else (port, 40000)
        frames.append((START + number * 0.01, ethernet(ip(*ends, 17, udp(*ports, payload)))))
    return run(frames)


def answered(*resources: bytes, kind: int = 1) -> Record:
    asked = [question("www.example.test", kind)]
    return exchange((True, message(7, QUERY, asked)), (False, message(7, ANSWER, asked, list(resources)))).one("dns")


def test_a_question_and_its_answer_make_one_record() -> None:
    record = answered(resource(HERE, 5, name("shop.example.test")), resource(HERE, 1, bytes([10, 0, 0, 1]), ttl=5))
    assert (record["query"], record["qtype_name"], record["rcode_name"]) == ("www.example.test", "A", "NOERROR")
    assert (record["answers"], record["TTLs"]) == (["shop.example.test", "10.0.0.1"], [60, 5])
    assert (record["trans_id"], record["rtt"], record["RD"], record["RA"]) == (7, pytest.approx(0.01), True, True)


@pytest.mark.parametrize(
    "kind, data, words",
    [
        (28, bytes.fromhex("20010db8000000000000000000000001"), "2001:db8::1"),
        (15, b"\0\x0a" + name("mail.test"), "mail.test"),
        (33, b"\0\1\0\2\x13\xc4" + name("sip.test"), "sip.test"),
        (16, b"\5hello\2x\xff", "TXT 5 hello TXT 2 x\\xff"),
        (6, name("ns.test") + name("root.test") + bytes(20), "ns.test"),
        (43, b"\0\1\x05\x02" + bytes(20), "DS 5 2"),
        (48, b"\1\1\3\x0d" + bytes(32), "DNSKEY 13"),
        (46, b"\0\1\x08\x02" + bytes(14) + name("example.test") + bytes(64), "RRSIG 1 example.test"),
        (46, b"\0\1\x08\x02" + bytes(14) + name("") + bytes(64), "RRSIG 1 <Root>"),
        (47, name("next.test") + b"\0\1\x40", "NSEC www.example.test next.test"),
        (44, b"\4\2\xab\xcd", "SSHFP: abcd"),
        (29, b"\0\x12\x16\x13" + bytes(12), "LOC:  18 22 19"),
        (4711, b"xyz", "<unknown type=4711>"),
    ],
)
def test_resource_data_is_said_in_words(kind: int, data: bytes, words: str) -> None:
    assert answered(resource(HERE, kind, data), kind=kind)["answers"] == [words]


def test_a_repeated_question_is_marked_and_pairs_in_order() -> None:
    asked = message(9, QUERY, [question("a.test")])
    got = exchange((True, asked), (True, asked), (False, message(9, ANSWER, [question("a.test")]))).of("dns")
    assert [(r.get("retry"), r.get("rcode")) for r in got] == [(None, 0), (True, None)]


def test_an_answer_before_its_question_meets_it() -> None:
    asked = [question("late.test")]
    got = exchange((False, message(3, ANSWER, asked, [resource(HERE, 1, bytes(4))])), (True, message(3, QUERY, asked)))
    record = got.one("dns")
    assert (record["query"], record["rcode"], record["id.orig_p"], record["id.resp_p"]) == ("late.test", 0, 40000, 53)


def test_a_message_without_a_question_is_not_the_one_before() -> None:
    """What another flow's record held before has no say, either."""
    for kind in (1, 28):
        asked = message(1, QUERY, [question("a.test", kind)])
        exchange((True, asked), (False, message(1, ANSWER, [question("a.test", kind)])))
        got = exchange((True, message(5, QUERY)), (True, message(5, QUERY, [question("", 28)])))
        assert [record.get("retry") for record in got.of("dns")] == [None, None]


def test_a_flow_rests_between_questions_and_tells_what_is_odd_once() -> None:
    """Nothing is kept behind an answer; the next question finds its parser again, an answer that comes first changes
    the ends no more, and what was told of the flow is not told anew."""
    ask, tell = (
        message(1, QUERY, [question("a.test")]),
        message(1, ANSWER, [question("a.test")], [resource(HERE, 1, bytes(4))]),
    )
    got = exchange((True, ask), (False, tell), (True, ask), (False, tell))
    assert [(record["query"], record["answers"]) for record in got.of("dns")] == [("a.test", ["0.0.0.0"])] * 2
    assert got.open_memory["parsers"] == got.open_memory["drafts"] == 0
    late = exchange((True, ask), (False, tell), (True, message(2, ANSWER, [question("b.test")])), (True, ask))
    assert late.one("conn")["id.resp_p"] == 53
    assert len(late.of("dns")) == 3
    cut = message(3, QUERY, [question("c.test")])[:-2]
    odd = exchange((True, ask), (False, tell), (True, cut), (False, tell), (True, ask), (False, tell), (True, cut))
    assert len(odd.of("weird")) == 1


def test_an_unanswered_question_is_written_at_the_end() -> None:
    record = exchange((True, message(1, QUERY, [question("nobody.test")]))).one("dns")
    assert "rcode" not in record


def test_a_silence_of_ten_seconds_ends_the_flow() -> None:
    asked = ethernet(ip("10.1.0.1", "10.2.0.2", 17, udp(40000, 53, message(1, QUERY, [question("a.test")]))))
    assert len(run([(START, asked), (START + 10.1, asked)]).of("conn")) == 2
    assert len(run([(START, asked), (START + 9.9, asked)]).of("conn")) == 1


def test_edns_tells_size_version_and_subnet() -> None:
    """RFC 6891, 6.1.2; RFC 7871, 6."""
    subnet = struct.pack(">HHHBB", 8, 7, 1, 24, 0) + bytes([192, 0, 2])
    opt = resource(b"\0", 41, subnet, ttl=0x8000, cls=1232)
    record = exchange((True, message(1, QUERY, [question("a.test")], [], [], [opt]))).one("dns")
    assert {key: record[key] for key in record if key.startswith("edns")} == {
        "edns_version": 0, "edns_udp_size": 1232, "edns_do": True, "edns_subnet": "192.0.2.0/24",
    }  # fmt: skip


def test_authority_and_additional_sections_are_told_apart() -> None:
    asked = [question("a.test")]
    reply = message(
        1, ANSWER, asked, [], [resource(HERE, 2, name("ns.test"))], [resource(name("ns.test"), 1, bytes(4))]
    )
    record = exchange((True, message(1, QUERY, asked)), (False, reply)).one("dns")
    assert (record["auth"], record["addl"]) == (["ns.test"], ["0.0.0.0"])
    assert "answers" not in record


def test_netbios_names_are_decoded() -> None:
    """RFC 1001, 14.1."""
    encoded = "".join(chr(65 + (byte >> 4)) + chr(65 + (byte & 15)) for byte in b"FILESERVER".ljust(15) + b"\0")
    record = exchange((True, message(1, 0x0110, [question(encoded, 32)])), port=137).one("dns")
    assert (record["query"], record["opcode_name"]) == ("fileserver".upper(), "netbios-query")


@pytest.mark.parametrize("port, owner", [(137, "a" * 100), (53, "a" * 63)])
def test_an_answer_without_a_question_tells_whose_it_is(port: int, owner: str) -> None:
    """Labels of NetBIOS may be longer than 63 bytes, as Zeek has them."""
    reply = message(1, ANSWER, [], [resource(name(owner + ".test"), 1, bytes(4))])
    assert exchange((False, reply), port=port).one("dns")["query"] == owner + ".test"


def test_multicast_is_no_reason_to_change_ends() -> None:
    """mDNS: answers come unasked, from anyone, to the group (RFC 6762, 6)."""
    reply = message(0, 0x8400, [], [resource(name("printer.local"), 1, bytes([10, 0, 0, 9]), cls=0x8001)])
    record = exchange((True, reply), port=5353, resp="224.0.0.251").one("dns")
    assert (record["id.resp_h"], record["query"], record["answers"]) == ("224.0.0.251", "printer.local", ["10.0.0.9"])


@pytest.mark.parametrize(
    "bad, odd",
    [
        (message(1, QUERY, [b"\xc0\x0c\0\1\0\1"]), "DNS_label_forward_compress_offset"),
        (message(1, QUERY, [b"\x3fshort"]), "DNS_label_len_gt_pkt"),
        (message(1, QUERY, [name("a.test")]), "DNS_truncated_quest_too_short"),
        (b"\0\1\1\0\0", "DNS_truncated_len_lt_hdr_len"),
        (struct.pack(">6H", 1, QUERY, 26, 0, 0, 0), "DNS_Conn_count_too_large"),
    ],
)
def test_odd_messages_are_named(bad: bytes, odd: str) -> None:
    good = message(2, QUERY, [question("a.test")])
    assert odd in [r["name"] for r in exchange((True, good), (True, bad)).of("weird")]


@pytest.mark.parametrize(
    "owner, odd",
    [
        (b"\xc3\xff", "DNS_label_forward_compress_offset"),
        (5 * (b"\x3c" + b"b" * 60) + HERE, "DNS_label_len_gt_name_len"),
    ],
)
def test_odd_owners_are_named(owner: bytes, odd: str) -> None:
    """A pointer to the question's name alone is not followed; any other is."""
    asked = [question(".".join(["a" * 60] * 4))]
    reply = message(1, ANSWER, asked, [resource(owner, 1, bytes(4))])
    got = exchange((True, message(1, QUERY, asked)), (False, reply))
    assert odd in [r["name"] for r in got.of("weird")]


def test_pointers_in_a_circle_end() -> None:
    """Each leads to an earlier one: none can lead forwards, and there is a bound (RFC 1035, 4.1.4)."""
    chain = b"".join(struct.pack(">H", 0xC00C + 2 * i) for i in range(60))
    bad = message(2, ANSWER, [question("a.test")], [chain + bytes(10)])
    exchange((True, message(2, QUERY, [question("a.test")])), (False, bad)).one("conn")


def test_several_messages_share_a_tcp_connection() -> None:
    turns: Turns = []
    for number in (1, 2):
        asked = [question(f"n{number}.test")]
        for is_orig, said in ((True, message(number, QUERY, asked)), (False, message(number, ANSWER, asked))):
            turns.append((is_orig, struct.pack(">H", len(said)) + said))
    got = run(connection([turns[0], turns[2], turns[3], turns[1]], dport=53).frames())
    assert [(r["query"], r["proto"], r["rcode"]) for r in got.of("dns")] == [
        ("n1.test", "tcp", 0),
        ("n2.test", "tcp", 0),
    ]
    assert got.one("conn")["service"] == "dns"
