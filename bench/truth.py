#!/usr/bin/env python3
"""Is everything there?  Compares the records of a recorded trace with what the servers themselves logged.

    bench/truth.py OUT.pcap [RECORDS_DIR]

OUT.truth/ lies beside the capture: nginx's access log, PostgreSQL's log with every statement, sshd's log, tcpdump's
counts, as a mirror lab keeps them.  Without RECORDS_DIR the capture is replayed first.  Exit code 0: nothing is missing
and nothing is invented.
"""

import collections
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ACCESS = re.compile(r'(\S+) (\S+) (\d+) (\S+) (\S+) "(.*)" (\d+) (\d+) "(.*)" (\S+) (\S+)$')
POSTGRES = re.compile(r"\S+ \S+ \S+ (\S+)\((\d+)\) \S+ \S+ \S+ LOG:  (.*)")
SQL = re.compile(r"(?:statement|execute [^:]*): (.*)")
SSHD = re.compile(r"(Accepted \w+ for|Invalid user) \S+ from (\S+) port (\d+)")
Counter = collections.Counter[tuple[object, ...]]


def records(folder: Path, kind: str) -> Iterator[dict[str, object]]:
    path = folder / f"{kind}.log"
    with path.open() as file:
        yield from map(json.loads, file)


def ends(record: dict[str, object]) -> tuple[object, object]:
    return record["id.orig_h"], record["id.orig_p"]


def report(what: str, want: Counter, got: Counter) -> bool:
    """One line, and the first differences.  True when both say the same."""
    missing, extra = want - got, got - want
    print(
        f"{what:<22} logged {want.total():>8,}   records {got.total():>8,}   missing {missing.total():,}, "
        f"invented {extra.total():,}"
    )
    for word, rows in (("missing", missing), ("invented", extra)):
        for row in list(rows)[:3]:
            print(f"    {word}: {row}")
    return not missing and not extra


def main() -> int:
    capture = Path(sys.argv[1])
    truth = capture.with_suffix(".truth")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        if len(sys.argv) < 3:
            subprocess.run(
                [sys.executable, "-m", "sensor", "replay", "-q", str(capture), "--output", scratch], check=True
            )
        return 0 if compare(truth, folder) else 1


def compare(truth: Path, folder: Path) -> bool:
    dropped = re.search(r"(\d+) packets dropped by kernel", (truth / "tcpdump.log").read_text())
    print(f"tcpdump lost {dropped[1] if dropped else '?'} packets")
    requests: Counter = collections.Counter()
    tls: Counter = collections.Counter()
    for line in (truth / "access.log").read_text().splitlines():
        found = ACCESS.match(line)
        assert found, line
        if found[10] == "-":
            requests[found[2], int(found[3]), found[4], found[5], found[6], int(found[7]), found[9]] += 1
        else:
            tls[found[2], int(found[3])] = 1
    statements, encrypted = sql_of(truth)
    for at in encrypted:
        tls[at] = 1
    logins: Counter = collections.Counter(
        (found[2], int(found[3]), found[1].startswith("Accepted"))
        for found in SSHD.finditer((truth / "sshd.log").read_text())
    )
    got_http = collections.Counter(
        (
            *ends(r),
            r["method"],
            r["host"],
            r.get("original_uri", r["uri"]),
            r.get("status_code"),
            r.get("user_agent", "-"),
        )
        for r in records(folder, "http")
    )
    got_sql = collections.Counter(
        (*ends(r), r["frontend_arg"])
        for r in records(folder, "postgresql")
        if r["frontend"] in ("simple_query", "execute")
    )
    got_tls = collections.Counter(ends(r) for r in records(folder, "ssl") if r["established"])
    got_ssh = collections.Counter((*ends(r), r.get("auth_success", False)) for r in records(folder, "ssh"))
    return all(
        [
            report("HTTP transactions", requests, got_http),
            report("SQL statements", statements, got_sql),
            report("TLS connections", tls, got_tls),
            report("SSH sessions", logins, got_ssh),
        ]
    )


def sql_of(truth: Path) -> tuple[Counter, set[tuple[str, int]]]:
    """Statements that came in clear over the network, and the connections that were encrypted."""
    statements: Counter = collections.Counter()
    encrypted = set()
    for line in (truth / "postgres.log").read_text().splitlines():
        found = POSTGRES.match(line)
        if not found:
            continue
        at = (found[1], int(found[2]))
        if "SSL enabled" in found[3]:
            encrypted.add(at)
        sql = SQL.match(found[3])
        if sql and at not in encrypted:
            statements[*at, sql[1]] += 1
    return statements, encrypted


if __name__ == "__main__":
    sys.exit(main())
