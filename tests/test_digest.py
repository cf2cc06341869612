"""The digest of Community IDs, in both its forms: by the processor's instructions, and without."""

import hashlib
import platform
import random
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, need

PROGRAM = """
#include <stdio.h>
#include "sha1.h"
int main(void) {
    uint8_t block[64], digest[20];
    while (fread(block, 64, 1, stdin) == 1) { FORM(block, digest); fwrite(digest, 20, 1, stdout); }
    return 0;
}
"""
FORMS = ["sha1_plain"] + (["sha1_by_instructions"] if platform.machine() == "x86_64" else [])


def padded(text: bytes) -> bytes:
    """FIPS 180-4, 5.1.1."""
    return text + b"\x80" + bytes(55 - len(text)) + (8 * len(text)).to_bytes(8)


@pytest.mark.parametrize("form", FORMS)
def test_a_digest_is_that_of_the_standard_library(form: str, tmp_path: Path) -> None:
    need("gcc")
    if form != "sha1_plain" and " sha_ni " not in Path("/proc/cpuinfo").read_text().replace("\n", " \n"):
        pytest.skip("this processor has no instructions for SHA-1")
    source, program = tmp_path / "digest.c", tmp_path / "digest"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-O2", "-Wall", f"-DFORM={form}", "-I", ROOT / "cext", "-o", program, source], check=True)
    texts = [random.Random(n).randbytes(n) for n in range(56)]
    said = subprocess.run([program], input=b"".join(map(padded, texts)), capture_output=True, check=True).stdout
    assert [said[at : at + 20] for at in range(0, len(said), 20)] == [hashlib.sha1(text).digest() for text in texts]
