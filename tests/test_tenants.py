"""Tenant policies: what is one address space."""

from pathlib import Path

import pytest

from sensor.errors import TenantMapError, UsageError
from sensor.tenants import Tenants
from tests.builders import START, ethernet, gwlb, ip, udp, vxlan
from tests.conftest import run

MAP = """
[[tenant]]
name = "shop"
account = "123456789012"
vpc = "vpc-0abc"
vnis = [1, 2]

[[tenant]]
name = "lab"
sources = ["172.31.0.0/16", "fd00::/8"]

[[tenant]]
name = "partner"
gwlb_endpoints = ["2b8ee1d4db0c51c4"]
"""
FRAME = ethernet(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, b"x")))


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "tenants.toml"
    path.write_text(MAP)
    return f"map:{path}"


def test_a_map_joins_vnis_and_names_the_tenant(policy: str) -> None:
    frames = [(START, vxlan(FRAME, vni=1)), (START + 1, vxlan(FRAME, vni=2))]
    conn = run(frames, tenant=policy).one("conn")
    assert (conn["tenant"], conn["account"], conn["vpc"]) == ("shop", "123456789012", "vpc-0abc")
    assert len(run(frames, tenant="vni").of("conn")) == 2


def test_endpoint_comes_before_vni_and_vni_before_source(policy: str) -> None:
    names = [
        run([(START, frame)], tenant=policy).one("conn").get("tenant")
        for frame in (gwlb(FRAME), vxlan(FRAME, vni=2), vxlan(FRAME, vni=9), vxlan(FRAME, vni=9, src="192.0.2.1"))
    ]
    assert names == ["partner", "shop", "lab", None]


def test_what_the_map_does_not_name_falls_to_its_vni(policy: str) -> None:
    frames = [(START, vxlan(FRAME, vni=vni, src="192.0.2.1")) for vni in (8, 9)]
    assert len(run(frames, tenant=policy).of("conn")) == 2


@pytest.mark.parametrize("policy", ["vnis", "map", "map:", "none:x"])
def test_unknown_policies_are_refused(policy: str) -> None:
    with pytest.raises(UsageError, match="vni, none or map:FILE"):
        Tenants(policy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[tenant]]\nnam = 'x'", "nam"),
        ("[[tenant]]\nname = 5", "name"),
        ("[[tenant]]\nname = 'x'\nsources = ['10.0.0.0/99']", "10.0.0.0/99"),
        ("[", "tenants"),
    ],
)
def test_a_bad_map_says_what_is_wrong(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    with pytest.raises(TenantMapError, match=words):
        Tenants(f"map:{path}")


def test_numbers_are_the_same_in_every_process() -> None:
    assert Tenants()({"vxlan_vni": 7}) == Tenants()({"vxlan_vni": 7}) != Tenants()({"vxlan_vni": 8})
