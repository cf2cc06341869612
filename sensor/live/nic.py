"""What an interface counts itself: errors, and the packets that a cloud's limits cost (ENA's allowance counters).

The kernel's own counters are files; a driver's come through the ethtool ioctl (linux/ethtool.h, linux/sockios.h).
"""
import array
import contextlib
import fcntl
import socket
import struct
from pathlib import Path

SIOCETHTOOL = 0x8946
ETHTOOL_GSTRINGS, ETHTOOL_GSSET_INFO, ETHTOOL_GSTATS = 0x1B, 0x37, 0x1D
ETH_SS_STATS, NAME_SIZE = 1, 32
MOST_STATS = 4096
OF_KERNEL = ("rx_errors", "rx_dropped", "rx_missed_errors", "rx_fifo_errors", "rx_crc_errors", "rx_over_errors")
OF_DRIVER = ("allowance_exceeded", "drops", "overruns", "bad_desc_num", "no_bufs")     # parts of names


def counters(interface: str) -> dict[str, int]:
    """Errors and drops of an interface, by name; none of one that is not there."""
    found = {}
    for name in OF_KERNEL:
        with contextlib.suppress(OSError, ValueError):
            found[name] = int(Path(f"/sys/class/net/{interface}/statistics/{name}").read_text())
    for name, value in driver_counters(interface).items():
        if any(part in name for part in OF_DRIVER):
            found[name] = value
    return found


def driver_counters(interface: str) -> dict[str, int]:
    """All that the driver counts; nothing where it counts nothing."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        count = struct.unpack_from("=I", ethtool(one, interface, struct.pack(
            "=IIQI", ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_STATS, 0)), 16)[0]
        if not 0 < count <= MOST_STATS:
            return {}
        names = ethtool(one, interface, struct.pack("=III", ETHTOOL_GSTRINGS, ETH_SS_STATS, count)
                        + bytes(NAME_SIZE * count))[12:]
        values = ethtool(one, interface, struct.pack("=II", ETHTOOL_GSTATS, count) + bytes(8 * count))[8:]
        return {names[NAME_SIZE * i:NAME_SIZE * (i + 1)].split(b"\0")[0].decode(errors="replace"): value
                for i, value in enumerate(struct.unpack(f"={count}Q", values))}
    return {}


def ethtool(one: socket.socket, interface: str, command: bytes) -> bytes:
    """One ethtool command; the kernel answers in its place.  Raises OSError."""
    buffer = array.array("B", command)
    fcntl.ioctl(one, SIOCETHTOOL, struct.pack("16sP8x", interface.encode(), buffer.buffer_info()[0]))
    return buffer.tobytes()
