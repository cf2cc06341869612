from collections.abc import Callable
from typing import Any

class Decap:
    def __init__(
        self,
        tenant_of: Callable[[dict[str, Any]], int],
        *,
        vxlan_ports: tuple[int, ...] = ...,
        geneve_ports: tuple[int, ...] = ...,
        max_depth: int = 6,
        open_tunnels: bool = True,
        fragment_bytes: int = ...,
    ) -> None: ...
