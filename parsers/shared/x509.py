"""X.509 certificates → what a record says of them, through ``cryptography`` (RFC 5280).

A certificate is parsed once: real traffic repeats them.  Names are written as OpenSSL writes them in RFC 2253 form, so
that they compare with Zeek's.  What one part of a certificate hides by being broken, the other parts still tell.
"""
import hashlib
import ipaddress
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509 import ExtensionNotFound
from cryptography.x509.oid import ExtensionOID

from parsers.shared import x509_lenient

MOST_CACHED = 1024                               # with their bytes: some 100 MB when somebody fills it on purpose
LONGEST_CERTIFICATE = 32768                      # bytes; real ones, with a hundred names, have 8,000
LONGEST_NAME = 4096                              # characters of a subject or issuer
MOST_SECONDS = 9_223_372_036                     # since 1970: a time of a record goes to 2262-04-11
MOST_NAMES = 256                                 # alternative names of a certificate that are kept

# OpenSSL's short names of attributes where cryptography has another, or none
ATTRIBUTES = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
    "2.5.4.15": "businessCategory", "2.5.4.16": "postalAddress", "2.5.4.17": "postalCode", "2.5.4.20":
    "telephoneNumber", "2.5.4.41": "name", "2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier",
    "2.5.4.45": "x500UniqueIdentifier", "2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97":
    "organizationIdentifier", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName",
    "1.2.840.113549.1.9.8": "unstructuredAddress", "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}
KEY_ALGORITHMS = {
    "1.2.840.113549.1.1.1": "rsaEncryption", "1.2.840.113549.1.1.10": "rsassaPss", "1.2.840.10045.2.1":
    "id-ecPublicKey", "1.2.840.10040.4.1": "dsaEncryption", "1.2.840.10046.2.1": "X9.42 DH",
    "1.2.840.113549.1.3.1": "dhKeyAgreement", "1.3.101.110": "X25519", "1.3.101.111": "X448", "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
}
SIGNATURES = {
    "1.2.840.113549.1.1.2": "md2WithRSAEncryption", "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption", "1.3.14.3.2.29": "sha1WithRSA",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption", "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption", "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss", "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224", "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384", "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.2.840.10040.4.3": "dsaWithSHA1", "2.16.840.1.101.3.4.3.1": "dsa_with_SHA224",
    "2.16.840.1.101.3.4.3.2": "dsa_with_SHA256", "1.3.101.112": "ED25519", "1.3.101.113": "ED448",
}
CURVES = {"secp256r1": "prime256v1", "secp192r1": "prime192v1"}
KEY_TYPES = {rsa.RSAPublicKey: "rsa", ec.EllipticCurvePublicKey: "ecdsa", dsa.DSAPublicKey: "dsa"}
UNREADABLE = "x509_unreadable_part"


@dataclass(frozen=True)
class Certificate:
    """What a certificate says.  ``fields`` are those of the x509 record; ``odd`` names a weird, or is empty."""

    fingerprint: str
    sha1: str
    fields: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    odd: str = ""

    def names_host(self, host: str) -> bool:
        """True when the certificate is for that host: RFC 6125, 6.4, with a wildcard for one leftmost label."""
        host = host.lower().rstrip(".")
        return any(host == name or (name.startswith("*.") and "." in host and host.partition(".")[2] == name[2:])
                   for name in self.names)


@lru_cache(MOST_CACHED)
def describe(der: bytes) -> Certificate:
    """Reads a certificate.  Never raises: what cannot be read is left out, and ``odd`` says so."""
    fields: dict[str, Any] = {}
    digests = hashlib.sha256(der).hexdigest(), hashlib.sha1(der, usedforsecurity=False).hexdigest()
    names: list[str] = []
    odd = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")          # of what is deprecated in certificates that others have made
        try:
            if len(der) > LONGEST_CERTIFICATE:
                raise ValueError
            certificate = x509.load_der_x509_certificate(der)
        except Exception:
            return describe_leniently(der, digests)
        for part in (read_identity, read_validity, read_algorithms, read_key, read_constraints, read_alternatives):
            try:
                part(certificate, fields)
            except Exception:
                odd = UNREADABLE
        names = [name.lower() for name in fields.get("san.dns", [])]
        if not names:
            names = common_names(certificate)
    return Certificate(*digests, fields, tuple(names), odd)


def describe_leniently(der: bytes, digests: tuple[str, str]) -> Certificate:
    """What can be read of a certificate that cryptography does not accept."""
    if len(der) > LONGEST_CERTIFICATE:
        return Certificate(*digests, odd="x509_unreadable")
    fields, common = x509_lenient.read(der, spell_rdns, KEY_ALGORITHMS, SIGNATURES)
    for name in ("certificate.not_valid_before", "certificate.not_valid_after"):
        if name in fields:
            fields[name] = bounded(fields[name])
    for name in ("certificate.subject", "certificate.issuer"):
        if name in fields:
            fields[name] = fields[name][:LONGEST_NAME]
    names = [str(name).lower() for name in fields.get("san.dns", [])][:MOST_NAMES] or common[:MOST_NAMES]
    return Certificate(*digests, fields, tuple(names), UNREADABLE if fields else "x509_unreadable")


Part = Callable[[x509.Certificate, dict[str, Any]], None]


def read_identity(certificate: x509.Certificate, fields: dict[str, Any]) -> None:
    serial = certificate.serial_number
    digits = f"{abs(serial):X}"
    fields["certificate.serial"] = "-" * (serial < 0) + "0" * (len(digits) % 2) + digits
    fields["certificate.version"] = certificate.version.value + 1
    fields["certificate.subject"] = spell(certificate.subject)[:LONGEST_NAME]
    fields["certificate.issuer"] = spell(certificate.issuer)[:LONGEST_NAME]


def read_validity(certificate: x509.Certificate, fields: dict[str, Any]) -> None:
    # "Never" is written as the year 9999 (RFC 5280, 4.1.2.5)
    fields["certificate.not_valid_before"] = bounded(certificate.not_valid_before_utc.timestamp())
    fields["certificate.not_valid_after"] = bounded(certificate.not_valid_after_utc.timestamp())


def bounded(seconds: float) -> float:
    return min(max(seconds, -float(MOST_SECONDS)), float(MOST_SECONDS))


def read_algorithms(certificate: x509.Certificate, fields: dict[str, Any]) -> None:
    key = certificate.public_key_algorithm_oid.dotted_string
    fields["certificate.key_alg"] = KEY_ALGORITHMS.get(key, key)
    signature = SIGNATURES.get(certificate.signature_algorithm_oid.dotted_string)
    if signature:
        fields["certificate.sig_alg"] = signature


def read_key(certificate: x509.Certificate, fields: dict[str, Any]) -> None:
    oid = certificate.public_key_algorithm_oid.dotted_string
    if oid not in KEY_ALGORITHMS:
        return
    key = certificate.public_key()
    for kind, name in KEY_TYPES.items():
        if isinstance(key, kind):
            fields["certificate.key_type"] = name
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey):
        fields["certificate.key_length"] = key.key_size
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        fields["certificate.key_length"] = 256 if isinstance(key, ed25519.Ed25519PublicKey) else 456
    if isinstance(key, rsa.RSAPublicKey):
        fields["certificate.exponent"] = str(key.public_numbers().e)
    if isinstance(key, ec.EllipticCurvePublicKey):
        fields["certificate.curve"] = CURVES.get(key.curve.name, key.curve.name)


def read_constraints(certificate: x509.Certificate, fields: dict[str, Any]) -> None:
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS).value
    except ExtensionNotFound:
        return
    if isinstance(found, x509.BasicConstraints):
        fields["basic_constraints.ca"] = found.ca
        if found.path_length is not None:
            fields["basic_constraints.path_len"] = found.path_length


def read_alternatives(certificate: x509.Certificate, fields: dict[str, Any]) -> None:
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except ExtensionNotFound:
        return
    assert isinstance(found, x509.SubjectAlternativeName)
    for name, kind in (("san.dns", x509.DNSName), ("san.uri", x509.UniformResourceIdentifier),
                       ("san.email", x509.RFC822Name), ("san.ip", x509.IPAddress)):
        values = [str(ipaddress.ip_address(str(value))) if kind is x509.IPAddress else str(value)
                  for value in found.get_values_for_type(kind)]
        if values:
            fields[name] = values[:MOST_NAMES]


def common_names(certificate: x509.Certificate) -> list[str]:
    """The subject's common names: they count where there is no alternative name."""
    try:
        return [str(name.value).lower() for name in
                certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)][:MOST_NAMES]
    except Exception:
        return []


def spell(name: x509.Name) -> str:
    """RFC 2253 as OpenSSL writes it: last part first, bytes beyond ASCII and control characters as ``\\XX``."""
    return spell_rdns([[(part.oid.dotted_string, part.value) for part in rdn] for rdn in name.rdns])


def spell_rdns(rdns: Sequence[Sequence[tuple[str, str | bytes]]]) -> str:
    """The same of attributes as pairs of object number and value."""
    return ",".join("+".join(f"{ATTRIBUTES.get(number, number)}={escape(value)}" for number, value in reversed(rdn))
                    for rdn in reversed(rdns))


def escape(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return "#" + value.hex().upper()
    out = []
    for at, letter in enumerate(value):
        if letter in ',+"\\<>;' or (at == 0 and letter in "# ") or (at == len(value) - 1 and letter == " "):
            out.append("\\" + letter)
        elif " " <= letter <= "~":
            out.append(letter)
        else:
            out.append("".join(f"\\{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass")))
    return "".join(out)
