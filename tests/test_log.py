"""The operator's log: words with a level, and never a flood."""

import logging
from collections.abc import Iterator

import pytest

from sensor import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The process's log as it was."""
    logger = logging.getLogger("cloudmri")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_a_flood_of_one_kind_is_cut_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    log.start("info")
    for i in range(500):
        logging.getLogger("cloudmri.test").warning("flow %d is odd", i)
    logging.getLogger("cloudmri.test").info("something else")
    now += 61
    logging.getLogger("cloudmri.test").warning("flow %d is odd", 500)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cloudmri: warning: flow 0 is odd"
    assert lines[20:] == [
        "cloudmri: something else",
        "cloudmri: warning: flow 500 is odd (480 more like it were not shown)",
    ]


def test_levels_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log.start("error")
    logging.getLogger("cloudmri.test").warning("not shown")
    logging.getLogger("cloudmri.test").error("shown")
    assert capsys.readouterr().err == "cloudmri: error: shown\n"
