"""The command line, as a user meets it: exit codes, pipes, Ctrl-C, words on standard error."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import msgpack
import pytest

from tests.builders import connection, pcap
from tests.conftest import ROOT, cannot

HTTP = str(ROOT / "pcaps/http/nginx-curl.pcap")
SENSOR = [sys.executable, "-m", "sensor"]


def sensor(*words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*SENSOR, *words], input=data, capture_output=True, cwd="/", check=False)


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_records_go_to_standard_output_and_words_to_standard_error() -> None:
    done = sensor("replay", HTTP)
    assert done.returncode == 0
    assert {r["_path"] for r in lines(done)} == {"conn", "http", "stats"}
    words = done.stderr.decode()
    assert "113 packets" in words and "http" in words and "{" not in words


def test_memory_that_is_not_to_be_had_is_told_with_what_to_do() -> None:
    command = ["bash", "-c", 'ulimit -v 400000; exec "$@"', "sh", *SENSOR, "replay", "-q", HTTP]
    done = subprocess.run(command, capture_output=True, cwd="/", check=False)
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1 and "--max-flows" in done.stderr.decode()
    assert subprocess.run([*command, "--max-flows", "1000"], capture_output=True, cwd="/", check=False).returncode == 0


def test_quiet_says_nothing() -> None:
    assert sensor("replay", "-q", HTTP).stderr == b""


def test_a_capture_comes_through_a_pipe() -> None:
    done = sensor("replay", "-q", "-", data=Path(HTTP).read_bytes())
    assert done.stdout == sensor("replay", "-q", HTTP).stdout


def test_an_output_without_a_name_is_the_current_directory(tmp_path: Path) -> None:
    words = [*SENSOR, "replay", "-q", HTTP, "--output", ""]
    assert subprocess.run(words, cwd=tmp_path, check=False).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conn.log", "http.log", "stats.log"]


def test_output_directory_has_zeeks_names(tmp_path: Path) -> None:
    assert sensor("replay", "-q", HTTP, "--output", str(tmp_path / "logs")).returncode == 0
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["conn.log", "http.log", "stats.log"]
    assert all(json.loads(line)["_path"] == "http" for line in (tmp_path / "logs/http.log").read_text().splitlines())


def test_msgpack_has_the_same_records(tmp_path: Path) -> None:
    sensor("replay", "-q", HTTP, "--output", str(tmp_path), "--format", "msgpack")
    with (tmp_path / "http.msgpack").open("rb") as file:
        assert list(msgpack.Unpacker(file)) == lines(sensor("replay", "-q", HTTP, "--only", "http"))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_was_closed_from_the_start_changes_no_exit_code(closed: str, tmp_path: Path) -> None:
    words = [*SENSOR, "replay", HTTP, "-q", "--output", str(tmp_path)]
    for command, code in ((words, 0), ([*SENSOR, "replay"], 2), ([*SENSOR, "--version"], 0)):
        done = subprocess.run(["bash", "-c", f'exec "$@" {closed}', "sh", *command], cwd="/", check=False,
                              capture_output=True)  # fmt: skip
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
    assert (tmp_path / "http.log").stat().st_size


def test_a_file_that_is_no_capture_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("these are notes and no capture at all")
    done = sensor("replay", "-q", str(bad), HTTP)
    assert done.returncode == 1
    assert done.stderr.decode().strip().splitlines() == [
        f"cloudmri: error: {bad}: is no capture; pcap and pcapng are read, plain, gzip, zstd or xz"
    ]
    assert any(r["_path"] == "http" for r in lines(done))


def test_a_cut_file_gives_its_records_and_a_warning(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(Path(HTTP).read_bytes()[:-30])
    done = sensor("replay", "-q", str(cut))
    assert done.returncode == 0
    assert (
        done.stderr.decode().strip()
        == f"cloudmri: warning: {cut}: ends in the middle of a packet, after 112 whole ones"
    )


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["replay", "/nowhere.pcap"], 1, "there is no such file"),
        (["replay", HTTP, "--only", "htpt"], 2, "did you mean 'http'?"),
        (["replay", HTTP, "--filter", "tcp prot 80"], 2, "pcap-filter(7)"),
        (["replay", HTTP, "--tenant", "all"], 2, "vni, none or map:FILE"),
        (["replay", HTTP, "--from", "yesterday"], 2, "2026-11-24T10:30:00"),
        (["replay", HTTP, "--explain", "99999"], 2, "the captures hold 113"),
        (["replay", HTTP, "--output", "/proc/nothing"], 1, "cannot write to /proc/nothing"),
        (["replay", HTTP, "--local-net", "10.0.0.0/99"], 2, "10.0.0.0/8"),
        (["schema", "htp"], 2, "did you mean 'http'?"),
        (["replay"], 2, "Missing argument"),
        (["replay", HTTP, "--exclude", "10.0.0/8"], 2, "10.0.0.0/8"),
    ],
)
def test_mistakes_are_one_sentence_with_a_way_on(words: list[str], code: int, sentence: str) -> None:
    done = sensor(*words)
    assert done.returncode == code
    assert sentence in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert done.stdout == b""


def test_a_broken_pipe_ends_quietly() -> None:
    command = f"{sys.executable} -m sensor replay -q {ROOT / 'pcaps'} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.stderr == b"" and done.stdout.count(b"\n") == 1


def test_time_bounds_select_packets() -> None:
    first = min(float(str(r["ts"])) for r in lines(sensor("replay", "-q", HTTP, "--only", "conn")))
    late = lines(sensor("replay", "-q", HTTP, "--only", "conn", "--from", str(first + 0.03)))
    assert 0 < len(late) < 10
    stats = lines(sensor("replay", "-q", HTTP, "--only", "stats", "--to", "2000-01-01"))[0]
    assert stats["drop_outside_time"] == stats["packets"] == 113


def test_excluded_networks_are_left_out_beside_a_filter() -> None:
    for words, left in (
        (["--exclude", "10.20.0.0/24"], 0),
        (["--exclude", "10.99.0.0/16"], 113),
        (["--exclude", "fd00::/8", "--filter", "tcp port 80 or udp"], 113),
        (["--exclude", "fd00::/8", "--exclude", "10.20.0.20", "--filter", "tcp port 80"], 0),
    ):
        (stats,) = lines(sensor("replay", "-q", HTTP, "--only", "stats", *words))
        assert (stats["flow_packets"], stats["drop_filtered"]) == (left, 113 - left)


def test_ctrl_c_writes_what_is_known(tmp_path: Path) -> None:
    """A capture that does not end: Ctrl-C flushes the records and the open flows."""
    turns = [(True, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (False, b"HTTP/1.1 204 x\r\n\r\n")]
    with subprocess.Popen([*SENSOR, "replay", "-q", "-", "--output", str(tmp_path)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(pcap(list(connection(turns).frames())[:-1]))
        process.stdin.flush()
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.stdin.close()
        assert process.wait(timeout=10) == 130
    assert json.loads((tmp_path / "http.log").read_text())["status_code"] == 204
    assert len((tmp_path / "conn.log").read_text().splitlines()) == 1


def test_explain_tells_the_story_of_a_packet() -> None:
    story = sensor("replay", HTTP, "--explain", "4").stdout.decode()
    for word in (
        "ethernet at 0",
        "vxlan at 42",
        "VXLAN VNI 7770001",
        "vantage 172.31.0.1",
        "PSH ACK",
        "history ShA → ShAD",
        "bytes delivered",
        "service http",
    ):
        assert word in story, story


RECOGNISED = {"smtp", "ftp", "imap", "pop3", "smb", "rdp", "mysql", "redis", "mongodb", "kafka", "ldap", "kerberos"}
RECOGNISED |= {"ntp", "snmp"}
PROTOCOLS = ["dns", "dtls", "http", "http2", "postgresql", "quic", "ssh", "ssl", "websocket"]


def test_protocols_and_schemas_are_listed() -> None:
    listed = sensor("protocols").stdout.decode()
    names = [line.split()[0] for line in listed.splitlines()]
    assert [name for name in names if name not in RECOGNISED] == PROTOCOLS
    assert set(names) - set(PROTOCOLS) == RECOGNISED
    assert {p["name"] for p in json.loads(sensor("protocols", "--json").stdout)} == {*PROTOCOLS, *RECOGNISED}
    jsonschema.Draft202012Validator.check_schema(json.loads(sensor("schema", "http").stdout))
    assert set(json.loads(sensor("schema", "--json").stdout)) == {
        *PROTOCOLS,
        "capture_loss",
        "conn",
        "stats",
        "tunnel",
        "weird",
        "x509",
    } - {"dtls", "http2"}
    assert sensor("schema", "ssh", "--markdown").stdout.startswith(b"## ssh")


@pytest.mark.parametrize("words", [["--help"], ["replay", "--help"]])
def test_help_has_examples(words: list[str]) -> None:
    said = sensor(*words).stdout.decode()
    assert "cloudmri replay capture.pcap | jq" in said


def test_the_same_command_is_installed_as_cloudmri() -> None:
    command = shutil.which("cloudmri", path=os.path.dirname(sys.executable))
    if command is None:
        cannot("needs cloudmri, installed")
    said = subprocess.run([command, "--version"], capture_output=True, check=True, text=True).stdout
    assert said.startswith("cloudmri, version ")


def test_an_interim_below_nothing_is_refused() -> None:
    done = sensor("replay", "-", "--conn-interim", "-1")
    assert done.returncode == 2
    assert b"--conn-interim" in done.stderr


def test_what_needs_no_engine_does_not_wait_for_it() -> None:
    """--version and --help import click and the options, nothing else of ours."""
    asked = (
        "import sys, sensor.cli; print([m for m in sys.modules if m.split('.')[0] in ('cext', 'parsers', 'msgspec')])"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True).stdout.strip() == b"[]"
