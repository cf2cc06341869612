"""The operator's log: words on standard error, apart from records, with levels, and never a flood."""
import logging
import sys
import time

BURST, PERIOD = 20, 60.0           # messages of one kind, and seconds


class Limit(logging.Filter):
    """Lets through BURST messages of one kind in PERIOD seconds; the next that passes tells how many did not."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = f"{record.name} {record.msg}"
        began, count = self.seen.get(kind, (0.0, 0))
        now = time.monotonic()
        if now - began > PERIOD:
            if count > BURST:
                record.msg = f"{record.msg} ({count - BURST} more like it were not shown)"
            began, count = now, 0
        self.seen[kind] = (began, count + 1)
        return count < BURST


class Words(logging.Formatter):
    """``cloudmri: warning: what happened``; a traceback only where one was logged."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        text = f"cloudmri: {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def start(level: str) -> None:
    """Sends the log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Words())
    handler.addFilter(Limit())
    root = logging.getLogger("cloudmri")
    root.handlers[:] = [handler]
    root.propagate = False
    set_level(level)


def set_level(level: str) -> None:
    logging.getLogger("cloudmri").setLevel(level.upper())
