"""Options of the command line that are keys of the configuration file, too; and what they say, as the engine takes it.

An option is declared once: its words, its key, its kind, its default and what it means.
"""
import math
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sensor.engine import Options

LEVELS = ("debug", "info", "warning", "error")
MOST_WORKERS = 64
DAY = 86400                        # seconds


class Setting(click.Option):
    """An option that is a key of the configuration file: ``section.name``."""

    def __init__(self, *words: Any, key: str, instead_of: str = "", **more: Any) -> None:
        """``instead_of``: name of another option, which a file gives in vain when the command line gives this one."""
        super().__init__(*words, **more)
        self.key, self.instead_of = key, instead_of


def setting(key: str, *words: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(*words, cls=Setting, key=key, **more)


class Amount(click.FloatRange):
    """A number within bounds; neither endless nor none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        return found if math.isfinite(found) else self.fail(f"{value!r} is no number to count with", param, ctx)


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between; in the configuration file a list."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return tuple(value.split(",")) if isinstance(value, str) else tuple(value)


class Workers(click.ParamType[int]):
    """A number of processes; ``auto`` is one for each core that this process may use."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "auto":
            return min(len(os.sched_getaffinity(0)), MOST_WORKERS)
        if not (str(value).isascii() and str(value).isdigit()) or not 0 < int(value) <= MOST_WORKERS:
            self.fail(f"it is a number from 1 to {MOST_WORKERS}, or auto, not {value!r}", param, ctx)
        return int(value)


CONFIG = click.option("-c", "--config", metavar="FILE", help="A TOML file with more options; those given here come "
                      "first.  Its keys: cloudmri check --example.")
WORKERS = setting("capture.workers", "--workers", default=1, show_default=True, type=Workers(), metavar="N|auto",
                  help="Processes that share the work, flow by flow; auto: one for each core.")

RECORDS = (
    CONFIG,
    setting("output.to", "-o", "--output", default="-", show_default=True, metavar="-|DIR",
            help="Where records go: standard output, or a directory with one file a kind (conn.log, ...)."),
    setting("output.format", "--format", type=click.Choice(["json", "msgpack"]), default="json", show_default=True,
            help="How records are encoded."),
    setting("records.only", "--only", type=Names(), metavar="KIND,...", help="Write these kinds of records only."),
    setting("capture.tenant", "--tenant", default="vni", show_default=True, metavar="vni|none|map:FILE",
            help="What is an address space: each VNI and endpoint, all traffic, or what a TOML file says."),
    setting("capture.filter", "-f", "--filter", metavar="EXPR",
            help="Use only inner packets that this libpcap expression matches."),
    setting("capture.exclude", "--exclude", multiple=True, metavar="NET",
            help="Leave out packets from and to this network, such as that of the SIEM (repeatable)."),
    setting("records.secrets", "--secrets", is_flag=True,
            help="Write secret fields too: passwords, cookies, Authorization."),
    setting("records.seed", "--seed", default=0, show_default=True, type=click.IntRange(0, 0x7FFFFFFF),
            help="Seed of the uids; the same seed gives the same uids."),
    setting("records.local_nets", "--local-net", "local_nets", multiple=True, metavar="NET",
            help="A local network (repeatable); default: the private address space."),
    setting("capture.vxlan_ports", "--vxlan-port", "vxlan_ports", multiple=True, type=int, default=(4789,),
            show_default=True, help="A UDP port of VXLAN (repeatable)."),
    setting("capture.geneve_ports", "--geneve-port", "geneve_ports", multiple=True, type=int, default=(6081,),
            show_default=True, help="A UDP port of GENEVE (repeatable)."),
    setting("capture.tunnels", "--tunnels/--no-tunnels", default=True, show_default=True,
            help="Open tunnels inside of the mirrored traffic."),
    setting("limits.reorder_window", "--reorder-window", type=Amount(0, DAY), default=0.25, show_default=True,
            metavar="SECONDS",
            help="How long a hole in a TCP stream may last before it is given up."),
    setting("records.sql", "--sql", type=click.Choice(["text", "fingerprint"]), default="text", show_default=True,
            help="Write statements as sent, or without their values: no literal leaves the sensor."),
    setting("records.http_headers", "--http-headers", is_flag=True,
            help="Write all HTTP headers with their values; secret ones as ***."),
    setting("records.http_sha256", "--http-sha256", is_flag=True,
            help="Write SHA-256 of HTTP bodies, unpacked; all are read then."),
    setting("records.conn_interim", "--conn-interim", type=Amount(0, DAY), default=0.0, show_default=True,
            metavar="SECONDS",
            help="Write a conn record of a flow that goes on that often, too; 0: at its end alone."),
    setting("records.twins", "--twins", type=click.Choice(["mark", "omit"]), default="mark", show_default=True,
            help="Of a flow that another tenant's session shows first: mark all its records, or write conn only."),
    setting("limits.max_flows", "--max-flows", default=1 << 20, show_default=True,
            type=click.IntRange(1, 1 << 26), help="Flows tracked at a time."),
    setting("log.level", "--log-level", type=click.Choice(LEVELS), default="info", show_default=True,
            help="What is said on standard error."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)

LIVE = (
    setting("capture.interface", "-i", "--interface", metavar="NAME", instead_of="listen",
            help="Capture from the ring of this interface (CAP_NET_RAW)."),
    setting("capture.listen", "--listen", multiple=True, metavar="udp://ADDR:PORT", instead_of="interface",
            help="Receive tunnels at this address instead, as any program may (repeatable)."),
    WORKERS,
    setting("capture.plain", "--plain", is_flag=True, help="Read traffic that is not encapsulated, too."),
    setting("capture.promiscuous", "--promiscuous/--no-promiscuous", default=True, show_default=True,
            help="Take packets that are not sent to this interface, too."),
    setting("capture.ring_size", "--ring-size", default=64, show_default=True, type=click.IntRange(1, 4096),
            metavar="MB", help="Memory that the kernel keeps packets in, for each worker."),
    setting("capture.receive_buffer", "--receive-buffer", default=64, show_default=True,
            type=click.IntRange(1, 1024), metavar="MB",
            help="Memory that the kernel keeps datagrams of --listen in, for each of its sockets."),
    setting("capture.block_timeout", "--block-timeout", default=50, show_default=True,
            type=click.IntRange(1, 10000), metavar="MS", help="How long a packet may wait in the ring for others."),
    setting("stats.interval", "--stats-interval", default=60.0, show_default=True, type=Amount(0.1, DAY),
            metavar="SECONDS", help="How often a stats record is written."),
    setting("metrics.listen", "--metrics-listen", default="127.0.0.1:9479", show_default=True,
            metavar="HOST:PORT|none", help="Where /metrics (Prometheus) and /readyz are."),
    setting("health.listen", "--health-listen", default="none", show_default=True, metavar="HOST:PORT|none",
            help="Where a bare /healthz is, for load balancers in front of several sensors."),
    setting("health.drops", "--health-drops", default=5.0, show_default=True, type=Amount(0, 100),
            metavar="PERCENT", help="Packets of a minute that the kernel may drop while the sensor is healthy."),
    setting("process.user", "--user", default="nobody", show_default=True, metavar="NAME",
            help="Whom root goes on as, once all is open; without any capability."),
    setting("process.stay_root", "--stay-root", is_flag=True, help="Go on as root."),
    setting("process.grace", "--grace", default=10.0, show_default=True, type=Amount(0.1, 3600),
            metavar="SECONDS",
            help="How long the end may take: the ring is read, flows are closed, records are written."),
)


def options(some: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    """Gives a command all of them, in their order."""
    def give(command: Any) -> Any:
        for option in reversed(some):
            command = option(command)
        return command
    return give


def settings() -> dict[str, Setting]:
    """All keys of a configuration file, with their options."""
    @click.command()
    @options((*LIVE, *RECORDS))
    def every() -> None: ...
    return {option.key: option for option in every.params if isinstance(option, Setting)}


def options_from(*, output: str, local_nets: tuple[str, ...], tunnels: bool, exclude: tuple[str, ...],
                 filter: str | None, only: tuple[str, ...] | None, begin: int | None = None, end: int | None = None,
                 **said: Any) -> "Options":
    """What is wished of the records.  Raises UsageError for a network that is none."""
    from sensor.engine import Options
    from sensor.networks import PRIVATE, parse_networks
    networks = [f"net {network}" for network in parse_networks(exclude)]
    return Options(filter=without(filter, networks), only=frozenset(only) if only else None, by_kind=output != "-",
                   local_nets=local_nets or PRIVATE, open_tunnels=tunnels, begin=begin, end=end, **said)


def without(expression: str | None, left_out: Iterable[str]) -> str | None:
    """A filter expression that leaves out what others match, too."""
    parts = [f"({expression})"] if expression else []
    parts += [f"not ({one})" for one in left_out]
    return " and ".join(parts) or None
