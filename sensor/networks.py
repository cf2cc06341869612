"""Which addresses are local, and which ports are servers'."""
import ipaddress
from collections.abc import Iterable

from cext.networks import Networks
from sensor.errors import UsageError

# Zeek's Site::private_address_space: the IANA special-purpose registries' networks that are not globally reachable.
PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/24",
    "239.0.0.0/8", "240.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23",
    "2001:db8::/32", "fc00::/7", "fe80::/10",
)

# Ports whose side of a flow is taken for the responder where its beginning was not seen (IANA service names).
SERVER_TCP = frozenset((
    21, 22, 23, 25, 53, 80, 81, 88, 110, 111, 135, 139, 143, 179, 389, 443, 445, 465, 502, 514, 563, 585, 587, 614, 631,
    636, 853, 873, 989, 990, 992, 993, 995, 1080, 1433, 1521, 1883, 2049, 2181, 2375, 2376, 2379, 3128, 3268, 3306,
    3389, 4222, 5000, 5060, 5222, 5223, 5269, 5432, 5439, 5671, 5672, 5900, 5985, 5986, 6379, 6443, 6666, 6667,
    6668, 6669,
    8000, 8080, 8443, 8888, 9042, 9092, 9200, 9300, 10250, 11211, 20000, 27017,
))
SERVER_UDP = frozenset((
    53, 67, 69, 88, 111, 123, 135, 137, 138, 161, 162, 389, 443, 500, 502, 514, 1434, 1645, 1646, 1812, 1813, 2049,
    2123, 2152, 3389, 3544, 4500, 4789, 5060, 5072, 5353, 5355, 6081, 8125, 20000,
))


def parse_networks(texts: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Networks in CIDR form.  Raises UsageError that names the bad one."""
    try:
        return [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"a network is written as 10.0.0.0/8 or fd00::/8: {error}") from None


def address(packed: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address from the 16 bytes that the sensor keeps; IPv4 is mapped into IPv6."""
    full = ipaddress.IPv6Address(packed)
    return full.ipv4_mapped or full


def local(networks: Iterable[str] = PRIVATE) -> Networks:
    """The networks as the fast path looks at them."""
    return Networks([(mapped(net.network_address), mapped(net.netmask, b"\xff")) for net in parse_networks(networks)])


def mapped(addr: ipaddress.IPv4Address | ipaddress.IPv6Address, above: bytes = b"\0") -> bytes:
    """An address as 16 bytes; above one of IPv4 stands what maps it, or all ones of its mask."""
    if addr.version == 6:
        return addr.packed
    return above * 10 + b"\xff\xff" + addr.packed
