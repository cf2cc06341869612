"""X.509 certificates: what records say of them, against certificates made by an independent hand (cryptography)."""

import datetime
import hashlib
import struct
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from parsers.shared.x509 import describe, escape
from tests.builders import START, Turns, connection
from tests.conftest import Run, run
from tests.parsers.test_fingerprints import client_hello, record, server_hello, server_name

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
OID = x509.oid.NameOID


def certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    *names: str,
    subject: list[tuple[x509.ObjectIdentifier, str]] | None = None,
    ca: bool = False,
    until: datetime.datetime = WHEN + datetime.timedelta(90),
) -> bytes:
    parts = [x509.NameAttribute(oid, value) for oid, value in subject or [(OID.COMMON_NAME, "leaf.test")]]
    name = x509.Name(parts)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 0x0102030405, WHEN, until)
    builder = builder.add_extension(x509.BasicConstraints(ca, 1 if ca else None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


def chain(*ders: bytes) -> bytes:
    body = b"".join(len(der).to_bytes(3, "big") + der for der in ders)
    message = len(body).to_bytes(3, "big") + body
    return b"\x0b" + len(message).to_bytes(3, "big") + message


EC = ec.generate_private_key(ec.SECP256R1())


def handshake(host: str, *ders: bytes) -> Turns:
    return [
        (True, record(client_hello(extensions=[server_name(host)]))),
        (False, record(server_hello(0x0303, 0xC02B, []) + chain(*ders))),
    ]


def shown(host: str, *ders: bytes) -> Run:
    return run(connection(handshake(host, *ders), dport=443).frames())


def test_a_chain_gives_a_record_each_and_the_leaf_on_the_ssl_record() -> None:
    leaf, root = certificate(EC, "shop.test"), certificate(EC, ca=True, subject=[(OID.COMMON_NAME, "Root")])
    got = shown("shop.test", leaf, root)
    first, second = sorted(got.of("x509"), key=lambda r: not r["host_cert"])
    assert (first["certificate.subject"], second["certificate.subject"]) == ("CN=leaf.test", "CN=Root")
    assert (first["san.dns"], first["host_cert"], second["host_cert"]) == (["shop.test"], True, False)
    assert (second["basic_constraints.ca"], second["basic_constraints.path_len"]) == (True, 1)
    one = got.one("ssl")
    assert one["cert_chain_fps"] == [first["fingerprint"], second["fingerprint"]]
    assert (one["subject"], one["serial"], one["sni_matches_cert"]) == ("CN=leaf.test", "0102030405", True)
    assert (one["not_valid_before"], one["not_valid_after"]) == (WHEN.timestamp(), WHEN.timestamp() + 90 * 86400)
    assert one["fingerprint"] == first["fingerprint"] and one["fingerprint_sha1"] == first["fingerprint_sha1"]


@pytest.mark.parametrize(
    "host, names, matches",
    [
        ("a.test", ("b.test", "A.TEST"), True),
        ("x.a.test", ("*.a.test",), True),
        ("x.y.a.test", ("*.a.test",), False),
        ("a.test", ("*.a.test",), False),
        ("leaf.test", (), True),  # the common name counts where there is no alternative
        ("leaf.test", ("other.test",), False),
    ],
)
def test_the_name_asked_for_is_compared(host: str, names: tuple[str, ...], matches: bool) -> None:
    assert shown(host, certificate(EC, *names)).one("ssl")["sni_matches_cert"] is matches


def test_a_certificate_is_written_once_a_day() -> None:
    der = certificate(EC, "shop.test")
    hours = (0, 1, 23, 25, 26)
    talks = [connection(handshake("shop.test", der), sport=41000 + i, dport=443, start=START + 3600 * hour)
             for i, hour in enumerate(hours)]  # fmt: skip
    got = run(frame for talk in talks for frame in talk.frames())
    assert len(got.of("ssl")) == 5
    assert [round((r["ts"] - START) / 3600) for r in got.of("x509")] == [0, 25]


@pytest.mark.parametrize(
    "key, kind, length, algorithm",
    [
        (rsa.generate_private_key(65537, 2048), "rsa", 2048, "rsaEncryption"),
        (EC, "ecdsa", 256, "id-ecPublicKey"),
        (ed25519.Ed25519PrivateKey.generate(), None, 256, "ED25519"),
    ],
)
def test_keys_are_described(key: rsa.RSAPrivateKey, kind: str | None, length: int, algorithm: str) -> None:
    fields = describe(certificate(key)).fields
    found = [fields.get(f"certificate.{name}") for name in ("key_type", "key_length", "key_alg")]
    assert found == [kind, length, algorithm]


def test_names_are_spelled_as_openssl_spells_them() -> None:
    subject = [
        (OID.COUNTRY_NAME, "SE"), (OID.ORGANIZATION_NAME, 'Ö, "K" + <x>;'), (OID.BUSINESS_CATEGORY, " lead#"),
        (OID.COMMON_NAME, "#1 \\ end "), (OID.EMAIL_ADDRESS, "a@b.test"),
    ]  # fmt: skip
    der = certificate(EC, subject=subject)
    said = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253"],
        input=der, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    assert "subject=" + describe(der).fields["certificate.subject"] == said.strip("\n")
    assert escape("") == ""


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_what_is_no_certificate_gives_its_digest_and_a_weird(cut: int) -> None:
    got = shown("a.test", certificate(EC)[:cut] + b"x")
    assert got.one("weird")["name"] == "x509_unreadable"
    assert got.one("x509")["fingerprint"] == got.one("ssl")["cert_chain_fps"][0]


def test_a_certificate_that_never_ends_is_told_of_too() -> None:
    """RFC 5280, 4.1.2.5: no date of expiry is written as the end of the year 9999."""
    der = certificate(ec.generate_private_key(ec.SECP256R1()), until=datetime.datetime(9999, 12, 31, 23, 59, 59))
    got = shown("leaf.test", der)
    assert got.one("ssl")["not_valid_after"] == got.one("x509")["certificate.not_valid_after"] == 9223372036.0


def test_a_certificate_without_measure_gives_only_its_digest() -> None:
    der = certificate(ec.generate_private_key(ec.SECP256R1()), *(f"{'n' * 60}.{n}.test" for n in range(600)))
    assert len(der) > 32768
    found = describe(der)
    assert (found.odd, found.fields, found.fingerprint) == ("x509_unreadable", {}, hashlib.sha256(der).hexdigest())


def test_a_client_shows_its_own() -> None:
    turns = handshake("a.test", certificate(EC, "a.test"))
    turns.append((True, record(chain(certificate(EC, subject=[(OID.COMMON_NAME, "ana")])))))
    one = run(connection(turns, dport=443).frames()).one("ssl")
    assert (one["client_subject"], one["client_issuer"]) == ("CN=ana", "CN=ana")
    assert len(one["client_cert_chain_fps"]) == 1


def test_lengths_that_lie_are_borne() -> None:
    lie = chain(certificate(EC))[:4] + b"\xff\xff\xff" + struct.pack(">I", 0xFFFFFFFF)
    message = b"\x0b" + (len(lie) - 4).to_bytes(3, "big") + lie[4:]
    run(connection([(False, record(server_hello(0x0303, 0xC02B, []) + message))], dport=443).frames()).one("conn")


def broken(der: bytes) -> bytes:
    """A certificate that cryptography refuses: its version is one that there is not."""
    at = der.index(b"\xa0\x03\x02\x01\x02")
    return der[: at + 4] + b"\x07" + der[at + 5 :]


def test_of_what_no_parser_accepts_the_parts_are_told() -> None:
    key = rsa.generate_private_key(65537, 2048)
    subject = [(OID.COUNTRY_NAME, "DE"), (OID.ORGANIZATION_NAME, "Grün, Tee"), (OID.COMMON_NAME, "leaf.test")]
    der = certificate(key, "a.test", "*.b.test", subject=subject)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(broken(der))
    whole, found = describe(der), describe(broken(der))
    assert found.odd == "x509_unreadable_part"
    same = {name: value for name, value in whole.fields.items() if not name.startswith("basic_constraints")}
    assert found.fields == same | {"certificate.version": 8}
    assert found.names == whole.names == ("a.test", "*.b.test")


def test_a_version_that_can_be_none_hides_nothing_else() -> None:
    der = certificate(EC, "a.test")
    odd = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x80", 1)  # -128
    assert "certificate.version" not in describe(odd).fields
    got = run(connection(handshake("a.test", odd, der), dport=443).frames())
    assert len(got.of("x509")) == 2
    assert len(got.one("ssl")["cert_chain_fps"]) == 2


def test_of_elliptic_keys_too() -> None:
    found = describe(broken(certificate(ec.generate_private_key(ec.SECP256R1()))))
    assert (found.fields["certificate.key_type"], found.fields["certificate.key_length"]) == ("ecdsa", 256)
    assert found.names == ("leaf.test",)


@given(st.data())
def test_any_change_of_a_certificate_is_borne(data: st.DataObject) -> None:
    der = bytearray(MADE)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    found = describe(bytes(der[: data.draw(st.integers(1, len(der)))]))
    assert found.fingerprint
    assert all(isinstance(name, str) for name in found.names)
    assert all(value == value for value in found.fields.values())


MADE = certificate(ec.generate_private_key(ec.SECP256R1()), "a.test")
