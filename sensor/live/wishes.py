"""What a live run is to do, beside what its records say; and which of it may change while it runs."""
from typing import Any, TypeVar

import msgspec

from sensor.engine import Options
from sensor.errors import UsageError
from sensor.live.own import own_traffic
from sensor.options import options_from, without

# what workers take over without losing a flow; all else waits for the next start
OF_RECORDS = ("only", "format", "by_kind", "secrets", "tenant", "filter", "sql", "http_headers", "http_sha256", "twins")
OF_THE_RUN = ("output", "log_level", "stats_seconds", "grace_seconds")


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    interface: str | None = None   # a ring there, or …
    listen: tuple[str, ...] = ()   # … sockets at these addresses
    workers: int = 1
    plain: bool = False            # traffic that is not encapsulated, too
    promiscuous: bool = True
    ring_bytes: int = 64 << 20     # of each worker
    block_ms: int = 50
    buffer_bytes: int = 64 << 20   # of each socket
    output: str = "-"
    log_level: str = "info"
    stats_seconds: float = 60
    grace_seconds: float = 10
    metrics: str | None = None     # HOST:PORT of /metrics and /readyz
    health: str | None = None      # HOST:PORT of /healthz
    drop_limit: float = 0.05       # of packets that the kernel may drop while the sensor is well
    user: str | None = "nobody"    # whom root goes on as; None: root stays root


Some = TypeVar("Some", bound=msgspec.Struct)
Wishes = tuple[LiveOptions, Options]


def wishes_from(*, interface: str | None, listen: tuple[str, ...], workers: int, plain: bool, promiscuous: bool,
                ring_size: int, receive_buffer: int, block_timeout: int, stats_interval: float, metrics_listen: str,
                health_listen: str, health_drops: float, user: str, stay_root: bool, grace: float, output: str,
                log_level: str, debug: bool = False, **said: Any) -> Wishes:
    """What the command line and the configuration say, by their options' names.  Raises UsageError."""
    if interface and listen:
        raise UsageError("packets come from an interface or from sockets: leave out --interface or --listen")
    live = LiveOptions(
        interface=interface, listen=listen, workers=workers, plain=plain, promiscuous=promiscuous,
        ring_bytes=ring_size << 20, buffer_bytes=receive_buffer << 20, block_ms=block_timeout, output=output,
        log_level=log_level, stats_seconds=stats_interval, grace_seconds=grace,
        metrics=None if metrics_listen == "none" else metrics_listen,
        health=None if health_listen == "none" else health_listen, drop_limit=health_drops / 100,
        user=None if stay_root else user)
    options = options_from(output=output, **said)
    if plain:                      # tunnels do not carry it
        options = msgspec.structs.replace(
            options, filter=without(options.filter, own_traffic((live.metrics, live.health), output)))
    return live, options


def changed(before: Wishes, after: Wishes) -> tuple[Wishes, list[str]]:
    """What is to be done from now on, and the names of what was changed in vain."""
    live, waits = mixed(before[0], after[0], OF_THE_RUN)
    options, waits_too = mixed(before[1], after[1], OF_RECORDS)
    return (live, options), waits + waits_too


def mixed(old: Some, new: Some, may: tuple[str, ...]) -> tuple[Some, list[str]]:
    """The old one with the fields of the new that may change, and the names of those that would have to."""
    waits = [name for name in new.__struct_fields__ if name not in may and getattr(new, name) != getattr(old, name)]
    return msgspec.structs.replace(old, **{name: getattr(new, name) for name in may}), waits
