"""The Jupyter server's way to the service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nbplat.errors import InternalError
from nbplat.ui.server.service_door import ServiceDoor


def test_a_bug_is_in_the_log_under_its_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The page is told an id and no text of ours; the server's log has the traceback under that id."""
    door = ServiceDoor(tmp_path)

    async def ask() -> None:
        await door._in_thread(lambda: {}["nothing"])

    with pytest.raises(InternalError) as caught:
        asyncio.run(ask())
    door.close()
    [logged] = caplog.records
    assert caught.value.detail_id is not None
    assert f"[{caught.value.detail_id}]" in logged.getMessage()
    assert logged.exc_info is not None
    assert "nothing" not in caught.value.message
