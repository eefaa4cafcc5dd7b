from __future__ import annotations

import re
from dataclasses import dataclass

from nbplat.errors import RequestError

__all__ = ["TableName"]

_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table in a catalog: ``retail.train``, or ``team.ml.train`` with a nested namespace.

    Attributes:
        namespace: Namespace parts joined by dots, never empty.
        name: The table's own name.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read ``namespace.table``.

        Raises:
            RequestError: when a part is missing or is no plain identifier.
        """
        parts = text.split(".")
        if len(parts) < 2 or not all(_PART.match(part) for part in parts):
            raise RequestError(
                "table.name", f"{text!r} is not a table name", fix="write it as namespace.table, e.g. retail.train"
            )
        return cls(".".join(parts[:-1]), parts[-1])
