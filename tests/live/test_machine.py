"""What ``check -i`` says of a machine, and what a sensor leaves out of what it sees itself."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATH, ROOT
from tests.live.sensor import live
from tests.live.wire import Wire, wire

CHECK = [sys.executable, "-m", "sensor", "check", "-i", Wire.ear]


@pytest.fixture(scope="module")
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


def at_target(cable: Wire, *words: str) -> subprocess.CompletedProcess[str]:
    command = cable.inside(cable.listener, list(words))
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": PATH})


def test_what_it_advises_makes_all_well(cable: Wire) -> None:
    for words in ("ip link set t0 mtu 1500", "ip link set t0 down", "ethtool -K t0 gro on"):
        assert at_target(cable, *words.split()).returncode == 0
    done = at_target(cable, *CHECK)
    assert done.returncode == 1, done.stderr
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith("CHANGE")] == [
        "CHANGE t0 is down",
        "CHANGE MTU is 1500: copies of IP packets longer than 1446 bytes are cut or lost",
        "CHANGE packets are joined before they are captured (GRO)",
    ]
    for before, advice in itertools.pairwise(said):
        if before.startswith("CHANGE"):
            assert at_target(cable, *advice.split()).returncode == 0, advice
    done = at_target(cable, *CHECK)
    assert done.returncode == 0 and "CHANGE" not in done.stdout and done.stdout.count("ok ") == len(said) - 3


def test_rights_memory_cores_and_ports_are_looked_at(cable: Wire, tmp_path: Path) -> None:
    file = tmp_path / "cloudmri.toml"
    file.write_text("[capture]\nworkers = 64\nring_size = 4096\n")
    without = ["setpriv", "--bounding-set=-net_raw", *CHECK[:4], str(file), *CHECK[4:]]
    with live(cable, "port", "--listen", "udp://0.0.0.0:4789"):
        done = at_target(cable, *without)
    assert done.returncode == 1 and f"ok     {file} can be used" in done.stdout
    changes = [line for line in done.stdout.splitlines() if line.startswith("CHANGE")]
    for sentence in (
        "this user may not capture (CAP_NET_RAW)",
        "are more than half of the",
        "64 workers on ",
        "a program listens at UDP port 4789",
    ):
        assert any(sentence in line for line in changes), sentence


def test_a_connection_that_records_go_into_is_left_out() -> None:
    """As ``cloudmri live -i eth0 --plain >/dev/tcp/…`` of a shell has it."""
    asked = "own.own_traffic('eth0', [None, '127.0.0.1:9479'], '-')"
    script = f"import sys, sensor.live.own as own; print({asked}, file=sys.stderr)"
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with (
            socket.create_server((host, 0), family=family) as siem,
            socket.create_connection(siem.getsockname()[:2]) as out,
        ):
            done = subprocess.run(
                [sys.executable, "-c", script], stdout=out.fileno(), stderr=subprocess.PIPE, text=True, cwd=ROOT
            )
            assert done.stderr.strip() == f"['tcp port {siem.getsockname()[1]} and host {host}']"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


def test_an_interface_that_is_not_there_is_one_sentence(cable: Wire) -> None:
    done = at_target(cable, *CHECK[:-1], "nosuch0")
    assert done.returncode == 1 and done.stderr.startswith("cloudmri: there is no interface 'nosuch0'; there are: ")


def test_the_sensors_own_pages_are_left_out_of_plain_traffic(cable: Wire) -> None:
    """And no others at that port."""
    pages, other = "172.31.0.2:8080", "172.31.0.2:8081"
    words = ["-i", Wire.ear, "--plain", "--health-listen", pages]
    server = [sys.executable, "-m", "http.server", "8081", "--bind", "172.31.0.2", "--directory", "/proc/self/fd"]
    cable.run("ip", "-n", cable.host("sender"), "addr", "replace", "172.31.0.1/24", "dev", "w0")
    with (
        live(cable, "own", *words) as sensor,
        subprocess.Popen(cable.inside("target", server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as web,
    ):
        for url in (f"http://{pages}/healthz", f"http://{other}/"):
            asked = cable.inside("sender", ["curl", "-s", "-o", "/dev/null", "--retry", "20", "--retry-connrefused",
                                            "--retry-delay", "1", url])  # fmt: skip
            assert subprocess.run(asked).returncode == 0, url
        time.sleep(0.3)
        web.terminate()
        assert sensor.stop() == 0, sensor.log.read_text()
    assert {conn["id.resp_p"] for conn in sensor.of("conn") if conn["proto"] == "tcp"} == {8081}
