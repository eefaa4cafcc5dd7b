"""A run knows the notebook that it was opened from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nbplat_run", sa.Column("notebook", sa.Text, nullable=False, server_default=""))
