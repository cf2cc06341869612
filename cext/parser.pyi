from collections.abc import Callable
from typing import Any, ClassVar

from cext.record import Schema

class Parser: ...

class PyParser(Parser):
    make: ClassVar[Callable[[], Any] | None]

def register(
    kind: type[Parser],
    *,
    name: str,
    schema: Schema | None = None,
    transport: str = "tcp",
    over_tcp: type[Parser] | None = None,
    ports: tuple[int, ...] = (),
    carry_max: int = ...,
    idle_seconds: int = 0,
    late: bool = False,
    confirms: bool = False,
) -> None: ...
def registered() -> list[dict[str, Any]]: ...
