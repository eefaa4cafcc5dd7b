"""DataFrames that are sent to a session, as Arrow IPC streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from nbplat.errors import RequestError
from nbplat.service.session_records import statement_record
from nbplat.session.frame_types import check_frame_name, check_frame_schema
from nbplat.session.sessions import Sessions

__all__ = ["router"]


def router(sessions: Sessions, found: Callable[[str], int]) -> APIRouter:
    """The routes under ``/{key}/frames``.

    Args:
        found: The id of a session by id or name.
    """
    routes = APIRouter(prefix="/{key}/frames")

    @routes.post("", status_code=201)
    async def put(key: str, name: str, request: Request, view: bool = False) -> dict[str, Any]:
        """Bind a DataFrame to a name of the session, in its turn among the statements; returns that statement.

        The body is one Arrow IPC stream in types that Spark has. With `view` SQL finds it by its name as well.
        """
        check_frame_name(name)
        session = await run_in_threadpool(found, key)
        file = await run_in_threadpool(sessions.new_frame, session)
        try:
            await _write(name, request, file, sessions.limits.frame_bytes)
            await run_in_threadpool(_check, name, file)
            statement = await run_in_threadpool(lambda: sessions.put(session, name, file, view=view))
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return statement_record(statement)

    return routes


async def _write(name: str, request: Request, file: Path, limit: int) -> None:
    size = 0
    with file.open("xb") as out:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise RequestError(
                    "frame.size",
                    f"the frame {name!r} takes more than {limit:,} bytes",
                    fix="send less, write it to a table, or raise limits.frame_bytes",
                    where=name,
                )
            out.write(piece)


def _check(name: str, file: Path) -> None:
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
            check_frame_schema(name, stream.schema)
            for batch in stream:
                batch.validate(full=True)
    except (pa.ArrowException, OSError) as exc:
        raise RequestError(
            "frame.body", f"the request holds no Arrow IPC stream: {exc}", fix="send the bytes of one IPC stream"
        ) from None
