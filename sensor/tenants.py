"""Which address space a mirrored packet belongs to.

A VNI names a mirror session, not a network, so the flow key holds a tenant, and the tenant is policy:

    vni     each VNI, and each gateway load balancer endpoint, is an address space (never mixes two networks)
    none    one address space: both ends of a flow may be mirrored, and are one flow
    map     a TOML file says which VNIs, outer sources and endpoints belong together; what it does not name falls to vni
"""
import hashlib
import ipaddress
from typing import TYPE_CHECKING, Any

from sensor.errors import UsageError
from sensor.networks import address

if TYPE_CHECKING:                  # few runs have a map, and none waits for what reads it
    from sensor.tenant_map import Tenant, TenantMap

Envelope = dict[str, Any]          # what cext.decap says of an envelope: vxlan_vni, geneve_vni, vantage, gwlb_endpoint


class Tenants:
    """A policy: from envelope to tenant number, and from number to what records say of it."""

    def __init__(self, policy: str = "vni", known: "TenantMap | None" = None) -> None:
        """``known``: what the file of a map says, where it was read already."""
        kind, _, path = policy.partition(":")
        if kind not in ("vni", "none", "map") or (kind == "map") != bool(path):
            raise UsageError(f"--tenant is vni, none or map:FILE, not {policy!r}")
        self.kind = kind
        self.numbers: dict[int, str] = {0: "none"}
        # number → name, account, VPC; it grows as envelopes come; None where no tenant has a name
        self.names: dict[int, tuple[bytes, bytes, bytes]] | None = {} if kind == "map" else None
        if path and not known:
            from sensor.tenant_map import read_map
            known = read_map(path)
        self.map = known
        self.named = known.tenant if known else ()
        self.networks = [(ipaddress.ip_network(net), tenant) for tenant in self.named for net in tenant.sources]

    def __call__(self, envelope: Envelope) -> int:
        """The tenant's number: the same in every run and every worker."""
        if self.kind == "none" or not envelope:
            return 0
        tenant = self.mapped(envelope)
        if tenant is None:
            return self.number(str([envelope.get(part) for part in ("vxlan_vni", "geneve_vni", "gwlb_endpoint")]))
        number = self.number(f"tenant {tenant.name}")
        assert self.names is not None
        self.names[number] = (tenant.name.encode(), tenant.account.encode(), tenant.vpc.encode())
        return number

    def mapped(self, envelope: Envelope) -> "Tenant | None":
        """The tenant that the map names: by endpoint, else by VNI, else by the narrowest source network."""
        endpoint = f"{envelope['gwlb_endpoint']:016x}" if "gwlb_endpoint" in envelope else None
        for tenant in self.named:
            if endpoint in tenant.gwlb_endpoints:
                return tenant
        for tenant in self.named:
            if envelope.get("vxlan_vni", -1) in tenant.vnis or envelope.get("geneve_vni", -1) in tenant.vnis:
                return tenant
        source = address(envelope["vantage"]) if "vantage" in envelope else None
        fits = [(net.prefixlen, tenant) for net, tenant in self.networks
                if source is not None and source.version == net.version and source in net]
        return max(fits, key=lambda fit: fit[0])[1] if fits else None

    def number(self, key: str) -> int:
        """A number from a digest of the key; two keys never share one."""
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") or 1
        while self.numbers.setdefault(number, key) != key:
            number = (number + 1) & 0xFFFFFFFF
        return number
