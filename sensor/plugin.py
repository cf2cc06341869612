"""Parsers in pure Python: for trying out, for rare protocols, for packages of one's own.

    class Finger(Parser):
        '''Finger requests (RFC 1288).'''

        name, transport, ports = "finger", "tcp", (79,)
        query = text("What was asked.")

        def probe(self, is_orig, data):
            return data.endswith(b"\\r\\n") if is_orig else None

        def feed(self, is_orig, data):
            if is_orig and b"\\r\\n" in data:
                self.emit(query=data.partition(b"\\r\\n")[0])
                self.done = True
            return len(data)

A record costs some microseconds instead of a quarter of one, and each call takes the interpreter's lock.
"""
from typing import Any, ClassVar

from cext.parser import PyParser, register
from cext.record import Schema


class Column:
    """A field of the record, declared in the body of a parser's class."""

    def __init__(self, kind: str, doc: str, **options: Any) -> None:
        self.kind, self.doc, self.options = kind, doc, options

    def declare(self, schema: Schema, name: str) -> None:
        getattr(schema, self.kind)(name, self.doc, **self.options)


def text(doc: str, *, max: int = 1024, secret: bool = False) -> Any:
    """Bytes or a string; longer than ``max`` bytes is cut."""
    return Column("text", doc, max=max, secret=secret)


def count(doc: str, *, secret: bool = False) -> Any:
    """A number from 0 on."""
    return Column("count", doc, secret=secret)


def flag(doc: str, *, secret: bool = False) -> Any:
    """True or False."""
    return Column("bool", doc, secret=secret)


def interval(doc: str, *, secret: bool = False) -> Any:
    """Seconds, as a float."""
    return Column("interval", doc, secret=secret)


class Parser:
    """One flow's parser.  Set ``name``, ``transport`` and ``ports``, declare columns, write ``feed``."""

    name: ClassVar[str] = ""
    transport: ClassVar[str] = "tcp"
    ports: ClassVar[tuple[int, ...]] = ()
    schema: ClassVar[Schema]

    def __init__(self) -> None:
        self.done = False
        self.emitted: list[tuple[Schema, dict[str, Any]]] = []

    @classmethod
    def register(cls) -> None:
        """Makes the protocol known.  Raises ValueError where its name is taken."""
        cls.schema = Schema(cls.name, (cls.__doc__ or "").strip().split("\n")[0])
        for name, column in vars(cls).items():
            if isinstance(column, Column):
                column.declare(cls.schema, name)
        adapter = type(cls.__name__, (PyParser,), {"make": staticmethod(cls), "__doc__": cls.__doc__})
        register(adapter, name=cls.name, schema=cls.schema, transport=cls.transport, ports=cls.ports)

    def probe(self, is_orig: bool, data: bytes) -> bool | None:
        """Is this mine?  ``data`` is all that this side has said so far.  None: too early to tell."""
        return False

    def feed(self, is_orig: bool, data: bytes) -> int:
        """Bytes in order.  Returns how many were used; the rest comes again with more behind it."""
        raise NotImplementedError(f"{type(self).__name__} has no feed")

    def gap(self, is_orig: bool, missing: int) -> None:
        """``missing`` bytes are lost.  By default the parser is done."""
        self.done = True

    def end(self) -> None:
        """The flow is over: the last chance to emit."""

    def emit(self, **fields: Any) -> None:
        """Writes a record; fields that are None stay unset.  Raises KeyError for one that was not declared."""
        unknown = fields.keys() - {field.name for field in self.schema.fields}
        if unknown:
            raise KeyError(f"{self.name} declares no {', '.join(sorted(unknown))}")
        self.emitted.append((self.schema, fields))

    def take_emitted(self) -> list[tuple[Schema, dict[str, Any]]]:
        """What was emitted since the last call."""
        emitted, self.emitted = self.emitted, []
        return emitted
