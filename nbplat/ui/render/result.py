from __future__ import annotations

import html as escape
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["JOB_MIME", "Result"]

JOB_MIME = "application/vnd.nbplat.job.v1+json"
"""What the labextension draws live from the service, so that a reloaded page tells the truth."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb gives back, complete in every front end.

    Attributes:
        text: One greppable line, or a table of text.
        html: Self-contained and free of scripts; None shows `text` as it is.
        job: The job's record for `JOB_MIME`; None when there is no job.
        value: What ``--out`` binds and the Python functions return; None binds the result itself.
        more: Further parts of the display by MIME type, such as a widget.
        beside: Shown below the progress, whose last state stays; otherwise it takes the progress' place.
        data: JSON for ``--json``; None gives the text as a JSON string.
        exit_code: What the command line ends with; the result is printed all the same.
    """

    text: str
    html: str | None = None
    job: Mapping[str, Any] | None = None
    value: Any = None
    data: Any = None
    more: Mapping[str, Any] = field(default_factory=dict)
    beside: bool = False
    exit_code: int = 0

    def json(self) -> str:
        """`data` as indented JSON; what JSON cannot hold is written as text."""
        return json.dumps(self.text if self.data is None else self.data, indent=2, ensure_ascii=False, default=str)

    def bundle(self) -> dict[str, Any]:
        """The display's parts by MIME type."""
        page = self.html
        if page is None:
            page = f'<pre style="margin:0;background:transparent">{escape.escape(self.text)}</pre>'
        parts: dict[str, Any] = {"text/plain": self.text, "text/html": page}
        if self.job is not None:
            parts[JOB_MIME] = dict(self.job)
        return {**parts, **self.more}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle()

    def __str__(self) -> str:
        return self.text
