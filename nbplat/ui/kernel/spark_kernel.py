"""The `nbplat-spark` kernel: an IPython kernel whose plain cells run in a session of the service.

An ordinary IPython kernel with nbplat loaded and its target set to the session; what it adds is what a kernel alone can
do: answer at the cursor from the session, also while a cell runs, and end or hand on its session when it ends.
Our own class over `IPythonKernel`: an async `do_execute` over sparkmagic's wrapper hangs in its nested loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from typing import Any

from ipykernel.ipkernel import IPythonKernel

from nbplat.config import Config, load_config
from nbplat.errors import NbplatError
from nbplat.ui import session_here as here
from nbplat.ui.kernel.asking import asked_session, running_client
from nbplat.ui.kernel.replies import complete_reply, inspect_reply
from nbplat.ui.kernel.restart import Memory, Remembered
from nbplat.ui.kernel.target import install

__all__ = ["SparkKernel"]

_STOP_S = 2.0
_ASKED = ("complete_request", "inspect_request")


class SparkKernel(IPythonKernel):  # type: ignore[misc]
    """Plain cells run in the session; ``%%local``, magics, ``!`` and ``?`` run here."""

    implementation = "nbplat-spark"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shell.extension_manager.load_extension("nbplat")
        self._target = install(self.shell)
        self._memory = Memory(str(getattr(self.parent, "abs_connection_file", "") or ""))
        self._executing: Any = None

    def start(self) -> None:
        """Take requests; what ran before (profiles, start-up files) ran here."""
        super().start()
        self._target.remote = True
        self._take_up()

    async def do_execute(self, code: str, silent: bool, *args: Any, **options: Any) -> dict[str, Any]:
        """Run a cell; what front ends run silently is about this process."""
        self._executing = self.get_parent("shell")
        try:
            if silent:
                with self._target.here():
                    return dict(await super().do_execute(code, silent, *args, **options))
            return dict(await super().do_execute(code, silent, *args, **options))
        finally:
            self._executing = None
            self._remember()

    async def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        """Names of the session where the code runs there, else this process's."""
        cursor = len(code) if cursor_pos is None else cursor_pos
        if (part := self._target.session_part(code, cursor)) is not None:
            return complete_reply(asked_session(), part, cursor)
        return dict(super().do_complete(code, cursor))

    async def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Collection[str] = ()
    ) -> dict[str, Any]:
        """What a name is, in the session where the code runs there."""
        if (part := self._target.session_part(code, cursor_pos)) is not None:
            return inspect_reply(asked_session(), part)
        return dict(super().do_inspect(code, cursor_pos, detail_level, omit_sections))

    async def shell_channel_thread_main(self, msg: Any) -> None:
        """Answer at the cursor beside a running cell, where the session has the answer; hand everything else on."""
        if self._executing is not None and self.session is not None:
            idents, frames = self.session.feed_identities(msg, copy=False)
            asked = self.session.deserialize(frames, content=True, copy=False)
            if asked["header"]["msg_type"] in _ASKED and not asked["header"].get("subshell_id"):
                content = asked["content"]
                part = self._target.session_part(content["code"], content["cursor_pos"])
                if part is not None:
                    await self._answer(idents, asked, part)
                    return
        await super().shell_channel_thread_main(msg)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End the session that cells started by themselves, or leave it to the kernel that comes next."""
        # The session is told from a thread of its own: a service that hangs must not hold the kernel.
        ending = threading.Thread(target=self._end_sessions, args=(restart,), daemon=True)
        ending.start()
        await asyncio.get_running_loop().run_in_executor(None, ending.join, _STOP_S)
        return dict(super().do_shutdown(restart))

    async def _answer(self, idents: Any, asked: dict[str, Any], part: tuple[str, int]) -> None:
        kind = asked["header"]["msg_type"]
        self._publish_status("busy", "shell", parent=asked)

        def ask() -> dict[str, Any]:
            session = asked_session()
            if kind == "inspect_request":
                return inspect_reply(session, part)
            return complete_reply(session, part, asked["content"]["cursor_pos"])

        reply = await asyncio.get_running_loop().run_in_executor(None, ask)
        self.session.send(self.shell_stream, kind.replace("request", "reply"), reply, asked, idents)
        self._publish_status("idle", "shell", parent=asked)
        if (running := self._executing) is not None:
            # Front ends show the state that they heard last, and the cell still runs.
            self._publish_status("busy", "shell", parent=running)

    def _take_up(self) -> None:
        config = _config()
        found = self._memory.read()
        if config is None or found is None or found.place != (config.service_url or str(config.home)):
            return
        if config.kernel_on_restart == "attach":
            here.attach_id(found.place, found.session)
            if found.own:
                here.own(found.place, found.session)

    def _remember(self) -> None:
        config = _config()
        if config is None:
            return
        place = config.service_url or str(config.home)
        session = here.attached(place)
        now = None if session is None else Remembered(place, session, session in here.owned(place))
        try:
            self._memory.write(now)
        except OSError as exc:
            self.log.warning("the session is not remembered for a restart: %s", exc)

    def _end_sessions(self, restart: bool) -> None:
        config = _config()
        if config is None or (restart and config.kernel_on_restart == "attach"):
            return
        self._memory.forget()
        if config.kernel_on_exit == "keep":
            return
        client = running_client(config)
        for number in here.owned(config.service_url or str(config.home)) if client is not None else ():
            try:
                client.delete(f"/api/v1/sessions/{number}", timeout_s=_STOP_S)
            except NbplatError as exc:
                self.log.warning("session %s was not ended: %s", number, exc)


def _config() -> Config | None:
    try:
        return load_config()
    except NbplatError:
        return None
