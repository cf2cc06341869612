"""Parsers in pure Python: the engine sees no difference, and their mistakes stay theirs."""

from typing import ClassVar

import pytest

from sensor.plugin import Parser, count, text
from sensor.protocols import protocols, schemas
from tests.builders import START, Turns, connection, ethernet, ip, udp
from tests.conftest import run


class Chat(Parser):
    """A made-up line protocol."""

    name, transport, ports = "chat", "tcp", (7777,)
    said = text("What was said.", max=10)
    size = count("How long it was.")
    ended: ClassVar[list[int]] = []

    def probe(self, is_orig: bool, data: bytes) -> bool | None:
        return None if len(data) < 5 else data.startswith(b"CHAT ")

    def feed(self, is_orig: bool, data: bytes) -> int:
        line, newline, _ = data.partition(b"\n")
        if not newline:
            return 0
        if b"boom" in line:
            raise RuntimeError("a mistake of the plug-in")
        self.emit(said=line[5:], size=len(line))
        self.done = b"bye" in line
        return len(line) + 1

    def end(self) -> None:
        self.ended.append(1)


class Beat(Parser):
    """A made-up datagram protocol."""

    name, transport, ports = "beat", "udp", (7778,)
    pulse = count("Beats.")

    def probe(self, is_orig: bool, data: bytes) -> bool | None:
        return data.startswith(b"BEAT")

    def feed(self, is_orig: bool, data: bytes) -> int:
        self.emit(pulse=data[4])
        return len(data)


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    Chat.register()
    Beat.register()


TURNS: Turns = [(True, b"CHAT hello\nCHAT a longer line than ten\n"), (False, b"CHAT bye\n"), (True, b"CHAT unseen\n")]


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_a_python_parser_writes_records(most: int) -> None:
    got = run(connection(TURNS, most=most).frames())
    assert [(r["said"], r["size"]) for r in got.of("chat")] == [("hello", 10), ("a longer l", 27), ("bye", 8)]
    assert got.of("chat")[1]["_cut"] == ["said"]
    assert got.one("conn")["service"] == "chat"


def test_a_python_parser_takes_datagrams() -> None:
    frames = [
        (START + i, ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(9, 7778, b"BEAT" + bytes([i]))))) for i in range(3)
    ]
    assert [r["pulse"] for r in run(frames).of("beat")] == [0, 1, 2]


def test_an_exception_rejects_that_flow_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    boom: Turns = [(True, b"CHAT one\nCHAT boom\n")]
    got = run(
        sorted(
            [
                *connection(boom).frames(),
                *connection(boom, sport=40001).frames(),
                *connection(TURNS, sport=40002).frames(),
            ]
        )
    )
    assert len(got.of("chat")) == 5
    assert [record.message for record in caplog.records] == ["parser Chat failed in feed; its flow goes on without it"]
    assert got.worker.memory()["parsers"] == 0


def test_end_is_told_for_every_flow() -> None:
    before = len(Chat.ended)
    run(connection(TURNS[:1]).frames())
    assert len(Chat.ended) == before + 1


def test_it_is_listed_and_has_a_schema() -> None:
    chat = next(p for p in protocols() if p["name"] == "chat")
    assert (chat["doc"], chat["python"], chat["ports"]) == ("A made-up line protocol.", True, (7777,))
    assert [field.name for field in schemas()["chat"].fields] == ["said", "size"]


def test_an_undeclared_field_is_refused() -> None:
    with pytest.raises(KeyError, match="declares no colour"):
        Chat().emit(colour="red")
