"""`%nbplat status|config|doctor` and `nbplat serve`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

from nbplat.config import load_config
from nbplat.errors import NbplatError, SetupError
from nbplat.ui.call import Call
from nbplat.ui.handlers import backfill, service
from nbplat.ui.render.figures import bytes_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html, table_text

__all__ = ["config", "doctor", "serve", "status"]

_ROOM_BYTES = 1 << 30


def status(call: Call) -> Result:
    """Live runs, the service, and what to do next; starts the service, since runs are asked of it."""
    call.options.run = None
    runs, about = backfill.status(call), service.status(call)
    html = f"{about.html or ''}{runs.html or ''}"
    return Result(f"{about.text.splitlines()[0]}\n{runs.text}", html, data={"service": about.data, "runs": runs.data})


def config(_call: Call) -> Result:
    """Every setting, its value, and where the value came from."""
    settings = load_config().settings()
    header = ["setting", "value", "from", "variable", "meaning"]
    rows = [[each.key, str(each.value), each.source, each.variable, each.help] for each in settings]
    data = [{"key": each.key, "value": str(each.value), "source": each.source} for each in settings]
    return Result(table_text(header, rows), table_html(header, rows), data=data)


def doctor(_call: Call) -> Result:
    """Check this machine and say what is missing and how to mend it."""
    from nbplat.compose import open_platform

    platform = open_platform()
    checks: list[tuple[str, str, Callable[[], Any]]] = [
        ("python", "needed", _check_python),
        ("state folder", "needed", lambda: _check_room(platform.config.home)),
        ("store", "needed", lambda: platform.store.runs(limit=1)),
        ("catalog", "needed", lambda: platform.catalog.list_namespaces()),
        ("scikit-learn", "for training", platform.model_kit),
        *((name, "for Spark", check) for name, check in platform.spark_checks()),
        *((name, "for environments", check) for name, check in platform.environment_checks()),
    ]
    rows = [_checked(name, need, check) for name, need, check in checks]
    header = ["check", "need", "state", "mend"]
    data = [dict(zip(header, row, strict=True)) for row in rows]
    return Result(table_text(header, rows), table_html(header, rows), data=data)


def serve(call: Call) -> Result:
    """Run the service in the foreground until it is told to stop."""
    from nbplat.service.main import serve as serve_here

    settings = {"service.host": call.options.host, "service.port": call.options.port}

    def ready(info: dict[str, Any]) -> None:
        call.show(Result(f"serving {info['url']} (token in run/service.json of the state folder; Ctrl-C stops)"))

    serve_here(load_config(settings), on_ready=ready, foreground=True)
    return Result("service stopped")


def _checked(name: str, need: str, check: Callable[[], Any]) -> list[str]:
    try:
        said = check()
    except NbplatError as error:
        return [name, need, error.message, error.fix]
    return [name, need, said if isinstance(said, str) else "ok", ""]


def _check_python() -> str:
    return f"ok, {sys.version.split()[0]}"


def _check_room(home: Any) -> str:
    free = shutil.disk_usage(home).free
    if free < _ROOM_BYTES:
        raise SetupError("disk.low", f"{bytes_text(free)} free at {home}", fix="make room, or set NBPLAT_HOME")
    return f"ok, {bytes_text(free)} free at {home}"
