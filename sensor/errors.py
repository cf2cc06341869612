"""What can go wrong for an operator, and what to tell them.

    SensorError               exit code 1
    ├── CaptureError          a file that cannot be read, or is no capture
    ├── LiveError             an interface, a ring or a socket that cannot be had
    └── UsageError            exit code 2
        ├── FilterError       a filter expression that libpcap refuses
        ├── TenantMapError    a tenant map that says nothing sensible
        ├── ConfigError       a configuration file that cannot be used, or a key of it
        └── UnknownName       a kind, protocol or field that does not exist

Each says in one sentence what was expected and what to try.  Nothing that comes from the wire raises.
"""
from collections.abc import Iterable


class SensorError(Exception):
    """The family; ``str()`` is the sentence to show."""

    exit_code = 1


class CaptureError(SensorError):
    """A file that cannot be read, or is no capture."""


class LiveError(SensorError):
    """An interface, a ring or a socket that cannot be had."""


class UsageError(SensorError):
    """What was asked for cannot be done."""

    exit_code = 2


class FilterError(UsageError):
    """A filter expression that libpcap refuses."""


class TenantMapError(UsageError):
    """A tenant map that says nothing sensible."""


class ConfigError(UsageError):
    """A configuration file that cannot be used, or a key of it."""


class UnknownName(UsageError):
    """A name that does not exist, with the nearest that does."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        import difflib
        names = sorted(known)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        super().__init__(f"there is no {what} {name!r}; {hint}")
