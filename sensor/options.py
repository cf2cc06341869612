"""Options of the command line that say what records say: the same for a replay and for a live run."""
from collections.abc import Callable
from typing import Any

import click

from sensor import log
from sensor.engine import Options
from sensor.networks import PRIVATE, parse_networks

RECORDS = (
    click.option("-o", "--output", default="-", show_default=True, metavar="-|DIR",
                 help="Where records go: standard output, or a directory with one file a kind (conn.log, ...)."),
    click.option("--format", type=click.Choice(["json", "msgpack"]), default="json", show_default=True),
    click.option("--only", metavar="KIND,...", help="Write these kinds of records only."),
    click.option("--tenant", default="vni", show_default=True, metavar="vni|none|map:FILE",
                 help="What is an address space: each VNI and endpoint, all traffic, or what a TOML file says."),
    click.option("-f", "--filter", metavar="EXPR",
                 help="Use only inner packets that this libpcap expression matches."),
    click.option("--exclude", multiple=True, metavar="NET",
                 help="Leave out packets from and to this network, such as that of the SIEM (repeatable)."),
    click.option("--secrets", is_flag=True, help="Write secret fields too: passwords, cookies, Authorization."),
    click.option("--seed", default=0, show_default=True, help="Seed of the uids; the same seed gives the same uids."),
    click.option("--local-net", "local_nets", multiple=True, metavar="NET",
                 help="A local network (repeatable); default: the private address space."),
    click.option("--vxlan-port", "vxlan_ports", multiple=True, type=int, default=(4789,), show_default=True),
    click.option("--geneve-port", "geneve_ports", multiple=True, type=int, default=(6081,), show_default=True),
    click.option("--no-tunnels", is_flag=True, help="Do not open tunnels inside of the mirrored traffic."),
    click.option("--reorder-window", default=0.25, show_default=True, metavar="SECONDS",
                 help="How long a hole in a TCP stream may last before it is given up."),
    click.option("--sql", type=click.Choice(["text", "fingerprint"]), default="text", show_default=True,
                 help="Write statements as sent, or without their values: no literal leaves the sensor."),
    click.option("--http-headers", is_flag=True, help="Write all HTTP headers with their values; secret ones as ***."),
    click.option("--http-sha256", is_flag=True, help="Write SHA-256 of HTTP bodies, unpacked; all are read then."),
    click.option("--conn-interim", type=click.FloatRange(min=0), default=0.0, show_default=True, metavar="SECONDS",
                 help="Write a conn record of a flow that goes on that often, too; 0: at its end alone."),
    click.option("--twins", type=click.Choice(["mark", "omit"]), default="mark", show_default=True,
                 help="Of a flow that another tenant's session shows first: mark all its records, or write conn only."),
    click.option("--max-flows", default=1 << 20, show_default=True, help="Flows tracked at a time."),
    click.option("--log-level", type=click.Choice(log.LEVELS), default="info", show_default=True),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)


def record_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command all of them, in their order."""
    for option in reversed(RECORDS):
        command = option(command)
    return command


def options_from(*, only: str | None, output: str, local_nets: tuple[str, ...], no_tunnels: bool,
                 exclude: tuple[str, ...], filter: str | None, begin: int | None = None, end: int | None = None,
                 **said: Any) -> Options:
    """What the command line says, as the engine takes it.  Raises UsageError for a network that is none."""
    return Options(filter=without(filter, exclude), only=frozenset(only.split(",")) if only else None,
                   by_kind=output != "-", local_nets=local_nets or PRIVATE, open_tunnels=not no_tunnels, begin=begin,
                   end=end, **said)


def without(expression: str | None, networks: tuple[str, ...]) -> str | None:
    """A filter expression that leaves networks out, too."""
    parts = [f"({expression})"] if expression else []
    parts += [f"not net {network}" for network in parse_networks(networks)]
    return " and ".join(parts) or None
