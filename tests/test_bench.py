"""The benchmark works as it stands in a checkout: what it measures is for others to judge."""
import math
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import table
    yield table
    for name in ("measure", "table", "traffic"):
        sys.modules.pop(name, None)


def test_the_part_that_reads_a_trace_has_all_its_rows(table, tmp_path):
    work = table.Table(1, 0.01, tmp_path)
    work.starts()
    work.trace(next((ROOT / "pcaps" / "http").glob("*.pcap")), {"Suricata": "cat {pcap}"})
    rows = {row.what: row.measured for row in work.rows}
    assert all(map(math.isfinite, rows.values()))
    assert "trace: ours, of a walk over the mapped file" in rows
    assert "trace: Suricata's, of ours" in rows
    assert "trace: two workers' wall time, of one's" in rows
