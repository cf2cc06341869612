"""The sensor's own traffic: with --plain it would watch itself, and each record about a record would be another one.

What it serves, its HTTP pages, is left out at this machine's own addresses, and a connection that its records go into.
Records that another program passes on are left out by --exclude.
"""
import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

FIB, INET6 = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
STDOUT = 1


def own_traffic(interface: str | None, pages: Iterable[str | None], output: str) -> list[str]:
    """libpcap expressions of what of it that interface sees; ``pages``: HOST:PORT of each."""
    hosts = " or ".join(f"host {one}" for one in addresses())
    found = []
    for page in pages:
        host, _, port = (page or "").rpartition(":")
        if page and (interface == "lo" or not host.startswith(("127.", "[::1]", "localhost"))):
            found.append(f"tcp port {port} and ({hosts})")
    return found + (where_records_go() if output == "-" else [])


def addresses() -> list[str]:
    """This machine's own."""
    found = {"127.0.0.1", "::1"}
    with contextlib.suppress(OSError):
        found.update(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", FIB.read_text()))
    with contextlib.suppress(OSError):
        for line in INET6.read_text().splitlines():
            found.add(str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))))
    return sorted(found)


def where_records_go() -> list[str]:
    """The expression of a standard output that is a connection; none of a file or a pipe."""
    duplicate = os.dup(STDOUT)
    try:
        one = socket.socket(fileno=duplicate)
    except OSError:                # it is no socket
        os.close(duplicate)
        return []
    with one:
        if one.family not in (socket.AF_INET, socket.AF_INET6):
            return []
        host, port = one.getpeername()[:2]
        return [f"tcp port {port} and host {str(ipaddress.ip_address(host)).removeprefix('::ffff:')}"]
