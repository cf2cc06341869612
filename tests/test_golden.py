"""Every bundled capture gives the records that somebody has read: ``pytest --accept`` writes them anew."""

import json
from pathlib import Path

import pytest

from tests.conftest import PCAPS, ROOT, Record, Run


def golden(capture: Path) -> Path:
    return ROOT / "tests" / "golden" / capture.relative_to(ROOT / "pcaps").with_suffix(".jsonl")


def differences(want: list[Record], got: list[Record]) -> list[str]:
    """Field by field, so that a failure reads like a change."""
    found = [f"{len(want)} records wanted, {len(got)} came"] if len(want) != len(got) else []
    for number, (old, new) in enumerate(zip(want, got, strict=False), 1):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                found.append(
                    f"line {number} {old.get('_path')} {name}: wanted {old.get(name)!r}, got {new.get(name)!r}"
                )
    return found


@pytest.mark.parametrize("capture", PCAPS, ids=lambda path: str(path.relative_to(ROOT / "pcaps")))
def test_capture_gives_its_golden_records(capture: Path, accept: bool) -> None:
    lines = Run(capture.read_bytes()).output
    path = golden(capture)
    if accept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines)
    want = [json.loads(line) for line in path.read_bytes().splitlines()]
    got = [json.loads(line) for line in lines.splitlines()]
    assert differences(want, got) == []


@pytest.mark.parametrize("capture", PCAPS, ids=lambda path: str(path.relative_to(ROOT / "pcaps")))
def test_capture_says_where_it_came_from(capture: Path) -> None:
    assert capture.with_suffix(".md").read_text().startswith("# ")
