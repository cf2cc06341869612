"""Zeek's captures, where they lie beside the checkout: no crash, no hang, no line that is no JSON; the scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = {"conn": 0.90, "http": 0.90, "ssl": 0.70, "ssh": 0.70, "postgresql": 0.70}


def test_corpus_scores_hold(shared: Path, tmp_path: Path) -> None:
    corpus = shared / "corpus"
    if not (corpus / "score.py").is_file():
        pytest.skip("there is no corpus")
    report = tmp_path / "score.json"
    command = f"{sys.executable} -m sensor replay -q {{pcap}} --output -"
    subprocess.run(
        [
            sys.executable,
            str(corpus / "score.py"),
            str(corpus),
            "--cmd",
            command,
            "--kinds",
            ",".join(FLOORS),
            "--json",
            str(report),
        ],
        check=True,
        capture_output=True,
    )
    found = json.loads(report.read_text())
    assert found["trouble"] == []
    assert {kind: score for kind, score in found["scores"].items() if score < FLOORS[kind]} == {}
