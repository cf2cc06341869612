"""A sensor in operation: every packet counted, whatever happens to workers, outputs and interfaces."""

import contextlib
import itertools
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.conftest import PATH, ROOT, need
from tests.live.sensor import Live, live, status
from tests.live.wire import Wire, wire

RING = "-i", Wire.ear
SOCKET = "--listen", "udp://0.0.0.0:4789"


@pytest.fixture(scope="module")
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


def settled(sensor: Live) -> dict[str, int]:
    """Counters after the end."""
    assert sensor.stop() == 0, sensor.log.read_text()
    names = ("packets", "kernel_packets", "kernel_drops", "lost_in_crash", "flow_packets", "records_unwritten")
    return {name: sensor.counted(name) for name in names}


@pytest.mark.parametrize("way", [RING, SOCKET], ids=["ring", "socket"])
def test_sent_is_seen(cable: Wire, way: tuple[str, ...]) -> None:
    with live(cable, f"seen{way[0]}", *way, "--workers", "2") as sensor:
        cable.send_all(5000)
        counts = settled(sensor)
    assert counts["packets"] == counts["kernel_packets"] == counts["flow_packets"] == 5000
    assert counts["kernel_drops"] == 0
    assert sum(record["orig_pkts"] for record in sensor.of("conn")) == 5000


@pytest.mark.parametrize(
    "way",
    [[*RING, "--ring-size", "1"], [*SOCKET, "--receive-buffer", "1"]],
    ids=["ring", "socket"],
)
def test_what_does_not_fit_is_counted_as_dropped(cable: Wire, way: list[str]) -> None:
    """The worker stands still while more comes than the kernel keeps for it."""
    with live(cable, f"full{way[0]}", *way) as sensor:
        (worker,) = sensor.workers()
        os.kill(worker, signal.SIGSTOP)
        cable.send_all(20000)
        os.kill(worker, signal.SIGCONT)
        counts = settled(sensor)
    assert counts["packets"] == counts["kernel_packets"] == 20000 - counts["kernel_drops"]
    assert 1000 < counts["kernel_drops"] < 20000


def test_what_there_is_no_time_for_at_the_end_is_counted(cable: Wire) -> None:
    with live(cable, "unread", *RING, "--ring-size", "512", "--grace", "0.1") as sensor:
        (worker,) = sensor.workers()
        os.kill(worker, signal.SIGSTOP)
        cable.send_all(900_000, flows=4000)
        sensor.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        os.kill(worker, signal.SIGCONT)
        time.sleep(0.02)
        os.kill(worker, signal.SIGSTOP)  # it has begun to end, and stands still until the time is over
        time.sleep(0.2)
        os.kill(worker, signal.SIGCONT)
        assert sensor.process.wait(30) == 1
        assert "packets were left unread after 0.1 seconds; choose a longer --grace" in sensor.log.read_text()
    left = sensor.counted("unread_at_end")
    assert left > 0 and sensor.counted("packets") + left + sensor.counted("kernel_drops") == 900_000


def replaced(sensor: Live, before: list[int]) -> bool:
    """All workers are there, and not all of them are those of before."""
    return len(sensor.workers()) == len(before) and sensor.workers() != before


def said_times(sensor: Live, count: int) -> bool:
    return sensor.log.read_text().count("listening on t0") == count


@pytest.mark.parametrize("way", [RING, SOCKET], ids=["ring", "socket"])
def test_a_killed_worker_is_replaced_and_what_it_had_in_hand_is_counted(cable: Wire, way: tuple[str, ...]) -> None:
    with live(cable, f"killed{way[0]}", *way, "--workers", "2") as sensor:
        sending = cable.send(60000, seconds=4)
        for _ in range(3):
            time.sleep(0.8)
            before = sensor.workers()
            os.kill(before[0], signal.SIGKILL)
            killed = time.monotonic()
            sensor.wait(partial(replaced, sensor, before))
            assert time.monotonic() - killed < 1
            assert before[1] in sensor.workers()  # the other keeps its flows
        assert sending.wait(30) == 0
        counts = settled(sensor)
    assert counts["packets"] + counts["lost_in_crash"] + counts["kernel_drops"] == 60000
    assert counts["packets"] > 50000


@pytest.mark.parametrize("way", [RING, SOCKET], ids=["ring", "socket"])
def test_twins_meet_in_one_worker(cable: Wire, way: tuple[str, ...]) -> None:
    """Two VNIs show the same flows: whatever the outer ports and the number of workers, each is known again."""
    with live(cable, f"twins{way[0]}", *way, "--workers", "2") as sensor:
        cable.send_all(400, flows=200, vnis=2)
        settled(sensor)
    first = {record["uid"] for record in sensor.of("conn") if "twin_uid" not in record}
    named = [record["twin_uid"] for record in sensor.of("conn") if "twin_uid" in record]
    assert len(first) == len(named) == 200 and set(named) == first


def test_files_that_are_moved_away_are_opened_anew(cable: Wire) -> None:
    with live(cable, "moved", *RING, "--workers", "2", "--conn-interim", "0.1") as sensor:
        cable.send_all(1000)
        sensor.wait(lambda: bool(sensor.of("conn")))
        moved = sensor.folder / "conn.log.1"
        (sensor.folder / "conn.log").rename(moved)
        sensor.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        size = moved.stat().st_size
        cable.send_all(1000)
        sensor.wait(lambda: bool(sensor.of("conn")))
        settled(sensor)
    assert moved.stat().st_size == size
    assert sum(r["orig_pkts"] for r in sensor.of("conn") if not r.get("interim")) == 2000


def test_stats_come_in_intervals_and_when_asked_for(cable: Wire) -> None:
    with live(cable, "stats", *RING, "--stats-interval", "0.3") as sensor:
        sensor.wait(lambda: len(sensor.of("stats")) >= 3)
        times = [record["ts"] for record in sensor.of("stats")]
        assert all(0.25 < b - a < 1 for a, b in itertools.pairwise(times))
        assert abs(times[0] - time.time()) < 5
    with live(cable, "asked", *RING, "--stats-interval", "600") as sensor:
        time.sleep(0.3)
        assert not sensor.of("stats")
        sensor.process.send_signal(signal.SIGUSR1)
        sensor.wait(lambda: len(sensor.of("stats")) == 1)


def test_on_a_silent_link_flows_come_to_their_end(cable: Wire) -> None:
    """A datagram's flow is over after a minute: the clock goes on where no packet comes."""
    with live(cable, "silent", *RING, "--conn-interim", "0.5") as sensor:
        cable.send_all(1, flows=1)
        sensor.wait(lambda: bool(sensor.of("conn")))
        assert sensor.of("conn")[0]["orig_pkts"] == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interface_may_go_down_be_renamed_go_and_come_back(cable: Wire, workers: str) -> None:
    def said(what: str) -> bool:
        return what in sensor.log.read_text()

    with live(cable, f"interface{workers}", *RING, "--workers", workers) as sensor:
        cable.send_all(1000)
        cable.run("ip", "-n", cable.host("target"), "link", "set", "t0", "down")
        time.sleep(1.5)
        cable.run("ip", "-n", cable.host("target"), "link", "set", "t0", "up")
        time.sleep(0.5)
        cable.send_all(1000)
        cable.rename("t0", "t9")
        time.sleep(1.5)
        cable.send_all(1000)
        cable.rename("t9", "t0")
        for times in (1, 2):
            cable.cut()
            sensor.wait(lambda: said("interface t0 has gone; waiting for it to come back"))
            cable.lay()
            sensor.wait(partial(said_times, sensor, times + 1))
            cable.send_all(1000)
        counts = settled(sensor)
    assert counts["packets"] == counts["flow_packets"] == 5000
    assert counts["lost_in_crash"] == 0


def test_it_waits_for_an_interface_that_is_not_there_yet(cable: Wire) -> None:
    cable.cut()
    with live(cable, "later", *RING, ready="is not there yet; waiting for it (there is no interface 't0'") as sensor:
        assert not sensor.workers()
        cable.lay()
        sensor.wait(lambda: "listening on t0" in sensor.log.read_text())
        cable.send_all(1000)
        assert settled(sensor)["packets"] == 1000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_records_written(cable: Wire, number: int) -> None:
    with live(cable, f"ended{number}", *RING) as sensor:
        cable.send_all(3000, flows=300)
        assert sensor.stop(number) == 0
        assert len(sensor.of("conn")) == 300


def test_when_nobody_reads_the_records_it_ends(cable: Wire) -> None:
    """As ``cloudmri live | head -1`` has it."""
    words = [sys.executable, "-m", "sensor", "live", *RING, "--conn-interim", "0.1"]
    sensor = subprocess.Popen(cable.inside(cable.listener, words), stdout=subprocess.PIPE, env=os.environ)
    assert sensor.stdout is not None
    with sensor.stdout as records:
        time.sleep(1)
        cable.send_all(100)
        assert records.readline().startswith(b"{")
    assert sensor.wait(20) == 141


@pytest.mark.parametrize("way", [RING, SOCKET], ids=["ring", "socket"])
def test_it_goes_on_without_any_right(cable: Wire, way: tuple[str, ...]) -> None:
    """Also those who replace a worker; what it writes belongs to the user it has become."""
    with live(cable, f"rights{way[0]}", *way, "--user", "nobody") as sensor:
        os.kill(sensor.workers()[0], signal.SIGKILL)
        cable.send_all(100)
        sensor.wait(lambda: len(sensor.workers()) == 1)
        nobody = pwd.getpwnam("nobody")
        for pid in (sensor.process.pid, *sensor.workers()):
            said = status(pid)
            assert set(said["Uid"].split()) == {str(nobody.pw_uid)} and set(said["Gid"].split()) == {str(nobody.pw_gid)}
            assert not said["Groups"].strip()
            assert all(int(said[kind], 16) == 0 for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
            assert said["NoNewPrivs"] == "1"
        settled(sensor)
    assert sensor.of("conn") and (sensor.folder / "conn.log").stat().st_uid == nobody.pw_uid


def test_systemd_is_told_that_it_is_ready_lives_and_stops(cable: Wire) -> None:
    path = cable.work / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        path.chmod(0o777)
        manager.settimeout(10)
        env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "15000000"}
        with live(cable, "systemd", *RING, "--workers", "2", env=env) as sensor:
            assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            os.kill(sensor.workers()[1], signal.SIGSTOP)
            time.sleep(4)
            manager.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while manager.recv(100):
                    pass
            time.sleep(2)  # one that stands still: no sign of life
            with pytest.raises(BlockingIOError):
                manager.recv(100)
            os.kill(sensor.workers()[1], signal.SIGCONT)
            manager.settimeout(10)
            assert manager.recv(100) == b"WATCHDOG=1"
            assert sensor.stop() == 0
            heard = {manager.recv(100) for _ in range(2)}
        assert b"STOPPING=1" in heard


def test_the_unit_is_well_hardened() -> None:
    """Exposure below 2 of 10, as systemd itself counts it."""
    need("systemd-analyze")
    unit = str(ROOT / "deploy/cloudmri.service")
    subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit],
        check=True, capture_output=True,
    )  # fmt: skip


def test_root_may_stay_root(cable: Wire) -> None:
    with live(cable, "root", *RING, "--stay-root") as sensor:
        assert status(sensor.workers()[0])["Uid"].split()[0] == "0"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-i", "t0", "--ring-size", "4096", "--workers", "64"], "choose less with --ring-size"),
        (["--listen", "udp://0.0.0.0:53"], "port 53 is no tunnel's"),
        (["--listen", "tcp://0.0.0.0:4789"], "--listen is udp://ADDRESS:PORT"),
        (["--listen", "udp://10.99.99.99:4789"], "cannot listen on 10.99.99.99:4789"),
        ([], "say where packets come from"),
        (["-i", "t0", "--user", "nosuchuser"], "there is no user 'nosuchuser'"),
        (["-i", "t0", "--user", "root"], "root is root; choose another with --user, or --stay-root"),
        (["-i", "t0", "--filter", "nonsense words"], "see the manual page pcap-filter(7)"),
        (["-i", "t0", "--output", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["-i", "t0", "--only", "htp"], "did you mean 'http'"),
    ],
)
def test_mistakes_are_one_sentence(cable: Wire, words: list[str], sentence: str) -> None:
    command = cable.inside(cable.listener, [sys.executable, "-m", "sensor", "live", *words])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"PATH": PATH})
    assert done.returncode in (1, 2)
    assert sentence in done.stderr and "Traceback" not in done.stderr
