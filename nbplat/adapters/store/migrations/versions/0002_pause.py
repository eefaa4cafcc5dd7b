"""A person may ask a running job to pause."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nbplat_job", sa.Column("pause_requested", sa.Boolean, nullable=False, server_default=sa.false()))
