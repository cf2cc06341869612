"""JA3, JA3S, JA4 and HASSH: the values that their authors publish, and tshark's."""

import hashlib
import json
import struct
import subprocess

import pytest

from tests.builders import Turns, connection
from tests.conftest import ROOT, Record, Run, need, run

Extension = tuple[int, bytes]


def listed(size: int, *numbers: int) -> bytes:
    """A list of 16-bit numbers with its length in bytes before it."""
    body = b"".join(struct.pack(">H", number) for number in numbers)
    return len(body).to_bytes(size, "big") + body


def server_name(host: str) -> Extension:
    return 0, struct.pack(">HBH", len(host) + 3, 0, len(host)) + host.encode()


def extend(extensions: list[Extension]) -> bytes:
    body = b"".join(struct.pack(">HH", kind, len(data)) + data for kind, data in extensions)
    return struct.pack(">H", len(body)) + body


def client_hello(
    version: int = 0x0303, ciphers: tuple[int, ...] = (0x1301, 0xC02F), extensions: list[Extension] | None = None
) -> bytes:
    body = struct.pack(">H", version) + bytes(range(32)) + b"\0" + listed(2, *ciphers) + b"\1\0"
    if extensions is not None:
        body += extend(extensions)
    return b"\1" + len(body).to_bytes(3, "big") + body


def server_hello(version: int, cipher: int, extensions: list[Extension]) -> bytes:
    body = struct.pack(">H", version) + bytes(range(32)) + b"\0" + struct.pack(">HB", cipher, 0) + extend(extensions)
    return b"\2" + len(body).to_bytes(3, "big") + body


def record(message: bytes) -> bytes:
    return b"\x16\3\1" + struct.pack(">H", len(message)) + message


def ssl(*turns: tuple[bool, bytes]) -> Record:
    said: Turns = [(is_orig, record(message)) for is_orig, message in turns]
    return run(connection(said, dport=443).frames()).one("ssl")


@pytest.mark.parametrize(
    "hello, digest",
    [
        # github.com/salesforce/ja3: 769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0
        (
            client_hello(
                769,
                (47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4),
                [server_name("a.test"), (10, listed(2, 23, 24, 25)), (11, b"\1\0")],
            ),
            "ada70206e40642a3e4461f35503241d5",
        ),
        # 769,4-5-10-9-100-98-3-6-19-18-99,,,
        (client_hello(769, (4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99)), "de350869b8c85de67a350c8d186f11e6"),
    ],
)
def test_ja3_is_as_published(hello: bytes, digest: str) -> None:
    assert ssl((True, hello))["ja3"] == digest


def test_ja3s_is_version_cipher_and_extensions() -> None:
    answer = server_hello(769, 47, [(65281, b"\0"), (0, b""), (11, b"\1\0"), (35, b""), (5, b""), (16, b"\0\3\2h2")])
    want = hashlib.md5(b"769,47,65281-0-11-35-5-16", usedforsecurity=False).hexdigest()
    assert ssl((True, client_hello()), (False, answer))["ja3s"] == want


# github.com/FoxIO-LLC/ja4, technical details of JA4: the example in full
JA4_CIPHERS = (
    0x1301,
    0x1302,
    0x1303,
    0xC02B,
    0xC02F,
    0xC02C,
    0xC030,
    0xCCA9,
    0xCCA8,
    0xC013,
    0xC014,
    0x9C,
    0x9D,
    0x2F,
    0x35,
)
JA4_EXTENSIONS: list[Extension] = [
    (0x1B, b""), server_name("a.test"), (0x33, b""), (0x10, b"\0\x0c\2h2\x08http/1.1"), (0x4469, b""), (0x17, b""),
    (0x2D, b""), (0x0D, listed(2, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)), (0x05, b""),
    (0x23, b""), (0x12, b""), (0x2B, listed(1, 0x0304, 0x0303)), (0xFF01, b"\0"), (0x0B, b"\1\0"),
    (0x0A, listed(2, 29, 23, 24)), (0x15, bytes(9)),
]  # fmt: skip


def test_ja4_is_as_published() -> None:
    assert (
        ssl((True, client_hello(0x0303, JA4_CIPHERS, JA4_EXTENSIONS)))["ja4"] == "t13d1516h2_8daaf6152771_e5627efa2ab1"
    )


def test_grease_changes_no_fingerprint() -> None:
    """RFC 8701: numbers that are there only to keep servers tolerant."""
    plain = ssl((True, client_hello(0x0303, JA4_CIPHERS, JA4_EXTENSIONS)))
    greased = list(JA4_EXTENSIONS)
    greased[11] = (0x2B, listed(1, 0x9A9A, 0x0304, 0x0303))
    greased[14] = (0x0A, listed(2, 0x3A3A, 29, 23, 24))
    greased.insert(0, (0x0A0A, b""))
    other = ssl((True, client_hello(0x0303, (0xFAFA, *JA4_CIPHERS), greased)))
    assert (other["ja3"], other["ja4"]) == (plain["ja3"], plain["ja4"])


@pytest.mark.parametrize(
    "alpn, letters",
    [(b"h2", "h2"), (b"http/1.1", "h1"), (b"\xab", "ab"), (b"\xab\xcd", "ad"), (b"0", "00"), (b"h\xff", "6f")],
)
def test_ja4_says_the_first_protocol(alpn: bytes, letters: str) -> None:
    offer = (16, struct.pack(">HB", len(alpn) + 1, len(alpn)) + alpn)
    assert ssl((True, client_hello(extensions=[offer])))["ja4"][8:10] == letters


def test_ja4_of_a_hello_with_nothing_is_zeros() -> None:
    assert ssl((True, client_hello(0x0302, (), None)))["ja4"] == "t11i000000_000000000000_000000000000"


def test_ja3s_is_that_of_tshark() -> None:
    need("tshark")
    capture = ROOT / "pcaps/tls/openssl-tls12.pcap"
    words = ["-Y", "tls.handshake.type == 2", "-T", "fields", "-e", "tls.handshake.ja3s"]
    shown = subprocess.run(["tshark", "-r", str(capture), *words], capture_output=True, check=True, text=True)
    assert [r["ja3s"] for r in Run(capture.read_bytes()).of("ssl") if "ja3s" in r] == shown.stdout.split()


def test_hassh_is_that_of_tshark() -> None:
    need("tshark")
    capture = ROOT / "pcaps/ssh/openssh.pcap"
    words = ["-T", "json", "-e", "ssh.kex.hassh", "-e", "ssh.kex.hasshserver"]
    shown = subprocess.run(["tshark", "-r", str(capture), "-Y", "ssh.message_code == 20", *words], capture_output=True)
    layers = [packet["_source"]["layers"] for packet in json.loads(shown.stdout)]
    want = [one["ssh.kex.hassh"][0] for one in layers if "ssh.kex.hassh" in one]
    assert [r["hassh"] for r in Run(capture.read_bytes()).of("ssh")] == want
    want = [one["ssh.kex.hasshserver"][0] for one in layers if "ssh.kex.hasshserver" in one]
    assert [r["hasshServer"] for r in Run(capture.read_bytes()).of("ssh")] == want
