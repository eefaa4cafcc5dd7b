"""The tables of the ledger, as the head migration leaves them (a test compares the two).

Times are milliseconds since the epoch, JSON is text: both databases then hold the same bytes.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "BATCH",
    "CHUNK",
    "EVENT",
    "HEAD",
    "JOB",
    "LEASE",
    "METADATA",
    "REVISIONS",
    "RUN",
    "RUN_NUMBER",
    "SCHEMA",
    "SESSION",
    "STATEMENT",
    "UNIT",
]

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision this version can read, oldest first; a database at any other is newer than we are."""
HEAD = REVISIONS[-1]

SCHEMA = "nbplat_schema"
"""Where Alembic keeps the revision."""

METADATA = sa.MetaData()

# SQLite counts rows only in a column declared INTEGER; elsewhere 32 bits of events would run out.
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _serial() -> sa.Column[int]:
    return sa.Column("seq", _BIG, primary_key=True, autoincrement=True)


RUN = sa.Table(
    "nbplat_run",
    METADATA,
    _serial(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("outputs", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
    sa.Column("notebook", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("kind", "id", name="nbplat_run_id"),
    sa.Index("nbplat_run_identity", "kind", "name", "identity"),
    sqlite_autoincrement=True,
)

# Apart from the runs, so that no pruning of runs can ever free a number.
RUN_NUMBER = sa.Table(
    "nbplat_run_number",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("last", sa.Integer, nullable=False),
)

JOB = sa.Table(
    "nbplat_job",
    METADATA,
    _serial(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("run_kind", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("counted", sa.Text, nullable=False),
    sa.Column("doing", sa.Text, nullable=False, server_default=""),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("until_ms", sa.BigInteger),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("pause_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("ended_ms", sa.BigInteger),
    sa.Index("nbplat_job_state", "state", "seq"),
    sa.Index("nbplat_job_run", "run_id", "seq"),
    sqlite_autoincrement=True,
)

UNIT = sa.Table(
    "nbplat_unit",
    METADATA,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("id", sa.Text(collation="C").with_variant(sa.Text(), "sqlite"), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("until_ms", sa.BigInteger),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Index("nbplat_unit_state", "scope", "state"),
)

LEASE = sa.Table(
    "nbplat_lease",
    METADATA,
    sa.Column("resource", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
    sa.Column("taken_over", sa.Boolean, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
)

EVENT = sa.Table(
    "nbplat_event",
    METADATA,
    _serial(),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("unit_id", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Index("nbplat_event_run", "run_id", "seq"),
    sqlite_autoincrement=True,
)

SESSION = sa.Table(
    "nbplat_session",
    METADATA,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("proxy_user", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("conf", sa.Text, nullable=False),
    sa.Column("driver", sa.Text, nullable=False),
    sa.Column("app", sa.Text, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sa.Column("ended_ms", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sa.Index("nbplat_session_name", "name", "id"),
    sqlite_autoincrement=True,
)

BATCH = sa.Table(
    "nbplat_batch",
    METADATA,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("conf", sa.Text, nullable=False),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("ended_ms", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sa.Index("nbplat_batch_name", "name", "id"),
    sqlite_autoincrement=True,
)

STATEMENT = sa.Table(
    "nbplat_statement",
    METADATA,
    sa.Column("session_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("output", sa.Text),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("completed_ms", sa.BigInteger, nullable=False),
)

CHUNK = sa.Table(
    "nbplat_chunk",
    METADATA,
    sa.Column("session_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("statement_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
