"""One declaration: the schema, the manual and what is written agree."""

import json
import re
import subprocess
import sys

import jsonschema
import pytest

from sensor import schema as render
from sensor.protocols import schemas
from tests.conftest import PCAPS, ROOT, Run

MANUAL = ROOT / "docs" / "records.md"


def test_the_manual_is_not_stale(accept: bool) -> None:
    text = subprocess.run(
        [sys.executable, "-m", "sensor", "schema", "--markdown"], check=True, capture_output=True, text=True
    ).stdout
    if accept:
        MANUAL.write_text(text)
    assert MANUAL.read_text() == text, "render it anew: cloudmri schema --markdown > docs/records.md"


@pytest.mark.parametrize("kind", schemas())
def test_schemas_are_valid_and_forbid_unknown_keys(kind: str) -> None:
    made = render.json_schema(schemas()[kind])
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["additionalProperties"] is False


@pytest.mark.parametrize("secrets", [False, True])
def test_every_record_of_every_capture_is_valid(secrets: bool) -> None:
    checks = {kind: jsonschema.Draft202012Validator(render.json_schema(one)) for kind, one in schemas().items()}
    for capture in PCAPS:
        got = Run(capture.read_bytes(), secrets=secrets)
        got.worker.log_stats()
        got.take()
        for line in got.output.splitlines():
            record = json.loads(line)
            checks[record["_path"]].validate(record)


def test_every_field_has_a_meaning_and_a_zeek_like_name() -> None:
    for one in schemas().values():
        for field in one.fields:
            assert field.doc.endswith("."), (one.name, field)
            assert re.fullmatch(r"[a-zA-Z0-9_.]+", field.name)


@pytest.mark.parametrize("kind", sorted(set(schemas()) - {"stats", "weird"}))
def test_every_field_of_a_protocol_has_a_source(kind: str) -> None:
    """Counters and oddities are the sensor's own."""
    assert [field.name for field in schemas()[kind].fields if not field.source] == []
