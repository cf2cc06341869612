"""What is distributed works: a wheel in an empty environment, outside of the checkout."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_a_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    run = tmp_path / "venv" / "bin"
    subprocess.run([run / "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    capture = ROOT / "pcaps/postgresql/asyncpg-extended.pcap"
    done = subprocess.run(
        [run / "cloudmri", "replay", "-q", "-", "--only", "postgresql"],
        input=capture.read_bytes(),
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    assert b'"frontend":"execute"' in done.stdout
    said = subprocess.run(
        [run / "python", "-c", f"import sensor; print(len(list(sensor.replay({str(capture)!r}, only={{'conn'}}))))"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        text=True,
    )
    assert said.stdout == "1\n"


def test_a_wheel_has_declarations_for_other_parsers_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"cext/parser.pxd", "cext/bytes.h", "sensor/py.typed", "parsers/shared/names.pxd"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "build/", "bench/"))]


def test_the_dockerfile_takes_the_steps_of_the_scripts() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "RUN scripts/wheel" in text and "USER cloudmri" in text
    installed = set(re.findall(r"libpcap0\.8|python3-venv", text))
    assert installed <= set(re.findall(r"libpcap0\.8|python3-venv", (ROOT / "scripts/setup").read_text()))
