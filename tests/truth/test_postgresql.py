"""PostgreSQL against the truth: what real clients sent and got, and what the server logged, is in the records."""

import collections
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Record, Run, cannot
from tests.truth.lab import SERVER, Lab, need_lab, workshop

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SETTINGS = f"""
listen_addresses = '{SERVER}'
log_destination = 'jsonlog'
logging_collector = on
log_statement = all
log_connections = on
log_replication_commands = on
log_directory = 'log'
log_filename = 'log'
"""


class Database:
    """A cluster of its own in the lab's server."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.home = lab, lab.work / "pg"
        self.home.mkdir()
        shutil.chown(self.home, "postgres")
        (lab.work / "password").write_text("owner")
        self.as_postgres(
            f"{PROGRAMS[-1]}/initdb -A scram-sha-256 -U postgres --pwfile={lab.work}/password -D {self.home}/d"
        )
        data = self.home / "d"
        with (data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS + f"unix_socket_directories = '{self.home}'\n")
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all,replication all 10.20.0.0/24 scram-sha-256\n")
        for name in ("server.key", "server.crt"):
            shutil.copy(lab.work / name, data / name)
            shutil.chown(data / name, "postgres")
            (data / name).chmod(0o600)
        lab.server("su", "postgres", "-c", f"{PROGRAMS[-1]}/postgres -D {data}", ready=5432)
        self.sql("create role ana login replication password 'tea'")
        self.sql("create database shop owner ana")

    def as_postgres(self, command: str) -> None:
        subprocess.run(["su", "postgres", "-c", command], check=True, capture_output=True)

    def sql(self, text: str) -> str:
        env = {"PGPASSWORD": "owner", "PATH": "/usr/bin:/bin"}
        words = ["psql", "-qth", str(self.home), "-U", "postgres", "-c", text]
        return subprocess.run(words, check=True, capture_output=True, env=env, text=True).stdout

    def log(self) -> list[dict[str, Any]]:
        """What the server logged of connections over the network."""
        lines = (self.home / "d/log/log.json").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry.get("remote_host", "").startswith("10.20.")]


@pytest.fixture(scope="module")
def truth() -> "Truth":
    """The records, what the drivers told, and the server's log."""
    need_lab("psql", "openssl", "su")
    if not PROGRAMS:
        cannot("needs a PostgreSQL server")
    with workshop() as work, Lab(work) as lab:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db.test", "-keyout",
             work / "server.key", "-out", work / "server.crt"], check=True, capture_output=True,
        )  # fmt: skip
        database = Database(lab)
        with lab.record() as seen:
            told = lab.client(sys.executable, str(Path(__file__).with_name("postgresql_clients.py")), SERVER).stdout
            psql(lab, "refused", "prefer", "select 1 as one", "select nope", "update thing set id = 1 where id = 0")
            psql(lab, "wrong", "disable", "select 1", password="wrong")
            psql(lab, "nowhere", "disable", "select 1", database="nowhere")
            replicate(lab)
            database.sql("alter system set ssl = on")
            database.sql("select pg_reload_conf()")
            while "on" not in database.sql("show ssl"):  # the server takes its time
                time.sleep(0.1)
            psql(lab, "taken", "require", "select 2")
        return (
            Run(seen.read_bytes(), secrets=True).of("postgresql"),
            [json.loads(line) for line in told.splitlines()],
            database.log(),
        )


def replicate(lab: Lab) -> None:
    """Follows the server's log for some seconds: COPY in both directions at a time."""
    (lab.work / "wal").mkdir()
    words = ["-h", SERVER, "-U", "ana", "-D", str(lab.work / "wal"), "--no-loop", "--status-interval=1"]
    env = {"PGPASSWORD": "tea", "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
    lab.client("timeout", "-s", "INT", "3", f"{PROGRAMS[-1]}/pg_receivewal", *words, check=False, env=env)


def psql(lab: Lab, name: str, ssl: str, *sql: str, password: str = "tea", database: str = "shop") -> None:
    env = {"PGPASSWORD": password, "PGSSLMODE": ssl, "PGAPPNAME": name, "PGGSSENCMODE": "disable"}
    words = [word for text in sql for word in ("-c", text)]
    lab.client("psql", "-qh", SERVER, "-U", "ana", database, *words, check=False, env=env)


Truth = tuple[list[Record], list[dict[str, Any]], list[dict[str, Any]]]


def test_every_statement_of_the_drivers_is_told_with_its_result(truth: Truth) -> None:
    records, told, _ = truth
    known = {(one["app"], one["sql"]) for one in told}
    for app in {one["app"] for one in told}:
        want = [(t["sql"], t["rows"], t["error"], t["parameters"]) for t in told if t["app"] == app]
        got = [
            (r["frontend_arg"], r["rows"], r.get("sqlstate"), r.get("parameters"))
            for r in records
            if r.get("frontend") in ("simple_query", "execute")
            and (r.get("application_name"), r.get("frontend_arg")) in known
            and r["application_name"] == app
        ]
        assert got == want


def test_every_statement_that_the_server_logged_is_told_and_no_other(truth: Truth) -> None:
    records, _, log = truth
    want = collections.Counter(
        (entry["application_name"], found[1])
        for entry in log
        if (found := re.match(r"(?:statement|execute [^:]*): (.*)", entry["message"], re.DOTALL))
        and entry["application_name"] not in ("taken", "pg_receivewal")
    )
    got = collections.Counter(
        (r["application_name"], r["frontend_arg"])
        for r in records
        if r.get("frontend") in ("simple_query", "execute")
        and r.get("backend") != "aborted"
        and r["application_name"] != "pg_receivewal"
    )
    assert want - got == collections.Counter()
    failed = {(entry.get("application_name"), entry.get("statement")) for entry in log}
    assert set(got - want) <= failed  # a statement that failed when its values were bound was never executed


def test_every_error_that_the_server_logged_is_told(truth: Truth) -> None:
    records, _, log = truth
    want = collections.Counter(
        (entry["state_code"], entry["message"]) for entry in log if entry["error_severity"] in ("ERROR", "FATAL")
    )
    assert collections.Counter((r["sqlstate"], r["error_message"]) for r in records if "sqlstate" in r) == want


def test_encryption_is_asked_for_refused_and_taken(truth: Truth) -> None:
    records, _, _ = truth
    answers = [(r["backend_arg"], r["success"]) for r in records if r.get("frontend") == "ssl_request"]
    assert answers == [("N", False), ("S", True)]


def test_logins_succeed_and_fail_as_they_did(truth: Truth) -> None:
    records, _, _ = truth
    logins = {
        r["application_name"]: (r["success"], r.get("sqlstate")) for r in records if r.get("frontend") == "startup"
    }
    assert logins["wrong"] == (False, "28P01")
    assert logins["nowhere"] == (False, "3D000")
    assert logins["asyncpg-app"] == logins["psycopg-app"] == logins["pg8000-app"] == (True, None)
    assert all(r["user"] == "ana" for r in records if r.get("frontend") != "ssl_request" and "user" in r)


def test_a_cancel_request_is_told_without_its_key(truth: Truth) -> None:
    records, _, _ = truth
    cancelled = [r for r in records if r.get("frontend") == "cancel_request"]
    assert len(cancelled) == 1
    assert cancelled[0]["frontend_arg"].isdigit()


def test_copied_rows_and_bytes_are_those_of_the_client(truth: Truth) -> None:
    records, _, _ = truth
    into = next(r for r in records if r.get("copy") == "in")
    out = next(r for r in records if r.get("copy") == "out")
    assert (into["command_tag"], out["command_tag"]) == ("COPY 2000", "COPY 2008")
    rows = sum(len(f"{i}\t") + 50 + 1 for i in range(2000))
    assert rows < into["request_bytes"] < rows + 2000 * 5 + 200
    assert out["response_bytes"] > rows


def test_replication_is_copy_in_both_directions(truth: Truth) -> None:
    records, _, log = truth
    of_it = [r for r in records if r.get("application_name") == "pg_receivewal"]
    assert (of_it[0]["frontend"], of_it[0]["replication"]) == ("startup", "true")
    want = [
        entry["message"].partition(": ")[2]
        for entry in log
        if entry["message"].startswith("received replication command: ")
    ]
    assert want
    assert [r["frontend_arg"] for r in of_it if r["frontend"] == "simple_query"] == want
    (stream,) = (r for r in of_it if "copy" in r)
    assert (stream["copy"], stream["success"]) == ("both", True)
    assert stream["frontend_arg"].startswith("START_REPLICATION")
    assert stream["response_bytes"] > 100_000  # of the log of a new database
    assert stream["request_bytes"] > 100  # how far it has come, each second
    assert stream["duration"] > 1


def test_values_and_durations_are_plausible(truth: Truth) -> None:
    records, _, _ = truth
    values = [r["parameter_values"] for r in records if r.get("frontend_arg") == "insert into page values ($1)"]
    assert values == [["7"]]
    sleeper = next(r for r in records if r.get("frontend_arg") == "select pg_sleep(10)")
    assert 0.2 < sleeper["duration"] < 3
