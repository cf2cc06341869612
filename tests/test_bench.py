"""The benchmark works as it stands in a checkout: what it measures is for others to judge."""
import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield importlib.import_module("table")
    for name in ("backlog", "live", "measure", "table", "traffic"):
        sys.modules.pop(name, None)


def test_the_part_that_reads_a_trace_has_all_its_rows(table: Any, tmp_path: Path) -> None:
    work = table.Table(1, 0.01, tmp_path)
    work.starts()
    work.trace(next((ROOT / "pcaps" / "http").glob("*.pcap")), {"Suricata": "cat {pcap}"})
    rows = {row.what: row.measured for row in work.rows}
    assert all(map(math.isfinite, rows.values()))
    assert "trace: ours, of a walk over the mapped file" in rows
    assert "trace: Suricata's, of ours" in rows
    assert "trace: two workers' wall time, of one's" in rows
