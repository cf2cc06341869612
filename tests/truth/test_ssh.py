"""SSH against the truth: four clients, two servers, many ciphers; which logins came through is in the records."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import PATH, Record, Run
from tests.truth.lab import SERVER, Lab, need_lab, workshop

USER, PASSWORD = "tea", "green tea"
PORTS = {"openssh": 22, "dropbear": 2222}
SSHD = """
Port 22
ListenAddress {server}
HostKey {work}/host
AuthorizedKeysFile {work}/id.pub
PidFile {work}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication yes
KbdInteractiveAuthentication no
MaxAuthTries 10
Ciphers +aes128-cbc,aes256-cbc,3des-cbc
MACs +hmac-sha1-96,hmac-md5
"""
AES = ("aes128-ctr", "hmac-sha2-256")
SUITES = {  # cipher and MAC by client; empty: the client's choice
    "openssh": [
        ("", ""),
        *itertools.product(
            ["aes128-ctr", "aes256-ctr"], ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512", "hmac-sha1"]
        ),
        ("aes128-cbc", "umac-64@openssh.com"),
        ("3des-cbc", "hmac-sha1"),
        ("aes128-ctr", "umac-128-etm@openssh.com"),
        ("aes128-gcm@openssh.com", ""),
        ("aes256-gcm@openssh.com", ""),
        ("chacha20-poly1305@openssh.com", ""),
    ],
    "dropbear": [("", ""), ("aes128-ctr", "hmac-sha2-256"), ("aes256-ctr", "hmac-sha1")],
    "paramiko": [("", ""), AES, ("aes256-cbc", "hmac-sha1"), ("aes192-ctr", "hmac-sha2-512-etm@openssh.com")],
    "libssh": [("", ""), AES, ("aes256-gcm@openssh.com", ""), ("chacha20-poly1305@openssh.com", "")],
}
BY_DROPBEAR = {"", "aes128-ctr", "aes256-ctr", "chacha20-poly1305@openssh.com"}
MACS_OF_DROPBEAR = {"", "hmac-sha1", "hmac-sha2-256"}


class Login(NamedTuple):
    client: str
    server: str
    method: str  # password or key
    good: bool  # the right password or key
    cipher: str
    mac: str


def logins() -> Iterator[Login]:
    for client, server in itertools.product(SUITES, PORTS):
        for cipher, mac in SUITES[client]:
            if server == "dropbear" and (cipher not in BY_DROPBEAR or mac not in MACS_OF_DROPBEAR):
                continue
            for method, good in itertools.product(("password", "key"), (True, False)):
                if client != "dropbear" or method == "key":
                    yield Login(client, server, method, good, cipher, mac)


def attempt(lab: Lab, one: Login) -> bool:
    """True when the login came through."""
    password = PASSWORD if one.good else "black tea"
    key = f"{lab.work}/{'id' if one.good else 'other'}"
    port = str(PORTS[one.server])
    if one.client == "openssh":
        options = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q"]
        options += ["-c", one.cipher] if one.cipher else []
        options += ["-m", one.mac] if one.mac else []
        options += ["-o", "PreferredAuthentications=" + {"password": "password", "key": "publickey"}[one.method]]
        options += ["-i", key] if one.method == "key" else ["-o", "NumberOfPasswordPrompts=2"]
        env = {"SSH_ASKPASS": f"{lab.work}/ask", "SSH_ASKPASS_REQUIRE": "force", "TEA": password, "SSH_AUTH_SOCK": ""}
        done = lab.client("ssh", *options, "-p", port, f"{USER}@{SERVER}", "seq 1 500", check=False, env=env)
        return bool(done.stdout)
    if one.client == "dropbear":
        options = ["-y", "-y", "-i", f"{key}.dropbear", *(["-c", one.cipher] if one.cipher else [])]
        options += ["-m", one.mac] if one.mac else []
        done = lab.client("dbclient", *options, "-p", port, f"{USER}@{SERVER}", "seq 1 500", check=False,
                          stdin=subprocess.DEVNULL, env={"HOME": str(lab.work)})  # fmt: skip
        return bool(done.stdout)
    script = str(Path(__file__).with_name("ssh_clients.py"))
    secret = password if one.method == "password" else key
    done = lab.client(sys.executable, script, one.client, SERVER, port, USER, one.method, secret, one.cipher, one.mac)
    return done.stdout.strip() == "yes"


def prepare(work: Path) -> None:
    """Keys, and a user that the servers alone know."""
    for name in ("host", "id", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / name], check=True)
    for name in ("id", "other"):
        subprocess.run(["dropbearconvert", "openssh", "dropbear", work / name, work / f"{name}.dropbear"], check=True,
                       capture_output=True)  # fmt: skip
    (work / "home/.ssh").mkdir(parents=True)
    shutil.copy(work / "id.pub", work / "home/.ssh/authorized_keys")
    for path in (work / "home", work / "home/.ssh", work / "home/.ssh/authorized_keys"):
        os.chown(path, 4711, 4711)
        path.chmod(0o700)
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True)
    passwd = f"{USER}:x:4711:4711::{work}/home:/bin/sh\n"
    (work / "passwd").write_text(Path("/etc/passwd").read_text() + passwd)
    (work / "shadow").write_text(f"root:*:::::::\n{USER}:{hashed.stdout.strip()}:19000::::::\n")
    (work / "sshd.conf").write_text(SSHD.format(server=SERVER, work=work))
    (work / "ask").write_text('#!/bin/sh\necho "$TEA"\n')
    (work / "ask").chmod(0o755)


def serve(lab: Lab) -> None:
    hide = f"mount --bind {lab.work}/passwd /etc/passwd && mount --bind {lab.work}/shadow /etc/shadow && "
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = f"exec {shutil.which('sshd', path=PATH)} -D -e -f {lab.work}/sshd.conf"
    dropbear = f"exec dropbear -F -E -R -p {SERVER}:2222 -P {lab.work}/dropbear.pid -r {lab.work}/dropbear.host"
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", lab.work / "dropbear.host"], check=True, capture_output=True)
    lab.server("unshare", "--mount", "sh", "-c", hide + sshd, ready=22)
    lab.server("unshare", "--mount", "sh", "-c", hide + dropbear, ready=2222)


Truth = list[tuple[Login, bool, Record]]


@pytest.fixture(scope="module")
def truth() -> Truth:
    """Each login, whether it came through, and its record."""
    need_lab(
        "sshd", "ssh", "dropbear", "dbclient", "dropbearkey", "dropbearconvert", "unshare", "openssl", "ssh-keygen"
    )
    every = list(logins())
    with workshop() as work, Lab(work) as lab:
        prepare(work)
        serve(lab)
        with lab.record() as seen:
            through = [attempt(lab, one) for one in every]
        records = sorted(Run(seen.read_bytes()).of("ssh"), key=lambda r: float(r["ts"]))
    assert len(records) == len(every)
    return list(zip(every, through, records, strict=True))


def test_the_lab_lets_the_right_ones_in(truth: Truth) -> None:
    assert [one for one, through, _ in truth if one.good != through] == []


def test_every_login_is_told_as_it_went_with_confidence(truth: Truth) -> None:
    wrong = [
        (one, record.get("auth_success"), record.get("auth_confidence"))
        for one, through, record in truth
        if (record.get("auth_success"), record.get("auth_confidence")) != (through, "high")
    ]
    assert wrong == []


def test_attempts_are_counted(truth: Truth) -> None:
    """The right password or key is one; OpenSSH asks twice for a password, dbclient offers its key until it is told to
    stop."""
    for one, _, record in truth:
        if one.good or one.client in ("paramiko", "libssh"):
            assert record["auth_attempts"] == 1
        elif one.client == "openssh":
            assert record["auth_attempts"] == (2 if one.method == "password" else 1)
        else:
            assert record["auth_attempts"] >= 1


def test_what_was_agreed_on_is_told(truth: Truth) -> None:
    for one, _, record in truth:
        assert not one.cipher or record["cipher_alg"] == one.cipher
        assert not one.mac or record["mac_alg"] == one.mac
        assert re.match({"openssh": "SSH-2.0-OpenSSH", "dropbear": "SSH-2.0-dropbear"}[one.server], record["server"])
