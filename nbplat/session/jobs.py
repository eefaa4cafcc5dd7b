"""Jobs of Livy's clients: each is a statement of a kind of its own, so that it lasts, waits and is cancelled as one."""

from __future__ import annotations

from typing import Any

from nbplat.session.records import Statement
from nbplat.session.states import StatementState

__all__ = ["JOB_KIND", "job_json"]

JOB_KIND = "job"
"""Kind of the statements that are jobs; lists of statements leave them out."""

_RESULT = "application/vnd.nbplat.job-result"
_STATES = {
    StatementState.WAITING: "QUEUED",
    StatementState.RUNNING: "STARTED",
    StatementState.CANCELLING: "STARTED",
    StatementState.CANCELLED: "CANCELLED",
}


def job_json(statement: Statement) -> dict[str, Any]:
    """A job as Livy shows it: ``id``, ``state``, ``result`` and ``error``."""
    output = statement.output or {}
    state = _STATES.get(statement.state)
    if state is None:
        state = "SUCCEEDED" if output.get("status") == "ok" else "FAILED"
    return {
        "id": statement.id,
        "state": state,
        "result": output.get("data", {}).get(_RESULT) if state == "SUCCEEDED" else None,
        "error": "".join(output.get("traceback", ())) or output.get("evalue") if state == "FAILED" else None,
    }
