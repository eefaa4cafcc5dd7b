"""Handlers that stand in for the real ones; each is found by name from a table in a test."""

from __future__ import annotations

from nbplat.errors import DataError, NotFound
from nbplat.terms import Progress
from nbplat.ui.call import Call
from nbplat.ui.render.progress import progress_text
from nbplat.ui.render.result import Result


def echo(call: Call) -> Result:
    """Give back what was asked."""
    return Result(
        text=f"{call.noun} {call.verb} {getattr(call.options, 'name', '') or ''}".rstrip(),
        value=call,
        data={"verb": call.verb, "body": call.body},
    )


def plain(call: Call) -> Result:
    """A result without a Python value."""
    return Result(text="done", html="<b>done</b>", job={"id": "j000001"})


def slow(call: Call) -> Result:
    """Show progress three times, then end."""
    for done in range(3):
        call.show(Result(text=progress_text("spend_90d@1 stage", "running", Progress(done, 3))))
    return Result(text="spend_90d@1 staged")


def bad_data(call: Call) -> Result:
    """Fail as a run with duplicate keys does."""
    raise DataError("keys.duplicate", "2 rows have key example_id = 7", fix="choose --key columns that are unique")


def bug(call: Call) -> Result:
    """Fail as a bug of ours does."""
    return {}["nothing"]  # type: ignore[return-value]


def interrupted(call: Call) -> Result:
    """Be interrupted by the user."""
    raise KeyboardInterrupt


def nothing_lives(call: Call) -> Result:
    """Fail as a question about a session does where none lives."""
    raise NotFound("session.none", "no session lives", fix="start one: %session start NAME")
