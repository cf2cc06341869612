from collections.abc import Collection

from cext.decap import Decap
from cext.networks import Networks
from cext.record import FieldDoc
from cext.told import Told

IDENTITY_FIELDS: list[FieldDoc]
ENVELOPE_FIELDS: set[str]

class Writer:
    pending: int
    def __init__(
        self,
        decap: Decap,
        *,
        format: str = "json",
        secrets: bool = False,
        by_kind: bool = False,
        only: Collection[str] | None = None,
        seed: int = 0,
        tenant_names: dict[int, tuple[bytes, bytes, bytes]] | None = None,
        local: Networks | None = None,
        sql_shapes: bool = False,
        http_headers: bool = False,
        http_sha256: bool = False,
        told: Told | None = None,
    ) -> None: ...
    def change(
        self,
        *,
        format: str = "json",
        secrets: bool = False,
        by_kind: bool = False,
        only: Collection[str] | None = None,
        tenant_names: dict[int, tuple[bytes, bytes, bytes]] | None = None,
        sql_shapes: bool = False,
        http_headers: bool = False,
        http_sha256: bool = False,
    ) -> None: ...
    def drain(self) -> list[tuple[str | None, memoryview]]: ...
    def counters(self) -> tuple[dict[str, int], dict[str, int]]: ...
