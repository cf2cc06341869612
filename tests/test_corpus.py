"""Zeek's captures, where they lie beside the checkout: no crash, no hang, no line that is no JSON; the scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A little below what was measured: a change that costs more than a case or two is seen.
FLOORS = {
    "conn": 0.99, "http": 0.95, "ssl": 0.95, "x509": 0.94, "ssh": 0.99, "postgresql": 0.99, "dns": 0.99, "quic": 0.95,
    "websocket": 0.99,
}  # fmt: skip
EXCEPTIONS = Path(__file__).with_name("corpus_exceptions.jsonl")


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
            "--exceptions",
            str(EXCEPTIONS),
            "--json",
            str(report),
        ],
        check=True,
        capture_output=True,
    )
    found = json.loads(report.read_text())
    assert found["trouble"] == []
    assert {kind: score for kind, score in found["scores"].items() if score < FLOORS[kind]} == {}
