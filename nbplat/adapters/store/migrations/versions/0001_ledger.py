"""The ledger: runs, jobs, units, leases and the append-only event log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A migration is frozen: it repeats what `tables` says today instead of importing it.
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER nbplat_event_no_update BEFORE UPDATE ON nbplat_event "
        "BEGIN SELECT RAISE(ABORT, 'nbplat_event is append-only'); END",
        "CREATE TRIGGER nbplat_event_no_delete BEFORE DELETE ON nbplat_event "
        "BEGIN SELECT RAISE(ABORT, 'nbplat_event is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION nbplat_event_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'nbplat_event is append-only'; END $$",
        "CREATE TRIGGER nbplat_event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON nbplat_event "
        "FOR EACH STATEMENT EXECUTE FUNCTION nbplat_event_refuse()",
    ),
}


def _text(*names: str, null: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=null) for name in names]


def upgrade() -> None:
    op.create_table(
        "nbplat_run",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=True),
        *_text("kind", "id", "name"),
        sa.Column("number", sa.Integer, nullable=False),
        *_text("identity", "state", "spec", "plan", "outputs"),
        *_text("error", null=True),
        *_text("owner"),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("kind", "id", name="nbplat_run_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("nbplat_run_identity", "nbplat_run", ["kind", "name", "identity"])
    op.create_table(
        "nbplat_run_number",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
    )
    op.create_table(
        "nbplat_job",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=True),
        *_text("kind", "run_kind", "run_id", "state"),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        *_text("counted", "params"),
        *_text("result", "error", null=True),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        *_text("worker", null=True),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        *_text("owner"),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("nbplat_job_state", "nbplat_job", ["state", "seq"])
    op.create_index("nbplat_job_run", "nbplat_job", ["run_id", "seq"])
    op.create_table(
        "nbplat_unit",
        sa.Column("scope", sa.Text, primary_key=True),
        # Collation C: unit-id order must not depend on the database's locale.
        sa.Column("id", sa.Text(collation="C").with_variant(sa.Text(), "sqlite"), primary_key=True),
        *_text("state"),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        *_text("worker", null=True),
        sa.Column("until_ms", sa.BigInteger),
        *_text("result", "error", null=True),
    )
    op.create_index("nbplat_unit_state", "nbplat_unit", ["scope", "state"])
    op.create_table(
        "nbplat_lease",
        sa.Column("resource", sa.Text, primary_key=True),
        *_text("holder"),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("taken_over", sa.Boolean, nullable=False),
        sa.Column("released", sa.Boolean, nullable=False),
    )
    op.create_table(
        "nbplat_event",
        sa.Column("seq", _BIG, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        *_text("kind", "run_id", "job_id", "unit_id", "data"),
        sqlite_autoincrement=True,
    )
    op.create_index("nbplat_event_run", "nbplat_event", ["run_id", "seq"])
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the ledger only moves forward; restore a copy of the state folder instead")
