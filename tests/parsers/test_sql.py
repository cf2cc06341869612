"""SQL text: its shape without its values, and secrets masked (PostgreSQL manual, "Lexical Structure")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import connection
from tests.conftest import Record, run
from tests.parsers.test_postgresql import DONE, LOGIN, READY, message


def asked(sql: str | bytes, answer: bytes = DONE + READY, **options: bool) -> Record:
    text = sql.encode() if isinstance(sql, str) else sql
    talk = connection([*LOGIN, (True, message(b"Q", text + b"\0")), (False, answer)], dport=5432)
    return next(r for r in run(talk.frames(), **options).of("postgresql") if r.get("frontend") == "simple_query")


@pytest.mark.parametrize(
    "sql, shape",
    [
        ("SELECT * FROM Item WHERE id = 17", "select * from item where id = ?"),
        ("select 'a', E'b\\'c', $$d$$, $t$e$t$, B'01', X'ff', U&'g', N'h'", "select ?, ?, ?, ?, ?, ?, ?, ?"),
        ("select 1, 1.5, .5, 1e10, 1.5E-3, 0x1f, 1_000", "select ?, ?, ?, ?, ?, ?, ?"),
        ("select * from t where id in (1, 2,3 , 4)", "select * from t where id in (?)"),
        ("insert into t values (1, 'a'), (2, 'b'), (3, 'c')", "insert into t values (?)"),
        ("insert into t values (1,'a'),(2,'b')", "insert into t values (?)"),
        ("select a -1, -2, 3 - -4 from t", "select a -?, ?, ? - ? from t"),
        ("select -- one\n  a, /* two /* nested */ */ b", "select a, b"),
        ('select "Mixed Case", "a""b" from T', 'select "Mixed Case", "a""b" from t'),
        ("select $1, $2::int, a$b from t1", "select $1, $2::int, a$b from t1"),
        ("select 'it''s', 'never closed", "select ?, ?"),
        ("select x::text like '%a%' and y between -5 and 7;", "select x::text like ? and y between ? and ?"),
        ("SELECT\tÜber  FROM\n\nx", "select Über from x"),
        ('select a from "never closed where b = 17', "select a from ?"),
        ('select "a""', "select ?"),
        ("select E'\\'', e from u&'x' where n = b'1'", "select ?, e from ? where n = ?"),
        (f"select ${'a' * 70}$S3CR3T${'a' * 70}$ from t", "select ?"),
        ("", ""),
        (" ; ", ""),
    ],
)
def test_the_shape_has_no_values(sql: str, shape: str) -> None:
    assert asked(sql).get("sql_fingerprint", "") == shape


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=30), st.text(max_size=40))
def test_the_shape_is_stable_over_values(numbers: list[int], text: str) -> None:
    literal = "'" + text.replace("\0", "").replace("'", "''") + "'"
    sql = f"select a from t where b = {numbers[0]} and c in ({', '.join(map(str, numbers))}) and d = {literal}"
    assert asked(sql)["sql_fingerprint"] == "select a from t where b = ? and c in (?) and d = ?"


@given(st.binary(max_size=300))
def test_any_bytes_have_a_shape_that_is_no_longer(raw: bytes) -> None:
    record = asked(b"select " + raw.replace(b"\0", b""))
    assert record["sql_fingerprint"].startswith("select")


def test_where_no_literal_may_leave_none_does() -> None:
    """The shape takes the place of the text, and of an error what may quote a value is left out."""
    error = b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (id)=(4711) already exists.\0Rfunc\0\0"
    sql, answer = "insert into t values (4711, 'secret')", message(b"E", error) + READY
    record = asked(sql, answer, sql_shapes=True)
    assert record["frontend_arg"] == "insert into t values (?)"
    assert (record["sqlstate"], record["severity"]) == ("23505", "ERROR")
    assert "4711" not in str(record) and "secret" not in str(record) and "error_message" not in record
    plain = asked(sql, answer)
    assert (plain["error_message"], plain["frontend_arg"]) == ("duplicate key", sql)
