"""SSH, case by case from RFC 4253."""

import base64
import hashlib
import struct

import pytest

from tests.builders import Turns, connection
from tests.conftest import Record, Run, run


def packet(payload: bytes) -> bytes:
    padding = 8 - (5 + len(payload)) % 8 + 8
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def kexinit(
    kex: bytes = b"curve25519-sha256,ecdh-sha2-nistp256",
    up: bytes = b"aes128-ctr",
    down: bytes = b"aes128-ctr",
    mac: bytes = b"hmac-sha2-256",
) -> bytes:
    lists = [kex, b"ssh-ed25519", up, down, mac, mac, b"none", b"none", b"", b""]
    return packet(b"\x14" + bytes(16) + b"".join(map(text, lists)) + bytes(5))


CLIENT, SERVER = b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH-2.0-OpenSSH_9.6 Debian\r\n"
KEY = text(b"ssh-ed25519") + text(bytes(range(32)))
NEWKEYS = packet(b"\x15")


def ssh(*turns: tuple[bool, bytes]) -> Record:
    return whole(*turns).one("ssh")


def whole(*turns: tuple[bool, bytes]) -> Run:
    return run(connection(list(turns), dport=22).frames())


def test_banners_and_version() -> None:
    got = ssh((True, CLIENT), (False, SERVER))
    assert (got["client"], got["server"], got["version"]) == ("SSH-2.0-OpenSSH_9.2", "SSH-2.0-OpenSSH_9.6 Debian", 2)


@pytest.mark.parametrize(
    ("client", "server", "version"),
    [(b"SSH-1.99-a\n", b"SSH-2.0-b\n", 2), (b"SSH-1.5-a\n", b"SSH-1.99-b\n", 1), (b"SSH-1.5-a\n", b"SSH-2.0-b\n", 0)],
)
def test_versions_that_meet(client: bytes, server: bytes, version: int) -> None:
    """RFC 4253, 5.1."""
    assert ssh((True, client), (False, server))["version"] == version


def test_a_server_may_greet_before_its_banner() -> None:
    """RFC 4253, 4.2: other lines may come first."""
    assert ssh((True, CLIENT), (False, b"Welcome to the host.\r\n\r\n" + SERVER))["server"].startswith("SSH-2.0")


def test_the_clients_first_choice_that_the_server_has_is_taken() -> None:
    """RFC 4253, 7.1; both directions where they differ."""
    got = ssh(
        (True, CLIENT),
        (False, SERVER),
        (True, kexinit(up=b"chacha20,aes256-ctr,aes128-ctr")),
        (False, kexinit(b"ecdh-sha2-nistp256,x", up=b"aes128-ctr,aes256-ctr")),
    )
    assert (got["kex_alg"], got["cipher_alg"]) == ("ecdh-sha2-nistp256", "To server: aes256-ctr, to client: aes128-ctr")
    assert (got["mac_alg"], got["host_key_alg"], got["compression_alg"]) == ("hmac-sha2-256", "ssh-ed25519", "none")


def exchange(kind: int) -> Turns:
    reply = packet(bytes([kind]) + text(KEY) + text(b"f") + text(b"signature"))
    kex = b"diffie-hellman-group-exchange-sha256" if kind == 33 else b"curve25519-sha256"
    return [
        (True, CLIENT),
        (False, SERVER),
        (True, kexinit(kex)),
        (False, kexinit(kex)),
        (False, reply + NEWKEYS),
        (True, NEWKEYS),
    ]


@pytest.mark.parametrize("kind", [31, 33])
def test_fingerprint_is_that_of_ssh_keygen(kind: int) -> None:
    want = "SHA256:" + base64.b64encode(hashlib.sha256(KEY).digest()).decode().rstrip("=")
    assert ssh(*exchange(kind))["host_key_sha256"] == want


def test_hassh_server_is_as_published() -> None:
    """OpenSSH 7.6 as github.com/salesforce/hassh and honeypots know it: b12d2871a1189eff20364cf5333619ee."""
    kex = (
        b"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
        b"diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,"
        b"diffie-hellman-group14-sha256,diffie-hellman-group14-sha1"
    )
    ciphers = (
        b"chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
    )
    macs = (
        b"umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
        b"hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1"
    )
    lists = [kex, b"ssh-ed25519", ciphers, ciphers, macs, macs, b"none,zlib@openssh.com", b"none,zlib@openssh.com"]
    message = b"\x14" + bytes(16) + b"".join(text(one) for one in [*lists, b"", b""]) + bytes(5)
    got = ssh((True, CLIENT), (False, SERVER), (False, packet(message)))
    assert got["hasshServer"] == "b12d2871a1189eff20364cf5333619ee"
    assert "hassh" not in got


def login(*sizes: int) -> Record:
    """After the key exchange: what the server's segments measure, each behind one of the client's."""
    turns = exchange(31)
    for size in sizes:
        turns += [(True, bytes(40)), (False, bytes(size))]
    return ssh(*turns)


def test_a_login_is_inferred_from_sizes() -> None:
    """SERVICE_ACCEPT 44, a failure 76, another of that size, then a success that is 16 smaller than the first."""
    got = login(44, 76, 76, 28)
    assert (got["auth_success"], got["auth_attempts"], got["auth_confidence"]) == (True, 2, "low")


def test_failed_logins_are_counted() -> None:
    got = login(44, 76, 76, 76)
    assert (got["auth_success"], got["auth_attempts"]) == (False, 2)


def test_what_cannot_be_told_is_not_told() -> None:
    assert "auth_success" not in login(44)


def test_a_bad_packet_ends_the_parsing_with_what_is_known() -> None:
    got = whole((True, CLIENT), (False, SERVER), (True, b"\xff" * 40))
    assert got.one("ssh")["version"] == 2
    assert got.of("weird")[0]["name"] == "ssh_bad_packet"


AES = b"aes128-ctr"
GCM = b"aes256-gcm@openssh.com"
CHACHA = b"chacha20-poly1305@openssh.com"


def measured(server: bytes, cipher: bytes, mac: bytes, sizes: tuple[int, ...]) -> Record:
    lists = kexinit(up=cipher, down=cipher, mac=mac)
    turns: Turns = [(True, CLIENT), (False, server), (True, lists), (False, lists), (False, NEWKEYS), (True, NEWKEYS)]
    for size in sizes:
        turns += [(True, bytes(40)), (False, bytes(size))]
    return ssh(*turns)


@pytest.mark.parametrize(
    ("cipher", "mac", "sizes", "want"),
    [
        (AES, b"hmac-sha2-256", (64, 80, 48), (True, 1)),
        (AES, b"hmac-sha2-256-etm@openssh.com", (68, 68, 52), (True, 1)),
        (GCM, b"", (52, 52, 52, 36), (True, 2)),
        (CHACHA, b"", (44, 52, 28), (True, 1)),
        (b"3des-cbc", b"hmac-sha1", (52, 60, 36), (True, 1)),
        (AES, b"umac-64@openssh.com", (40, 56, 56, 56), (False, 2)),
        (CHACHA, b"", (116, 44, 52, 52), (False, 1)),  # an extension comes first
        (CHACHA, b"", (44, 52, 100, 28), (True, 1)),  # a key may be tried
        (CHACHA, b"", (44, 400, 52, 52, 52), (False, 2)),  # a banner in front of the first failure
        (CHACHA, b"", (44,), (None, 0)),
        (CHACHA, b"", (44, 52), (None, 0)),  # the failure of "none" is no attempt
    ],
)
def test_sizes_are_those_that_cipher_and_mac_give(
    cipher: bytes, mac: bytes, sizes: tuple[int, ...], want: tuple[bool | None, int]
) -> None:
    """As measured on OpenSSH and Dropbear servers (tests/truth/test_ssh.py)."""
    got = measured(SERVER, cipher, mac or b"hmac-sha2-256", sizes)
    assert (got.get("auth_success"), got["auth_attempts"]) == want
    assert got.get("auth_confidence") == (None if want[0] is None else "high")


def test_dropbear_pads_its_success_to_sixteen() -> None:
    sizes, mac = (44, 52, 36), b"hmac-sha2-256"
    assert measured(b"SSH-2.0-dropbear_2022.83\r\n", CHACHA, mac, sizes)["auth_success"] is True
    assert "auth_success" not in measured(SERVER, CHACHA, mac, sizes)
