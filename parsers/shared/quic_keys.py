"""QUIC Initial packets → what is in them: their keys follow from the connection id (RFC 9001, 5; RFC 9369, 3.3)."""
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

V1, V2 = 1, 0x6B3343CF
DRAFT = 0xFF000000
SALTS = (                                        # first draft that uses it, salt
    (23, bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")),
    (29, bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")),
    (33, bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")),
)
SALT_V1 = SALTS[-1][1]
SALT_V2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")


class Keys(NamedTuple):
    """How one side protects its Initial packets."""

    cipher: AESGCM
    iv: int
    header: Cipher[modes.ECB]


@lru_cache(1024)
def keys(version: int, connection: bytes, from_client: bool) -> Keys:
    salt = SALT_V2 if version == V2 else SALT_V1 if version == V1 else next(
        salt for first, salt in reversed(SALTS) if version - DRAFT >= first)
    extract = HMAC(salt, SHA256())
    extract.update(connection)
    secret = expand(extract.finalize(), "client in" if from_client else "server in", 32)
    prefix = "quicv2" if version == V2 else "quic"
    return Keys(AESGCM(expand(secret, f"{prefix} key", 16)), int.from_bytes(expand(secret, f"{prefix} iv", 12), "big"),
                Cipher(algorithms.AES128(expand(secret, f"{prefix} hp", 16)), modes.ECB()))


def expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, 7.1)."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
    return HKDFExpand(algorithm=SHA256(), length=size, info=info).derive(secret)


def open_initial(version: int, connection: bytes, from_client: bool, packet: bytes, at: int) -> bytes:
    """The frames of an Initial packet whose number begins at byte ``at``; empty when it cannot be opened."""
    if len(packet) < at + 20:
        return b""
    found = keys(version, connection, from_client)
    mask = found.header.encryptor().update(packet[at + 4 : at + 20])
    first = packet[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(packet[at : at + size], mask[1 : 1 + size], strict=True))
    header = bytes([first]) + packet[1:at] + number
    nonce = (found.iv ^ int.from_bytes(number, "big")).to_bytes(12, "big")
    try:
        return found.cipher.decrypt(nonce, packet[at + size :], header)
    except InvalidTag:
        return b""
