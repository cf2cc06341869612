"""TLS against the truth: what OpenSSL's server and client agreed on, and refused, is in the records."""

import hashlib
import re
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Record, Run
from tests.truth.lab import SERVER, Lab, need_lab, workshop

NAME = "shop.example.test"
VERSIONS = {"-tls1": "TLSv10", "-tls1_1": "TLSv11", "-tls1_2": "TLSv12", "-tls1_3": "TLSv13"}
SUITES = [
    ("-tls1", ["-cipher", "AES128-SHA:@SECLEVEL=0"]),
    ("-tls1_1", ["-cipher", "ECDHE-RSA-AES256-SHA:@SECLEVEL=0", "-groups", "P-256"]),
    ("-tls1_2", ["-cipher", "AES256-GCM-SHA384"]),
    ("-tls1_2", ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-groups", "P-256"]),
    ("-tls1_2", ["-cipher", "ECDHE-RSA-CHACHA20-POLY1305", "-groups", "X25519"]),
    ("-tls1_2", ["-cipher", "DHE-RSA-AES256-GCM-SHA384"]),
    ("-tls1_3", ["-ciphersuites", "TLS_AES_128_GCM_SHA256", "-groups", "P-384"]),
    ("-tls1_3", ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-groups", "X25519:P-256"]),
]
CURVES = {"P-256": "secp256r1", "P-384": "secp384r1", "X25519": "x25519", "X25519:P-256": "x25519"}


class Visit(NamedTuple):
    """A run of s_client, by its words, and what it said."""

    words: list[str]
    said: str


def make_certificates(work: Path) -> None:
    for name in (NAME, "client"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName=DNS:{name}", "-keyout", work / f"{name}.key", "-out", work / f"{name}.crt"],
            check=True, capture_output=True,
        )  # fmt: skip


def visit(lab: Lab, port: int, *words: str) -> Visit:
    done = lab.client("openssl", "s_client", "-connect", f"{SERVER}:{port}", *words, check=False, input="GET /\n\n")
    return Visit(list(words), done.stdout + done.stderr)


def fingerprint(path: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).hexdigest()


class Truth(NamedTuple):
    visits: list[Visit]
    records: list[Record]
    leaf: str
    client: str


@pytest.fixture(scope="module")
def truth() -> Truth:
    need_lab("openssl")
    with workshop() as work, Lab(work) as lab:
        make_certificates(work)
        common = ["-cert", f"{work}/{NAME}.crt", "-key", f"{work}/{NAME}.key", "-www", "-alpn", "http/1.1,h2"]
        loose = ["-cipher", "ALL:@SECLEVEL=0"]
        lab.server("openssl", "s_server", "-accept", "443", *common, *loose, ready=443)
        lab.server("openssl", "s_server", "-accept", "444", *common, "-Verify", "1", "-CAfile", f"{work}/client.crt",
                   ready=444)  # fmt: skip
        lab.server("openssl", "s_server", "-accept", "445", *common, "-tls1_3", ready=445)
        with lab.record() as seen:
            visits = [visit(lab, 443, version, *suite, "-servername", NAME) for version, suite in SUITES]
            visits.append(visit(lab, 443, "-tls1_2", "-servername", "other.test", "-alpn", "h2,http/1.1"))
            visits.append(visit(lab, 443, "-tls1_2", "-noservername", "-sess_out", f"{work}/ticket"))
            visits.append(visit(lab, 443, "-tls1_2", "-noservername", "-sess_in", f"{work}/ticket"))
            visits.append(visit(lab, 444, "-tls1_2", "-cert", f"{work}/client.crt", "-key", f"{work}/client.key"))
            visits.append(visit(lab, 444, "-tls1_2"))
            visits.append(visit(lab, 445, "-tls1_2"))
        records = sorted(Run(seen.read_bytes()).of("ssl"), key=lambda record: float(record["ts"]))
        return Truth(visits, records, fingerprint(work / f"{NAME}.crt"), fingerprint(work / "client.crt"))


def agreed(said: str) -> str:
    """The cipher, as s_client names it."""
    found = re.search(r"^(?:New|Reused), \S+, Cipher is (\S+)", said, re.MULTILINE)
    assert found
    return found[1]


def standard_name(cipher: str) -> str:
    """IANA's, which OpenSSL itself has for those of TLS 1.3."""
    if cipher.startswith("TLS_"):
        return cipher
    words = ["openssl", "ciphers", "-stdname", f"{cipher}:@SECLEVEL=0"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return next(line.split()[0] for line in listed.splitlines() if line.split()[2] == cipher)


def test_each_visit_has_a_record(truth: Truth) -> None:
    assert len(truth.records) == len(truth.visits)


def test_version_cipher_and_curve_are_those_agreed_on(truth: Truth) -> None:
    for visited, record in list(zip(truth.visits, truth.records, strict=True))[:-2]:
        assert record["established"] is True
        assert record["cipher"] == standard_name(agreed(visited.said))
    for (version, suite), record in zip(SUITES, truth.records, strict=False):
        assert (record["version"], record["server_name"]) == (VERSIONS[version], NAME)
        assert record.get("curve") == (CURVES[suite[3]] if len(suite) == 4 else None)


def test_certificates_are_those_of_the_servers_files(truth: Truth) -> None:
    full = [r for r in truth.records[:-2] if r["version"] != "TLSv13" and not r["resumed"]]
    assert len(full) == 9
    for record in full:
        assert record["cert_chain_fps"] == [truth.leaf]
        assert record.get("sni_matches_cert") == (record["server_name"] == NAME if "server_name" in record else None)


def test_resumption_alpn_and_client_certificates_are_told(truth: Truth) -> None:
    other, first, second, with_cert = truth.records[len(SUITES) : len(SUITES) + 4]
    assert (other["server_name"], other["next_protocol"], other["sni_matches_cert"]) == (
        "other.test",
        "http/1.1",
        False,
    )
    assert (first["resumed"], second["resumed"]) == (False, True)
    assert "Reused" in truth.visits[len(SUITES) + 2].said
    assert with_cert["client_cert_chain_fps"] == [truth.client]


def test_refusals_are_told(truth: Truth) -> None:
    """A client without a certificate where one is asked for, and a version that the server does not speak."""
    without, too_old = truth.records[-2:]
    assert (without["established"], without["last_alert"]) == (False, "handshake_failure")
    assert (too_old["established"], too_old["last_alert"]) == (False, "protocol_version")
