"""The file of ``--tenant map:FILE``, as TOML.  docs/operating.md has an example."""
import ipaddress

import msgspec

from sensor.errors import TenantMapError


class Tenant(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One ``[[tenant]]`` of a map."""

    name: str
    account: str = ""
    vpc: str = ""
    vnis: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    gwlb_endpoints: tuple[str, ...] = ()


class TenantMap(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A tenant map file."""

    tenant: tuple[Tenant, ...]


def read_map(path: str) -> TenantMap:
    """A tenant map from TOML.  Raises TenantMapError that says what is wrong, and where."""
    try:
        with open(path, "rb") as file:
            found = msgspec.toml.decode(file.read(), type=TenantMap)
        for tenant in found.tenant:
            for net in tenant.sources:
                ipaddress.ip_network(net)
    except OSError as error:
        raise TenantMapError(f"tenant map {path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise TenantMapError(f"tenant map {path}: {error}") from None
    return found
