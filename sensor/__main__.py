"""The program: ``cloudmri``, and ``python -m sensor``."""
import gc
import os
import signal
import sys

GARBAGE = 100_000                  # Python objects between two looks for cycles


def main() -> None:
    """The entry point: a closed pipe ends the program as it ends any other."""
    gc.set_threshold(GARBAGE)      # before all imports: modules are no garbage, and to look for some takes a while
    from sensor.cli import cloudmri
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        cloudmri()
    except SystemExit as end:
        leave(end)


def leave(end: SystemExit) -> None:
    """Ends the program at once: all is written by now, and to take an interpreter apart takes 15 ms."""
    if isinstance(end.code, str):
        raise end                  # a message, which Python prints
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:     # it was closed from the start
            stream.flush()
    os._exit(end.code or 0)


if __name__ == "__main__":
    main()
