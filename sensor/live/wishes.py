"""What a live run is to do, beside what its records say; and which of it may change while it runs."""
import os
from pathlib import Path
from typing import Any

import msgspec

from sensor.engine import Options, build
from sensor.errors import SensorError, UsageError
from sensor.live import pages, processes, sockets
from sensor.live.own import own_traffic
from sensor.options import options_from, settings, without
from sensor.protocols import schemas
from sensor.sinks import SUFFIX

# what workers take over without losing a flow; all else waits for the next start
MAY_CHANGE = {"capture.tenant", "capture.filter", "capture.exclude", "output.to", "output.format", "records.only",
              "records.secrets", "records.sql", "records.http_headers", "records.http_sha256", "records.twins",
              "log.level", "stats.interval", "process.grace"}
Said = dict[str, Any]              # what command line and configuration say, by their options' names


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


def wishes_from(*, interface: str | None, listen: tuple[str, ...], workers: int, plain: bool, promiscuous: bool,
                ring_size: int, receive_buffer: int, block_timeout: int, stats_interval: float, metrics_listen: str,
                health_listen: str, health_drops: float, user: str, stay_root: bool, grace: float, output: str,
                log_level: str, debug: bool = False, **said: Any) -> tuple[LiveOptions, Options]:
    """The names are those of the options.  Raises UsageError."""
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
        options = options._replace(
            filter=without(options.filter, own_traffic(interface, (live.metrics, live.health), output)))
    return live, options


def changed(before: Said, after: Said) -> tuple[Said, list[str]]:
    """What is said from now on, and the keys of what was changed in vain."""
    keys = {option.name or "": key for key, option in settings().items()}
    now = {name: after[name] if keys.get(name) in MAY_CHANGE else value for name, value in before.items()}
    return now, sorted(keys[name] for name in keys if after[name] != now[name])


def try_out(live: LiveOptions, options: Options) -> None:
    """Finds what would only be found when it is used, as far as nothing has to be opened for it.

    Raises UsageError, LiveError.
    """
    build(options)
    known = [sockets.parse_address(text) for text in live.listen]
    sockets.refuse_other_ports(known, options.vxlan_ports, options.geneve_ports)
    for page in (live.metrics, live.health):
        if page:
            pages.parse_address(page)
    if live.user is not None:
        processes.account_of(live.user)
    try_output(live.output, options.format)


def try_output(output: str, form: str) -> None:
    """Files that there are already can be written to; a folder that there is not can be made.  Raises SensorError."""
    folder = Path(output)
    if output == "-":
        return
    if folder.exists():
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise SensorError(f"cannot write to {folder}: it is no directory that this user may write to")
        for path in folder.glob(f"*.{SUFFIX[form]}"):
            if path.stem in schemas() and not os.access(path, os.W_OK):
                raise SensorError(f"cannot write to {path}: no permission")
    elif not os.access(next(parent for parent in folder.absolute().parents if parent.exists()), os.W_OK | os.X_OK):
        raise SensorError(f"cannot make {folder}: no permission")
