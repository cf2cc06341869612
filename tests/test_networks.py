"""Which addresses are local: as the standard library has it."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from sensor.networks import PRIVATE, local, mapped

NETWORKS = st.one_of(
    st.builds(lambda a, n: ipaddress.IPv4Network((a, n), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(
        lambda a, n: ipaddress.IPv6Network((a, n), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
    ),
)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(networks=st.lists(NETWORKS, max_size=6), strange=ADDRESSES, data=st.data())
def test_an_address_is_in_the_networks_that_it_is_in(
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
    strange: ipaddress.IPv4Address | ipaddress.IPv6Address,
    data: st.DataObject,
) -> None:
    found = local(map(str, networks))
    near = [net[data.draw(st.integers(0, net.num_addresses - 1))] for net in networks]
    for one in (strange, *near):
        if one.version == 6 and one.ipv4_mapped:
            continue  # on the wire of IPv6 it is no address of a host (RFC 6890); here it is that of IPv4
        assert (mapped(one) in found) == any(one.version == net.version and one in net for net in networks)


def test_private_addresses_are_local_and_others_are_not() -> None:
    for text, want in {
        "10.1.2.3": True,
        "100.64.0.1": True,
        "8.8.8.8": False,
        "fe80::1": True,
        "2600::1": False,
    }.items():
        assert (mapped(ipaddress.ip_address(text)) in local(PRIVATE)) == want
