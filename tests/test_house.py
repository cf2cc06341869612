"""The rules of the house, read off the sources: who visits whom, what runs without the lock, how long a file is."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

CYTHON = sorted(p for folder in ("cext", "parsers") for p in (ROOT / folder).rglob("*.p[yx][xd]"))
CYTHON += sorted(p for folder in ("cext", "parsers") for p in (ROOT / folder).rglob("*.pxd") if p not in CYTHON)
PYTHON = sorted((ROOT / "sensor").rglob("*.py"))
IMPORT = re.compile(r"^\s*(?:from\s+(\S+)\s+c?import|c?import\s+(\S+))", re.M)

# a room → the rooms that it may visit: those nearer to the bytes
ROOMS = {
    "types": "wire",
    "wire": "",
    "buffer": "",
    "mapped": "",
    "words": "buffer types",
    "text": "types",
    "cursor": "types wire",
    "packet": "types",
    "shared": "",
    "ledger": "shared types",
    "told": "shared types wire",
    "source": "ledger packet types wire",
    "pcap": "buffer mapped packet source types wire",
    "ring": "packet shared source types wire",
    "receiver": "ledger packet source types wire",
    "fragments": "types",
    "layers": "packet types wire",
    "decap": "fragments layers packet types wire",
    "pool": "wire",
    "flow": "packet pool types wire",
    "tcp": "flow packet types",
    "twins": "flow packet pool types wire",
    "stream": "flow packet tcp types",
    "record": "buffer pool text types wire",
    "owned": "buffer",
    "gather": "owned types",
    "to_json": "buffer record text types wire words",
    "to_msgpack": "buffer record text types wire",
    "parser": "buffer cursor flow pool record types",
    "recognise": "cursor flow packet parser wire",
    "dispatch": "buffer cursor flow packet parser pool recognise stream types wire",
    "networks": "types",
    "writer": "buffer decap flow networks packet parser record text to_json to_msgpack told types wire",
    "sessions": "decap packet record types writer",
    "digest": "",
    "conn": "digest flow packet parser record tcp text types writer",
    "filter": "packet",
    "intake": "decap filter layers packet source types wire",
    "accounts": "layers ledger record source types writer",
    "worker": "*",
    "explain": "*",
}
FOR_PARSERS = {"buffer", "cursor", "gather", "owned", "parser", "record", "text", "types", "words"}
LONGEST_FILE, LONGEST_FUNCTION = 800, 60


def visits(path: Path) -> set[str]:
    return {a or b for a, b in IMPORT.findall(path.read_text())}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CYTHON, ids=name)
def test_cython_rooms_visit_only_those_nearer_to_the_bytes(path: Path) -> None:
    room = path.stem
    for module in visits(path):
        package, _, other = module.partition(".")
        assert package != "sensor", f"{module} is ahead"
        if path.parent.name == "cext":
            assert package != "parsers", f"{module} is ahead"
            allowed = ROOMS[room].split()
            assert package != "cext" or allowed == ["*"] or other in {*allowed, room}, f"{room} may not visit {other}"
        elif package == "cext":
            assert other in FOR_PARSERS, f"a parser may not visit {other}"
        elif package == "parsers":
            assert other.startswith("shared"), f"a parser may not visit {other}"


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_the_house_keeper_visits_the_front_rooms_only(path: Path) -> None:
    open_doors = {"decap", "explain", "filter", "layers", "parser", "record", "worker", "writer"}
    open_doors |= {"accounts", "intake", "ledger", "networks", "pcap", "receiver", "ring", "source", "told"}
    for module in visits(path):
        if module.startswith("cext."):
            assert module.removeprefix("cext.") in open_doors, module
        assert not module.startswith("parsers."), module


@pytest.mark.parametrize("path", [p for p in CYTHON if p.suffix == ".pyx"], ids=name)
def test_every_nogil_function_says_noexcept(path: Path) -> None:
    for line in path.read_text().splitlines():
        if re.match(r"\s*cdef .*\bnogil:?$", line):
            assert "noexcept" in line, line


@pytest.mark.parametrize(
    "path", [p for p in CYTHON if "parsers" in p.parts and p.suffix == ".pyx" and p.parent.name == "parsers"], ids=name
)
def test_parsers_read_through_the_cursor(path: Path) -> None:
    """No byte of the wire is read by index: a Cursor or Span checks every one."""
    found = [
        line.strip() for line in path.read_text().splitlines() if re.search(r"\.p\[|\.p \+|\bbe(16|24|32|64)\(", line)
    ]
    assert found == []


@pytest.mark.parametrize("path", [*CYTHON, *PYTHON], ids=name)
def test_files_are_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""'), "it opens with what it is"
    assert text.count("\n") <= LONGEST_FILE


@pytest.mark.parametrize("path", [*CYTHON, *PYTHON], ids=name)
def test_functions_fit_on_a_screen(path: Path) -> None:
    start, head = 0, ""
    for number, line in enumerate([*path.read_text().splitlines(), "def end():"]):
        if re.match(r"\s*(c?p?def)\s.*\(", line) and not line.rstrip().endswith("nogil"):
            assert number - start <= LONGEST_FUNCTION or not head, f"{head.strip()} has {number - start} lines"
            start, head = number, line
        elif re.match(r"(cdef )?class |cdef struct|cdef enum|[A-Z_]+ = |@", line):
            assert number - start <= LONGEST_FUNCTION or not head, f"{head.strip()} has {number - start} lines"
            head = ""


def test_small_c_headers_stay_small() -> None:
    for header in (ROOT / "cext").glob("*.h"):
        assert header.read_text().count("\n") < 100, header


def test_no_marker_of_unfinished_work() -> None:
    words = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b")))
    for path in [*CYTHON, *PYTHON]:
        assert not words.search(path.read_text()), path


def test_every_oddity_is_in_the_list_of_oddities() -> None:
    said = {
        name
        for path in CYTHON
        for call in re.findall(r"\b(?:weird|odd)\(conn, (b\"[^)]*)\)", path.read_text())
        for name in re.findall(r'b"(\w+)"', call)
    }
    told = re.findall(r"^\| `(\w+)`", (ROOT / "docs/weird.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(said)
