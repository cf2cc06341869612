"""The dashboard and the alert rules speak of metrics that the sensor has, and the rules fire when they should."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sensor.engine import Options, build
from sensor.live.health import Health
from sensor.live.pages import Counters
from tests.conftest import ROOT, need

FOLDER = ROOT / "docs/monitoring"
ALERTS = (FOLDER / "alerts.yml").read_text()
ELSEWHERE = {"instance", "job"}  # labels that Prometheus itself adds


class Book:
    """A worker that has counted nothing yet."""

    beaten, replaced = time.monotonic_ns(), 0

    def read(self, n: int) -> list[int]:
        return [0] * n


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[tuple[str, str]]]:
    """What /metrics has: by name, its labels with their values."""
    registry = CollectorRegistry()
    registry.register(Counters(Health([Book()], build(Options()).accounts.names, 0.05), "lo"))
    found: dict[str, set[tuple[str, str]]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels.items())
    return found


def asked_by_the_dashboard() -> list[str]:
    board = json.loads((FOLDER / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def asked_by_the_alerts() -> list[str]:
    return re.findall(r"expr: (?:>\n)?((?:.*\n?)+?)(?=\s+(?:for|labels):)", ALERTS)


def test_all_that_is_asked_for_is_there(metrics: dict[str, set[tuple[str, str]]]) -> None:
    asked = asked_by_the_dashboard() + asked_by_the_alerts()
    assert len(asked) > 20
    for expr in asked:
        names = set(re.findall(r"cloudmri_\w+", expr))
        assert names <= metrics.keys(), names - metrics.keys()
        labels = {label for name in names for label, _ in metrics[name]} | ELSEWHERE
        for grouped in re.findall(r"by \(([^)]*)\)", expr):
            assert set(grouped.split(", ")) <= labels, expr
        for name, matchers in re.findall(r"(cloudmri_\w+)\{([^}]*)\}", expr):
            for label, sign, value in re.findall(r'(\w+)(=~?)"([^"]*)"', matchers):
                assert label in ELSEWHERE or (sign == "=" and (label, value) in metrics[name]), (name, label, value)


def test_the_dashboard_hangs_together() -> None:
    board = json.loads((FOLDER / "grafana.json").read_text())
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", "".join(asked_by_the_dashboard()))) - {"__rate_interval"} <= variables
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places) and all(panel["description"] for panel in board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


def promtool(*words: str, folder: Path = FOLDER) -> str:
    need("promtool")
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_itself_takes_the_rules_and_what_the_dashboard_asks(tmp_path: Path) -> None:
    assert f"{len(asked_by_the_alerts())} rules found" in promtool("check", "rules", "alerts.yml")
    rules = [f"  - record: asked:{i}\n    expr: {json.dumps(expr.replace('$__rate_interval', '1m'))}"
             for i, expr in enumerate(asked_by_the_dashboard())]  # fmt: skip
    (tmp_path / "rules.yml").write_text("\n".join(["groups:", "- name: board", "  rules:", *rules, ""]))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_every_alert_fires_when_it_should_and_none_of_a_sensor_that_is_well(tmp_path: Path) -> None:
    promtool("test", "rules", "alerts_test.yml")
    cases = (FOLDER / "alerts_test.yml").read_text()
    assert set(re.findall(r'alertname="(\w+)"', cases)) == set(re.findall(r"alert: (\w+)", ALERTS))
    shutil.copy(FOLDER / "alerts_test.yml", tmp_path)
    (tmp_path / "alerts.yml").write_text(ALERTS.replace("> 0.001 *", "> 0.1 *"))  # a rule that sleeps is found out
    with pytest.raises(AssertionError, match="CloudmriKernelDrops"):
        promtool("test", "rules", "alerts_test.yml", folder=tmp_path)
