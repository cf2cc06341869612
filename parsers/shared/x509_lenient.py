"""Certificates that ``cryptography`` does not accept, as far as they can be read, through ``asn1crypto``.

It reads a part when it is asked for, so that a broken one hides no other.  Never raises.
"""
from collections.abc import Callable
from typing import Any

from asn1crypto.core import Sequence
from asn1crypto.x509 import Certificate, Name

Fields = dict[str, Any]
COMMON_NAME, KEY = "2.5.4.3", "subject_public_key_info"
LONGEST_NUMBER = 128               # bytes of an object's number
KEY_TYPES = {"rsa": "rsa", "rsassa_pss": "rsa", "ec": "ecdsa", "dsa": "dsa"}
Rdns = list[list[tuple[str, str]]]               # attributes, as object number and value


def read(der: bytes, spell: Callable[[Rdns], str], algorithms: dict[str, str],
         signatures: dict[str, str]) -> tuple[Fields, list[str]]:
    """The fields of an x509 record, and the subject's common names; both empty where nothing can be read.

    ``spell`` writes a name; the two dicts name algorithms by their object number.
    """
    try:
        body = Certificate.load(der)["tbs_certificate"]
    except Exception:
        return {}, []
    subject = attempt(lambda: attributes(body["subject"]))
    fields = {
        "certificate.version": attempt(lambda: version(int(body["version"]))),
        "certificate.serial": attempt(lambda: hexadecimal(int(body["serial_number"]))),
        "certificate.subject": attempt(lambda: spell(subject)),
        "certificate.issuer": attempt(lambda: spell(attributes(body["issuer"]))),
        "certificate.not_valid_before": attempt(lambda: body["validity"]["not_before"].native.timestamp()),
        "certificate.not_valid_after": attempt(lambda: body["validity"]["not_after"].native.timestamp()),
        "certificate.key_alg": attempt(lambda: named(body[KEY]["algorithm"], algorithms)),
        "certificate.sig_alg": attempt(lambda: named(body["signature"], signatures)),
        "certificate.key_type": attempt(lambda: KEY_TYPES[body[KEY].algorithm]),
        "certificate.key_length": attempt(lambda: body[KEY].bit_size),
        "certificate.exponent": attempt(lambda: str(int(body[KEY]["public_key"].parsed["public_exponent"]))),
        "san.dns": attempt(lambda: dns_names(body)),
    }
    common = attempt(lambda: [value for rdn in subject for number, value in rdn if number == COMMON_NAME])
    return {name: value for name, value in fields.items() if value not in (None, [])}, common or []


def attempt(part: Callable[[], Any]) -> Any:
    """What it gives, or None."""
    try:
        return part()
    except Exception:
        return None


def attributes(name: Name) -> Rdns:
    if any(len(part["type"].contents) > LONGEST_NUMBER for rdn in name.chosen for part in rdn):
        raise ValueError           # its digits would take quadratic time
    return [[(part["type"].dotted, str(part["value"].native)) for part in rdn] for rdn in name.chosen]


def version(number: int) -> int:
    """As people count them; ValueError for what can be none."""
    if not 0 <= number < 255:
        raise ValueError
    return number + 1


def hexadecimal(number: int) -> str:
    digits = f"{abs(number):X}"
    return "-" * (number < 0) + "0" * (len(digits) % 2) + digits


def named(algorithm: Sequence, names: dict[str, str]) -> str | None:
    """By the first element alone: what follows it may be what is broken."""
    if len(algorithm["algorithm"].contents) > LONGEST_NUMBER:
        return None
    number: str = algorithm["algorithm"].dotted
    return names.get(number)


def dns_names(body: Sequence) -> list[str]:
    found = next(one["extn_value"].parsed for one in body["extensions"] if one["extn_id"].native == "subject_alt_name")
    return [name.native for name in found if name.name == "dns_name"]
