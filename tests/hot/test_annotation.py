"""The fast path stays fast by proof: Cython finds no Python in what runs without the lock, and has no hint to give."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCES = sorted(p for folder in ("cext", "parsers") for p in (ROOT / folder).rglob("*.pyx"))
WRAP = "boundscheck=False,wraparound=False,cdivision=True,initializedcheck=False,nonecheck=False"
LINE = re.compile(r'<pre class="cython line score-(\d+)"[^>]*>(?:\+|&#xA0;)?<span class="">(\d+)</span>')


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder with Cython's annotated HTML, and what Cython said."""
    out = tmp_path_factory.mktemp("annotated")
    said = ""
    for path in SOURCES:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "cython",
                "-3",
                "-a",
                "-X",
                WRAP,
                "-I",
                str(ROOT),
                "-o",
                str(out / f"{path.stem}.c"),
                str(path),
            ],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        said += done.stdout + done.stderr
    return out, said


def nogil_lines(path: Path) -> set[int]:
    """Numbers of the lines inside of functions that never take the lock, comments and docstrings left out."""
    inside, indent, found, quoted = False, 0, set(), False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if inside and text and depth <= indent and not text.startswith(("#", ")")):
            inside = False
        if re.match(r"\s*cdef .*noexcept nogil:$", line):
            inside, indent, quoted = True, depth, False
            continue
        if inside and text.startswith('"""'):
            quoted = not (text.endswith('"""') and len(text) > 3)
            continue
        if inside and quoted:
            quoted = not text.endswith('"""')
            continue
        if inside and text and not text.startswith("#"):
            found.add(number)
    return found


def test_cython_has_no_hint_and_no_warning(annotated: tuple[Path, str]) -> None:
    assert "hint" not in annotated[1] and "warning" not in annotated[1], annotated[1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_without_the_lock_is_free_of_python(path: Path, annotated: tuple[Path, str]) -> None:
    scores = {
        int(number): int(score) for score, number in LINE.findall((annotated[0] / f"{path.stem}.html").read_text())
    }
    assert scores, "the HTML is of another shape than this test reads"
    assert {number: scores[number] for number in nogil_lines(path) if scores.get(number)} == {}


def test_the_test_sees_code() -> None:
    assert sum(len(nogil_lines(path)) for path in SOURCES) > 1000
