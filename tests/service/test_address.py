"""The service's listening socket, as its answers leave it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from nbplat.config import load_config
from nbplat.service.address import bind


def test_small_answers_leave_at_once(tmp_path: Path) -> None:
    """A connection does not hold a small piece back until the one before it was acknowledged (Nagle's algorithm)."""
    config = load_config({"home": str(tmp_path)}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")

    async def taken() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
            accepted.set_result(found)

        listener = bind(config, 0)
        async with await asyncio.start_server(serve, sock=listener):
            _, client = await asyncio.open_connection(*listener.getsockname())
            client.close()
            return await asyncio.wait_for(accepted, 60)

    assert asyncio.run(taken())
