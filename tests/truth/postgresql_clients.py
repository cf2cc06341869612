"""Statements through three drivers: prints, as JSON lines, what went over the wire and what came of it.

    postgresql_clients.py HOST

Run by test_postgresql.py inside of the client's namespace.  A line: application, SQL as the server gets it, rows,
SQLSTATE of the error or null, number of parameters.
"""

import asyncio
import json
import sys
import threading
from typing import Any

import asyncpg
import pg8000.native
import psycopg

HOST = sys.argv[1]
LOGIN: dict[str, Any] = {"host": HOST, "user": "ana", "password": "tea"}


def tell(application: str, sql: str, rows: int = 0, error: str | None = None, parameters: int | None = None) -> None:
    print(json.dumps({"app": application, "sql": sql, "rows": rows, "error": error, "parameters": parameters}))


def with_psycopg() -> None:
    app = "psycopg-app"
    with psycopg.connect(**LOGIN, dbname="shop", application_name=app, sslmode="disable", autocommit=True) as c:
        c.execute("create table note (id int, body text)")
        tell(app, "create table note (id int, body text)")
        for i in range(8):  # the sixth prepares the statement on the server
            c.execute("insert into note values (%s, %s)", (i, f"body {i}"))
            tell(app, "insert into note values ($1, $2)", parameters=2)
        assert len(c.execute("select * from note where id >= %s", (3,)).fetchall()) == 5
        tell(app, "select * from note where id >= $1", 5, parameters=1)
        with c.pipeline():
            for i in range(5):
                c.execute("select %s::int", (i,))
                tell(app, "select $1::int", 1, parameters=1)
        with c.cursor() as cursor, cursor.copy("copy note from stdin") as copy:
            for i in range(2000):
                copy.write_row((i, "x" * 50))
        tell(app, "copy note from stdin")
        with c.cursor() as cursor, cursor.copy("copy note to stdout") as copy:
            assert sum(1 for _ in copy) > 0
        tell(app, "copy note to stdout")
        try:
            c.execute("select 1 / %s", (0,))
        except psycopg.Error as error:
            tell(app, "select 1 / $1", error=error.sqlstate, parameters=1)
        threading.Timer(0.3, c.cancel_safe).start()
        try:
            c.execute("select pg_sleep(10)")
        except psycopg.Error as error:
            tell(app, "select pg_sleep(10)", error=error.sqlstate)
        c.execute("listen news; notify news, 'hello'")
        tell(app, "listen news; notify news, 'hello'")


async def with_asyncpg() -> None:
    app = "asyncpg-app"
    c = await asyncpg.connect(**LOGIN, database="shop", ssl=False, server_settings={"application_name": app})
    await c.execute("create table thing (id int, what text)")
    tell(app, "create table thing (id int, what text)")
    await c.executemany("insert into thing values ($1, $2)", [(i, f"thing {i}") for i in range(20)])
    for _ in range(20):
        tell(app, "insert into thing values ($1, $2)", parameters=2)
    find = await c.prepare("select what from thing where id < $1")
    for i in range(4):
        assert len(await find.fetch(i)) == i
        tell(app, "select what from thing where id < $1", i, parameters=1)
    async with c.transaction():
        cursor = await c.cursor("select * from thing order by id")
        for size in (3, 4):
            assert len(await cursor.fetch(size)) == size
            tell(app, "select * from thing order by id", size, parameters=0)
    assert len(await c.fetch("select generate_series(1, 50000)")) == 50000
    tell(app, "select generate_series(1, 50000)", 50000, parameters=0)
    try:
        await c.fetch("select 1 / $1::int", 0)
    except asyncpg.PostgresError as error:
        tell(app, "select 1 / $1::int", error=error.sqlstate, parameters=1)
    await c.close()


def with_pg8000() -> None:
    app = "pg8000-app"
    c = pg8000.native.Connection(**LOGIN, database="shop", application_name=app, ssl_context=False)
    c.run("create table page (id int)")
    tell(app, "create table page (id int)")
    c.run("insert into page values (:a)", a=7)
    tell(app, "insert into page values ($1)", parameters=1)
    ready = c.prepare("select * from page where id = :a")
    for i in (6, 7):
        rows = len(ready.run(a=i))
        tell(app, "select * from page where id = $1", rows, parameters=1)
    ready.close()
    c.run("select 1; select 2")
    tell(app, "select 1; select 2", 2)
    c.close()


with_psycopg()
asyncio.run(with_asyncpg())
with_pg8000()
