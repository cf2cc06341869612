"""PostgreSQL's protocol 3, case by case from the manual's chapter "Frontend/Backend Protocol"."""

import struct

import pytest

from tests.builders import Turns, connection
from tests.conftest import Record, Run, run


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", 4 + len(body)) + body


def startup(**parameters: str) -> bytes:
    body = struct.pack(">I", 196608) + b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
    return struct.pack(">I", 4 + len(body)) + body


HELLO = startup(user="ana", database="shop", application_name="app")
SSL_REQUEST = struct.pack(">II", 8, 80877103)
AUTH_OK = message(b"R", struct.pack(">I", 0))
READY = message(b"Z", b"I")
LOGIN: Turns = [(True, HELLO), (False, AUTH_OK + message(b"K", bytes(8)) + READY)]
ROW = message(b"D", struct.pack(">HI", 1, 1) + b"1")
ERROR = message(b"E", b"SERROR\0VERROR\0C42P01\0Mno such table\0\0")


def query(sql: str) -> bytes:
    return message(b"Q", sql.encode() + b"\0")


def parse(sql: str, name: str = "") -> bytes:
    return message(b"P", f"{name}\0{sql}\0".encode() + b"\0\0")


def bind(statement: str = "", portal: str = "") -> bytes:
    return message(b"B", f"{portal}\0{statement}\0".encode() + bytes(6))


def execute(portal: str = "") -> bytes:
    return message(b"E", f"{portal}\0".encode() + bytes(4))


SYNC = message(b"S")
DONE = message(b"C", b"SELECT 1\0")


def session(*turns: tuple[bool, bytes], secrets: bool = False) -> Run:
    return run(connection([*LOGIN, *turns], dport=5432).frames(), secrets=secrets)


def rounds(*turns: tuple[bool, bytes], secrets: bool = False) -> list[Record]:
    """The records behind the start-up's."""
    return session(*turns, secrets=secrets).of("postgresql")[1:]


def test_startup_tells_user_database_and_application() -> None:
    record = session().one("postgresql")
    assert (record["user"], record["database"], record["application_name"]) == ("ana", "shop", "app")
    assert (record["frontend"], record["backend"], record["success"]) == ("startup", "auth_ok", True)


def test_a_failed_login_has_its_sqlstate() -> None:
    error = message(b"E", b"SFATAL\0C28P01\0Mpassword authentication failed\0\0")
    turns: Turns = [
        (True, HELLO),
        (False, message(b"R", struct.pack(">I4s", 5, b"salt"))),
        (True, message(b"p", b"md5\0")),
        (False, error),
    ]
    got = run(connection(turns).frames())
    record = got.one("postgresql")
    assert (record["success"], record["sqlstate"], record["backend"]) == (False, "28P01", "auth_request,error")
    assert record["backend_arg"].startswith("MD5Password,SeverityLocalized=FATAL")
    assert b"salt" not in got.output


def test_encryption_refused_goes_on_in_clear() -> None:
    got = run(connection([(True, SSL_REQUEST), (False, b"N"), *LOGIN]).frames())
    first, second = got.of("postgresql")
    assert (first["frontend"], first["backend_arg"], first["success"]) == ("ssl_request", "N", False)
    assert second["frontend"] == "startup"


def test_the_client_may_not_wait_for_the_answer_to_its_ssl_request() -> None:
    """Start-up in the same segment: what it means is known only with the server's byte."""
    got = run(connection([(True, SSL_REQUEST + HELLO), (False, b"N" + LOGIN[1][1])]).frames())
    assert [r["frontend"] for r in got.of("postgresql")] == ["ssl_request", "startup"]


def test_simple_query_counts_rows_and_has_its_tag() -> None:
    (record,) = rounds((True, query("select 1")), (False, message(b"T", bytes(2)) + ROW * 3 + DONE + READY))
    assert (record["frontend_arg"], record["rows"], record["success"], record["command_tag"]) == (
        "select 1",
        3,
        True,
        "SELECT 1",
    )


def test_an_error_has_zeeks_field_names() -> None:
    (record,) = rounds((True, query("select * from nope")), (False, ERROR + READY))
    assert record["backend_arg"] == "SeverityLocalized=ERROR,Severity=ERROR,Code=42P01,Message=no such table"
    assert (record["success"], record["backend"], record["sqlstate"]) == (False, "error", "42P01")


def test_extended_query_has_the_sql_of_its_statement() -> None:
    (record,) = rounds(
        (True, parse("select $1") + bind() + execute() + SYNC),
        (False, message(b"1") + message(b"2") + ROW + DONE + READY),
    )
    assert (record["frontend"], record["frontend_arg"], record["rows"]) == ("execute", "select $1", 1)


def test_a_named_statement_is_remembered_over_rounds() -> None:
    turns: list[tuple[bool, bytes]] = [(True, parse("select 7", "s1") + SYNC), (False, message(b"1") + READY)]
    for _ in range(3):
        turns += [(True, bind("s1") + execute() + SYNC), (False, message(b"2") + ROW + DONE + READY)]
    assert [(r["frontend_arg"], r["statement"]) for r in rounds(*turns)] == [("select 7", "s1")] * 3


def test_a_pipeline_pairs_each_execute_with_its_answer() -> None:
    sent = b"".join(parse(f"select {i}") + bind() + execute() for i in range(5)) + SYNC
    answers = b"".join(message(b"1") + message(b"2") + ROW * i + DONE for i in range(5)) + READY
    assert [(r["frontend_arg"], r["rows"]) for r in rounds((True, sent), (False, answers))] == [
        (f"select {i}", i) for i in range(5)
    ]


def test_an_error_aborts_the_rest_of_its_round_alone() -> None:
    sent = b"".join(parse(f"select {i}") + bind() + execute() for i in range(3)) + SYNC
    answers = message(b"1") + message(b"2") + DONE + message(b"1") + message(b"2") + ERROR + READY
    again = (True, parse("select 9") + bind() + execute() + SYNC), (False, message(b"1") + message(b"2") + DONE + READY)
    records = rounds((True, sent), (False, answers), *again)
    assert [(r["frontend_arg"], r["success"], r.get("backend")) for r in records] == [
        ("select 0", True, None),
        ("select 1", False, "error"),
        ("select 2", False, "aborted"),
        ("select 9", True, None),
    ]


def test_a_statement_that_does_not_parse_is_told() -> None:
    (record,) = rounds((True, parse("selec", "x") + SYNC), (False, ERROR + READY))
    assert (record["frontend"], record["frontend_arg"], record["success"]) == ("parse", "selec", False)


def test_statements_are_bounded_and_the_oldest_goes() -> None:
    many = b"".join(parse(f"select {i}", f"s{i}") for i in range(400)) + SYNC
    turns = [(True, many), (False, message(b"1") * 400 + READY)]
    for name in ("s399", "s0"):
        turns += [(True, bind(name) + execute() + SYNC), (False, message(b"2") + DONE + READY)]
    known, forgotten = rounds(*turns)
    assert known["frontend_arg"] == "select 399"
    assert "frontend_arg" not in forgotten


@pytest.mark.parametrize(
    ("sql", "masked"),
    [
        ("alter role a password 'x''y'", "alter role a password '***'"),
        ("CREATE USER a PASSWORD E'x\\'y' LOGIN", "CREATE USER a PASSWORD E'***' LOGIN"),
        (
            "create role a with encrypted password $t$it's$t$; select 1",
            "create role a with encrypted password '***'; select 1",
        ),
        (
            "alter role a password 'one'; alter role b password 'two'",
            "alter role a password '***'; alter role b password '***'",
        ),
        ("select password from users", "select password from users"),
        ("alter role a password 'never closed", "alter role a password '***'"),
        ("alter role a password /* ' */ 's3cret' login", "alter role a password /* ' */ '***' login"),
        ("alter role a password -- it's\n 's3cret'", "alter role a password -- it's\n '***'"),
        ("alter role a password 's3'\n 'cret' login", "alter role a password '***' login"),
        ("alter role a password 's3' -- more\n 'cret'", "alter role a password '***'"),
        ("alter role a password 'a\\' b' login", "alter role a password '***' login"),
        ("select password 'x' 'y'", "select password '***' 'y'"),
    ],
)
def test_passwords_in_sql_are_masked(sql: str, masked: str) -> None:
    turns = (True, query(sql)), (False, DONE + READY)
    assert rounds(*turns)[0]["frontend_arg"] == masked
    assert "unmasked_arg" not in rounds(*turns)[0]
    assert rounds(*turns, secrets=True)[0].get("unmasked_arg", sql) == sql


def test_a_long_value_is_cut_and_says_so() -> None:
    value = b"v" * 20000
    bind = b"\0\0" + struct.pack(">HHI", 0, 1, len(value)) + value + b"\0\0"
    asked = message(b"P", b"\0insert into t values ($1)\0\0\0") + message(b"B", bind) + message(b"E", b"\0" * 5)
    record = rounds((True, asked + message(b"S")), (False, DONE + READY), secrets=True)[0]
    assert record["parameter_values"] == ["v" * 256]
    assert "parameter_values" in record["_cut"]


def test_many_notices_do_not_hide_the_error() -> None:
    notice = message(b"N", b"SNOTICE\0C00000\0Mhello from a loop\0Fpl_exec.c\0L3923\0Rexec_stmt_raise\0\0")
    error = message(b"E", b"SERROR\0C22012\0Mdivision by zero\0\0")
    record = rounds((True, query("select f()")), (False, notice * 300 + error + READY))[0]
    assert (record["sqlstate"], record["error_message"]) == ("22012", "division by zero")
    assert record["backend_arg"].count("hello from a loop") > 30


def test_the_application_may_change_any_number_of_times() -> None:
    names = [b"application_name\0" + b"%04d" % i + b"n" * 196 + b"\0" for i in range(2000)]
    turns = [(False, b"".join(message(b"S", name) for name in names)), (True, query("select 1")), (False, DONE + READY)]
    assert rounds(*turns)[0]["application_name"].startswith("1999")


def test_a_cancel_request_tells_the_process_and_never_the_key() -> None:
    got = run(connection([(True, struct.pack(">IIII", 16, 80877102, 4711, 0xDEADBEEF))]).frames())
    record = got.one("postgresql")
    assert (record["frontend"], record["frontend_arg"]) == ("cancel_request", "4711")
    assert b"3735928559" not in got.output


def test_terminate_is_a_record_as_in_zeek() -> None:
    assert rounds((True, message(b"X")))[0]["frontend"] == "terminate"


def test_copy_data_is_passed_over() -> None:
    (record,) = rounds(
        (True, query("copy t to stdout")),
        (
            False,
            message(b"H", bytes(3))
            + message(b"d", b"x" * 50000) * 3
            + message(b"c")
            + message(b"C", b"COPY 3\0")
            + READY,
        ),
    )
    assert (record["command_tag"], record["success"]) == ("COPY 3", True)


def test_a_message_longer_than_any_buffer_is_read_by_its_prefix() -> None:
    (record,) = rounds((True, query("select '" + "x" * 100_000 + "'")), (False, ROW + DONE + READY))
    assert (len(record["frontend_arg"]), record["_cut"], record["rows"]) == (8192, ["frontend_arg"], 1)


def test_midstream_sessions_are_recognised() -> None:
    """A mirror session begins while the pool's connections are long open."""
    from tests.builders import ACK, PSH, Talk

    talk = Talk(dport=6000)
    for is_orig, data in [(True, query("select 1")), (False, message(b"T", bytes(2)) + ROW + DONE + READY)]:
        talk.send(is_orig, PSH | ACK, data)
    record = run(talk.frames()).one("postgresql")
    assert (record["frontend_arg"], record["rows"]) == ("select 1", 1)
    assert "user" not in record


def test_bytes_duration_and_status_are_told_for_each_statement() -> None:
    ask, answer = query("begin; select 1"), message(b"T", bytes(6)) + ROW + DONE + message(b"Z", b"T")
    record = rounds((True, ask), (False, answer))[0]
    assert (record["request_bytes"], record["response_bytes"]) == (len(ask), len(answer))
    assert (record["transaction_status"], record["rows"]) == ("transaction", 1)
    assert record["duration"] == pytest.approx(0.0001)


def test_the_last_of_a_round_has_its_status() -> None:
    ask = parse("select 1") + bind() + execute() + bind() + execute() + SYNC
    got = rounds((True, ask), (False, message(b"1") + (message(b"2") + DONE) * 2 + READY))
    assert [r.get("transaction_status") for r in got] == [None, "idle"]
    assert sum(r["request_bytes"] for r in got) == len(ask)


def test_a_login_is_a_success_when_the_server_is_ready() -> None:
    """AuthenticationOk says who it is; the database may still not exist."""
    error = message(b"E", b"SFATAL\0VFATAL\0C3D000\0Mdatabase does not exist\0\0")
    got = run(connection([(True, HELLO), (False, AUTH_OK + error)]).frames()).one("postgresql")
    assert (got["success"], got["sqlstate"], got["error_message"]) == (False, "3D000", "database does not exist")
    assert (got["backend"], got["severity"]) == ("auth_ok,error", "FATAL")
    cut = run(connection([(True, HELLO), (False, AUTH_OK)]).frames()).one("postgresql")
    assert "success" not in cut


def test_parameters_are_counted_named_and_valued_when_asked_for() -> None:
    values = struct.pack(">HHHH", 3, 0, 1, 0) + struct.pack(">H", 3)
    values += struct.pack(">I", 2) + b"17" + struct.pack(">I", 2) + b"\xca\xfe" + struct.pack(">i", -1)
    ask = message(b"P", b"s\0select $1, $2, $3\0" + struct.pack(">HI", 1, 23))
    ask += message(b"D", b"Ss\0") + message(b"B", b"\0s\0" + values + bytes(2)) + execute() + SYNC
    types = message(b"t", struct.pack(">HIII", 3, 23, 17, 99999))
    turns = (True, ask), (False, message(b"1") + types + message(b"2") + DONE + READY)
    record = rounds(*turns)[0]
    assert (record["parameters"], record["parameter_types"]) == (3, ["int4", "bytea", "oid-99999"])
    assert "parameter_values" not in record
    assert rounds(*turns, secrets=True)[0]["parameter_values"] == ["17", "0xcafe", "NULL"]


def test_copied_data_belongs_to_its_statement() -> None:
    data = message(b"d", b"1\n" * 5000)
    turns = (True, query("copy t from stdin")), (False, message(b"G", bytes(3))), (True, data * 3 + message(b"c"))
    record = rounds(*turns, (False, message(b"C", b"COPY 15000\0") + READY))[0]
    assert (record["copy"], record["command_tag"]) == ("in", "COPY 15000")
    assert record["request_bytes"] == len(query("copy t from stdin")) + 3 * len(data) + 5


def test_a_later_name_of_the_application_counts() -> None:
    status = message(b"S", b"application_name\0report\0")
    got = rounds((True, query("set application_name = 'report'")), (False, DONE + status + READY))
    assert got[0]["application_name"] == "report"


def test_what_began_before_the_capture_is_marked() -> None:
    late = run(connection([(True, query("select 1")), (False, DONE + READY)], dport=5432).frames())
    assert late.one("postgresql")["partial"] is True
    assert "partial" not in session().one("postgresql")


def test_a_portal_that_is_suspended_goes_on() -> None:
    ask = message(b"P", b"\0select 1\0\0\0") + message(b"B", b"c\0\0" + bytes(6)) + execute("c") + SYNC
    suspended = message(b"1") + message(b"2") + ROW * 2 + message(b"s") + READY
    got = rounds((True, ask), (False, suspended), (True, execute("c") + SYNC), (False, ROW + DONE + READY))
    assert [(r["portal"], r["rows"], r.get("command_tag")) for r in got] == [("c", 2, None), ("c", 1, "SELECT 1")]
    assert {r["frontend_arg"] for r in got} == {"select 1"}


def test_version_3_2_options_and_replication_are_told() -> None:
    body = struct.pack(">I", 3 << 16 | 2) + b"user\0ana\0options\0-c geqo=off\0replication\0true\0\0"
    hello = struct.pack(">I", 4 + len(body)) + body
    got = run(connection([(True, hello), (False, AUTH_OK + READY)]).frames()).one("postgresql")
    assert (got["protocol_version"], got["options"], got["replication"]) == ("3.2", "-c geqo=off", "true")
