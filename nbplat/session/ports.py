"""What sessions ask of the world: a store that loses nothing, and a place where drivers run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbplat.session.caps import Caps
from nbplat.session.changes import Changes
from nbplat.session.records import Chunk, Session, SessionDraft, Statement
from nbplat.session.states import SessionState

__all__ = ["Driver", "Drivers", "Ending", "SessionStore"]


class SessionStore(Protocol):
    """Sessions, statements and what they printed; every method is one transaction."""

    def add_session(self, draft: SessionDraft, caps: Caps | None = None) -> Session:
        """Keep a new session, ``not_started``.

        Raises:
            Conflict: a session that lives has the name, or as `Caps.check`.
        """

    def session(self, session_id: int) -> Session:
        """Read one. Raises NotFound."""

    def session_named(self, name: str) -> Session:
        """The newest of that name, living ones first. Raises NotFound."""

    def sessions(
        self, *, skip: int = 0, limit: int = 100, states: Collection[SessionState] | None = None
    ) -> tuple[int, list[Session]]:
        """How many there are, and a page of them in order of id."""

    def set_driver(self, session_id: int, driver: Mapping[str, Any]) -> None:
        """Keep what finds the driver again."""

    def move_session(self, session_id: int, to: SessionState, *, reason: Mapping[str, Any] | None = None) -> Session:
        """Change the state as far as `may_become` allows; one that has ended stays as it is.

        A reason that is given is kept; None leaves what is there.
        """

    def amend(self, session_id: int, values: Mapping[str, Any]) -> Session:
        """Put values into its request, in the place of those of the same names. Raises NotFound."""

    def touch(self, session_id: int) -> None:
        """Note that somebody asked for it now."""

    def remove_session(self, session_id: int) -> None:
        """Forget a session with all of its own; its id is not used again. Nothing happens when it is gone."""

    def apply(self, session_id: int, changes: Changes) -> None:
        """Make changes and keep their `last_seq`; nothing happens when the store holds that number or a higher one."""

    def add_statement(
        self, session_id: int, code: str, kind: str, options: Mapping[str, Any] | None = None
    ) -> Statement:
        """Keep a statement, ``waiting``. Raises NotFound, and Conflict when the session has ended."""

    def cancelling(self, session_id: int, statement_id: int, *, sent: bool) -> Statement:
        """Mark one that waits or runs as ``cancelling``, or as ``cancelled`` when its driver never got it.

        One that has ended is given back as it is. Raises NotFound.
        """

    def end_statements(self, session_id: int, output: Mapping[str, Any]) -> None:
        """End what waits or runs in a session whose driver is gone."""

    def forget_statements(self, session_id: int, keep: int) -> list[int]:
        """Forget those that have ended but for the newest `keep`, with what they printed; returns their ids.

        Ids go on behind them.
        """

    def statement(self, session_id: int, statement_id: int) -> Statement:
        """Read one. Raises NotFound."""

    def statements(
        self,
        session_id: int,
        *,
        skip: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        jobs: bool = True,
    ) -> tuple[int, list[Statement]]:
        """How many there are, and a page of them; without those that are jobs if so asked.

        Raises NotFound for the session.
        """

    def open_statements(self, session_id: int) -> list[Statement]:
        """Those that have not ended, in order; none for a session that is not there."""

    def chunks(self, session_id: int, statement_id: int, *, after: int = 0, limit: int = 1000) -> list[Chunk]:
        """What it printed and displayed after event number `after`, in order."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a driver ended.

    Attributes:
        code: Exit code; negative: the signal that ended it; None: nobody saw it.
        tail: The last lines of its log.
    """

    code: int | None
    tail: Sequence[str]


class Driver(Protocol):
    """An open line to a running driver; safe between threads."""

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of events as they come; ends when the line does."""

    def ask(self, what: str, *, limit_s: float = 10.0, **values: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises RemoteError when the line ends or no answer comes in time."""

    def close(self) -> None:
        """Let go of the line; the driver lives on."""


class Drivers(Protocol):
    """Starts drivers and finds them again."""

    def start(self, session: Session) -> dict[str, Any]:
        """Start a driver's process, detached; returns what finds it again before it can be talked to.

        Raises:
            SetupError: its interpreter, pyspark or Java is missing.
        """

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """Whether the process is there, and the very same one."""

    def open(self, driver: Mapping[str, Any], after: int) -> Driver | None:
        """A line to it that tells the events after number `after`; None while it does not listen yet.

        Raises:
            RemoteError: it refuses us, or speaks another protocol.
        """

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        """Events after number `after` that a driver which has ended left in its folder."""

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        """How one that has ended came to its end."""

    def page(self, driver: Mapping[str, Any], statement_id: int, page: int) -> Path | None:
        """The file of a page of a statement's rows, an Arrow IPC stream; None when it is not there."""

    def drop_rows(self, driver: Mapping[str, Any], statement_ids: Sequence[int]) -> None:
        """Delete the rows that statements left; nothing happens where there are none."""

    def new_frame(self, driver: Mapping[str, Any]) -> Path:
        """A file that is not there yet, for a DataFrame that the driver is sent; its name is all that it is told."""

    def kill(self, driver: Mapping[str, Any]) -> None:
        """End its whole process group at once; nothing happens when it is gone."""

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """How many lines its log has, and `limit` of them from line `after`; negative: the last ones."""

    def remove(self, driver: Mapping[str, Any]) -> None:
        """Delete its folder."""

    def close(self) -> None:
        """Let go of what a service holds open for them; drivers live on."""
