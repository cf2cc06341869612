"""The configuration file: its keys are the command line's options."""

import json
import subprocess
from pathlib import Path

import click
import pytest

from sensor.config import example, read
from sensor.errors import ConfigError
from sensor.options import settings
from tests.conftest import ROOT
from tests.test_cli import HTTP, SENSOR, lines, sensor

KEYS = settings()


def written(folder: Path, text: str) -> str:
    path = folder / "cloudmri.toml"
    path.write_text(text)
    return str(path)


def test_the_example_in_the_docs_is_the_one_that_is_printed_and_can_be_used() -> None:
    path = ROOT / "docs/cloudmri.toml"
    assert path.read_text() == example() == sensor("check", "--example").stdout.decode()
    done = sensor("check", str(path))
    assert done.returncode == 0 and f"{path} can be used" in done.stdout.decode()


def test_every_key_is_documented_and_at_its_default_in_the_example(tmp_path: Path) -> None:
    text = example()
    assert all(option.help for option in KEYS.values())
    found = read(written(tmp_path, text))
    missing = {option.name for option in KEYS.values()} - found.keys()
    assert missing == {"interface", "listen", "filter", "exclude", "only", "local_nets"}
    context = click.Context(click.Command(""))
    for option in KEYS.values():
        if option.name in found:
            assert found[option.name or ""] == option.type_cast_value(context, option.get_default(context)), option.key
    every = text.replace("\n# interface", "\ninterface").replace("\n# listen", "\nlisten")
    for name in ("filter", "exclude", "only", "local_nets"):
        every = every.replace(f"\n# {name} =", f"\n{name} =")
    assert len(read(written(tmp_path, every))) == len(KEYS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[capture]\nintarface = 1\n", ":2: there is no key 'capture.intarface'; did you mean 'capture.interface'?"),
        ("[records]\n\n# x\nsecret = true\n", ":4: there is no key 'records.secret'; did you mean 'records.secrets'?"),
        ("seed = 1\n", ":1: there is no key 'seed'; did you mean 'records.seed'?"),
        ("[capture]\nring_size = 0\n", ":2: capture.ring_size: 0 is not in the range 1<=x<=4096."),
        ('[capture]\nring_size = "big"\n', ":2: capture.ring_size: it is a number, not 'big'"),
        ("[capture]\nplain = 1\n", ":2: capture.plain: it is true or false, not 1"),
        ("[output]\nto = true\n", ":2: output.to: it is a string, not True"),
        ('[capture]\nvxlan_ports = ["a"]\n', ":2: capture.vxlan_ports: it is a list of numbers, not ['a']"),
        ('[records]\nonly = "http"\n', ":2: records.only: it is a list of strings, not 'http'"),
        ('[records]\nsql = "shape"\n', ":2: records.sql: 'shape' is not one of 'text', 'fingerprint'."),
        ('[capture]\nworkers = "many"\n', ":2: capture.workers: it is a number from 1 to 64, or auto, not 'many'"),
        ('[capture]\nworkers = 65\n', ":2: capture.workers: it is a number from 1 to 64, or auto, not 65"),
        ('[capture]\nworkers = "²"\n', ":2: capture.workers: it is a number from 1 to 64, or auto, not '²'"),
        ("[limits]\nmax_flows = 0\n", ":2: limits.max_flows: 0 is not in the range 1<=x<=67108864."),
        ("[process]\ngrace = inf\n", ":2: process.grace: inf is not in the range 0.1<=x<=3600."),
        ("[stats]\ninterval = nan\n", ":2: stats.interval: nan is no number to count with"),
        ('[output]\nto = "a\\u0000b"\n', ":2: output.to: it is without a zero byte, not 'a\\x00b'"),
        ("[foo]\n", ":1: there is no section 'foo'; there are: capture, "),
        (f"a = {'[' * 9999}", ": this is not TOML: "),
        ("[capture\n", ": this is not TOML: "),
    ],
)  # fmt: skip
def test_mistakes_name_the_line_and_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{said}")
    for words in (["check", path], ["replay", "-c", path, HTTP], ["live", "-c", path, "-i", "lo"]):
        done = sensor(*words)
        assert done.returncode == 2 and done.stdout == b""
        assert done.stderr.decode().startswith(f"cloudmri: {path}{said}")


def test_what_a_value_cannot_be_is_found_by_check_too(tmp_path: Path) -> None:
    for text, said in (('[capture]\nfilter = "nonsense words"\n', "pcap-filter(7)"),
                       ('[records]\nonly = ["htp"]\n', "did you mean 'http'?"),
                       ('[capture]\ntenant = "map:/nowhere"\n', "tenant map /nowhere: No such file"),
                       ('[metrics]\nlisten = "foo"\n', "an address to listen at is HOST:PORT"),
                       ('[capture]\nlisten = ["xyz"]\n', "--listen is udp://ADDRESS:PORT"),
                       ('[capture]\nlisten = ["udp://0.0.0.0:1234"]\n', "port 1234 is no tunnel's"),
                       ('[process]\nuser = "nosuch"\n', "there is no user 'nosuch' to go on as"),
                       ('[output]\nto = "/etc/passwd"\n', "cannot write to /etc/passwd"),
                       ('[capture]\ninterface = "a"\nlisten = ["udp://a:1"]\n', "leave out --interface")):  # fmt: skip
        done = sensor("check", written(tmp_path, text))
        assert done.returncode == 2 and said in done.stderr.decode(), text


def test_the_command_line_comes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, '[records]\nonly = ["conn"]\nseed = 7\n[output]\nto = "%s"\n' % (tmp_path / "logs"))
    assert sensor("replay", "-q", "-c", path, HTTP).stdout == b""
    by_file = [json.loads(line) for line in (tmp_path / "logs/conn.log").read_text().splitlines()]
    assert by_file == lines(sensor("replay", "-q", HTTP, "--only", "conn", "--seed", "7"))
    assert not (tmp_path / "logs/http.log").exists()
    found = lines(sensor("replay", "-q", "-c", path, HTTP, "--output", "-", "--only", "http"))
    assert found == lines(sensor("replay", "-q", HTTP, "--only", "http", "--seed", "7")) != []


def test_an_interface_on_the_command_line_is_instead_of_sockets_in_the_file_and_the_reverse(tmp_path: Path) -> None:
    for text, words, said in (
        ('listen = ["udp://0.0.0.0:4789"]', ["-i", "nosuch0"], "nosuch0 is not there yet"),
        ('interface = "nosuch0"', ["--listen", "udp://0.0.0.0:1"], "port 1 is no tunnel's"),
    ):
        path = written(tmp_path, f"[capture]\n{text}\n[output]\nto = '{tmp_path / 'logs'}'\n")
        command = [*SENSOR, "live", "-c", path, "--metrics-listen", "none", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/") as started:
            assert started.stderr is not None
            assert said in started.stderr.readline()
            started.terminate()


def test_check_asks_what_to_look_at() -> None:
    done = sensor("check")
    assert done.returncode == 2 and b"say what to look at" in done.stderr
