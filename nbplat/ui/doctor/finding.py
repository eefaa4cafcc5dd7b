"""What a check says, and how many are asked at once without one holding up the rest."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nbplat.config import redact_url
from nbplat.errors import NbplatError, unexpected

__all__ = ["LIMIT_S", "Check", "Finding", "Said", "Verdict", "examine"]

LIMIT_S = 20.0
"""How long one check may take; a machine under load is slow, a dead mount never answers."""

# Before that nobody wonders what it is doing.
_QUIET_S = 2.0


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True, slots=True)
class Said:
    """What a check saw.

    Attributes:
        text: One line.
        mend: The command or setting that mends it; empty when there is nothing to mend.
    """

    verdict: Verdict
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the machine.

    Attributes:
        part: What needs it: ``everything``, ``Spark``, ``JupyterLab`` …
        look: Answers with what it saw; an error of ours is a fault with its own mend.
    """

    name: str
    part: str
    look: Callable[[], Said]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one check; its texts hold no password."""

    name: str
    part: str
    verdict: Verdict
    text: str
    mend: str

    def record(self) -> dict[str, str]:
        """The JSON form."""
        return {
            "check": self.name,
            "for": self.part,
            "state": self.verdict.value,
            "found": self.text,
            "mend": self.mend,
        }


def examine(
    checks: Sequence[Check],
    *,
    limit_s: float = LIMIT_S,
    waiting: Callable[[Sequence[str]], None] = lambda names: None,
) -> list[Finding]:
    """Ask all checks at once, each in a thread of its own; answers come in the checks' order.

    Args:
        limit_s: A check without an answer by then is a fault, and is waited for no more.
        waiting: Told the names still open, when it takes longer than two seconds.
    """
    answers: queue.SimpleQueue[tuple[int, Finding]] = queue.SimpleQueue()
    for number, check in enumerate(checks):
        # A daemon: a thread that hangs in a dead mount must not keep the process.
        threading.Thread(
            target=lambda n, c: answers.put((n, _answer(c))), args=(number, check), name=check.name, daemon=True
        ).start()
    found: dict[int, Finding] = {}
    begun = time.monotonic()
    while len(found) < len(checks) and (left := begun + limit_s - time.monotonic()) > 0:
        try:
            number, finding = answers.get(timeout=min(left, 0.5))
            found[number] = finding
        except queue.Empty:
            if time.monotonic() - begun > _QUIET_S:
                waiting([each.name for n, each in enumerate(checks) if n not in found])
    return [found.get(number) or _silent(check, limit_s) for number, check in enumerate(checks)]


def _answer(check: Check) -> Finding:
    try:
        said = check.look()
    except NbplatError as error:
        said = Said(Verdict.FAULT, error.message + (f" ({error.where})" if error.where else ""), error.fix)
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, and the others are still told
        told = unexpected(error)
        # A bug's text is here, and in no log.
        mend = "report it with this line" if told.detail_id else told.fix
        said = Said(Verdict.FAULT, f"the check broke: {type(error).__name__}: {error}", mend)
    text, fix = (redact_url(" ".join(each.split())) for each in (said.text, said.mend))
    return Finding(check.name, check.part, said.verdict, text, fix)


def _silent(check: Check, limit_s: float) -> Finding:
    return Finding(
        check.name,
        check.part,
        Verdict.FAULT,
        f"no answer within {limit_s:g} s",
        "look whether a mount or a network name hangs there (df, ping), then run it again",
    )
