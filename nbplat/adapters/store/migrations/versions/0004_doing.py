"""A job may tell in words what is under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nbplat_job", sa.Column("doing", sa.Text, nullable=False, server_default=""))
