"""What the documents show works as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import Turns, connection, pcap
from tests.conftest import ROOT

FINGER: Turns = [(True, b"ana\r\n"), (False, b"Login: ana\r\nNo plan.\r\n")]
BUILD = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(name="greet", ext_modules=cythonize([Extension("greet", ["greet.pyx"], include_dirs=["{root}/cext"])],
      include_path=["{root}"], compiler_directives={{"language_level": 3}}))
"""
USE = """
import greet
from tests.builders import connection
from tests.conftest import run
got = run(connection([(True, b"HELLO wor"), (True, b"ld\\r\\n")]).frames())
print(got.one("greet")["name"], got.one("conn")["service"])
"""


def code(document: str, language: str) -> str:
    """The first block of a language in a document."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.S)
    assert found
    return found[1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of one's own, as installed: the parser of the guide and its entry point."""
    (tmp_path / "finger.py").write_text(code("docs/python-parser.md", "python"))
    about = tmp_path / "finger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: finger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[sensor.parsers]\nfinger = finger:Finger\n")
    return tmp_path


def sensor(package: Path, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    path = f"{package}:{ROOT}"
    return subprocess.run(
        [sys.executable, "-m", "sensor", *words], input=data, capture_output=True, env={"PYTHONPATH": path}, check=True
    )


def test_a_parser_of_ones_own_is_found_by_its_entry_point(package: Path) -> None:
    assert b"finger       tcp     Finger requests." in sensor(package, "protocols").stdout
    done = sensor(package, "replay", "-q", "-", "--only", "finger", data=pcap(connection(FINGER, dport=79).frames()))
    assert (json.loads(done.stdout)["query"], json.loads(done.stdout)["answer_bytes"]) == ("ana", 22)


def test_a_parser_that_cannot_be_imported_is_left_out(package: Path) -> None:
    (package / "finger.py").write_text("import no_such_module")
    done = sensor(package, "replay", "-", data=pcap(connection(FINGER).frames()))
    assert b"parser finger of finger:Finger cannot be used" in done.stderr
    assert b'"_path":"conn"' in done.stdout


def test_a_protocol_is_one_file(tmp_path: Path) -> None:
    """The example of parsers/README.md is built and used, and nothing else is touched."""
    (tmp_path / "greet.pyx").write_text(code("parsers/README.md", "cython"))
    (tmp_path / "setup.py").write_text(BUILD.format(root=ROOT))
    subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=tmp_path, check=True, capture_output=True
    )
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", USE], cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    assert done.stdout == "HELLO world greet\n"


def test_the_readme_names_what_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link
    for script in re.findall(r"scripts/(\w+)", text):
        assert (ROOT / "scripts" / script).exists(), script
