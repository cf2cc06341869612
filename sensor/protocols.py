"""Which protocols there are: those that lie in ``parsers/``, and those that other packages bring.

A package of one's own announces its parsers by the entry-point group ``sensor.parsers``; see docs/python-parser.md.
"""
import glob
import importlib
import logging
import os
import pkgutil
import sys
from functools import cache
from typing import Any

import parsers
from cext.parser import registered
from cext.record import Schema
from sensor.errors import UnknownName
from sensor.plugin import Parser

LOG = logging.getLogger("cloudmri.protocols")
GROUP = "sensor.parsers"
LATE = ("difflib", "hpack", "sensor.config", "sensor.pcap_filter", "sensor.tenant_map", "tomllib")


@cache
def load() -> None:
    """Imports every parser; each registers itself.  One that fails to import is named in the log and left out."""
    for module in sorted(pkgutil.iter_modules(parsers.__path__), key=lambda module: module.name):
        if not module.ispkg:
            importlib.import_module(f"parsers.{module.name}")
    for entry in announced():
        try:
            kind = entry.load()
            if not (isinstance(kind, type) and issubclass(kind, Parser)):
                raise TypeError(f"{entry.value} is no subclass of sensor.plugin.Parser")
            kind.register()
        except Exception:
            LOG.exception("parser %s of %s cannot be used; the others go on without it", entry.name, entry.value)


def announced() -> list[Any]:
    """Entry points of our group.  importlib.metadata takes a sixth of the start-up, so it is imported only where the
    files that it would read speak of the group."""
    folders = [path or os.curdir for path in sys.path]
    if not any(speaks_of_us(os.path.join(folder, name)) for folder in folders
               for name in glob.iglob("*-info/entry_points.txt", root_dir=folder)):
        return []
    from importlib.metadata import entry_points
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def speaks_of_us(path: str) -> bool:
    with open(path, errors="replace") as file:
        return f"[{GROUP}]" in file.read()


def import_all() -> None:
    """Imports also what is imported when it is needed first: later the files may not be readable."""
    load()
    for module in pkgutil.iter_modules([f"{path}/shared" for path in parsers.__path__]):
        importlib.import_module(f"parsers.shared.{module.name}")
    for name in LATE:
        importlib.import_module(name)


def protocols() -> list[dict[str, Any]]:
    """Name, transport, ports, kind of record and first line of the docstring of every protocol."""
    load()
    found: list[dict[str, Any]] = registered()
    return found


def schemas() -> dict[str, Schema]:
    """Every kind of record by its name."""
    load()
    importlib.import_module("cext.worker")       # declares conn, weird and stats
    return dict(sorted(Schema.registry.items()))


def check_kinds(names: set[str] | None) -> set[str] | None:
    """The names themselves.  Raises UnknownName for the first that is no kind of record."""
    known = schemas()
    for name in sorted(names or ()):
        if name not in known:
            raise UnknownName("kind of record", name, known)
    return names
