"""Alembic's entry: always inside the transaction that `opening` holds, never from a shell."""

from __future__ import annotations

from alembic import context

from nbplat.adapters.store.tables import METADATA, SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=SCHEMA,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
