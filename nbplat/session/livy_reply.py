"""Sessions and statements as Livy shows them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.session.batch import Batch, BatchState
from nbplat.session.records import Chunk, Session, Statement

__all__ = ["REDACTED", "batch_json", "redacted", "session_json", "statement_json"]

REDACTED = "*********(redacted)"
_SECRET = ("secret", "password", "token", "access.key", "accesskey", "credential", "api.key", "apikey")
_APP = re.compile(r"application_\d+_\d+")
_ECHOED = ("jars", "pyFiles", "files", "archives")
_NUMBERS = ("driverCores", "executorCores", "numExecutors", "heartbeatTimeoutInSecond")
_TEXTS = ("driverMemory", "executorMemory", "queue", "ttl", "idleTimeout")


def session_json(session: Session, log: Sequence[str]) -> dict[str, Any]:
    """A session.

    Args:
        log: The last lines of its driver's log.
    """
    request = session.request
    return {
        "id": session.id,
        "name": session.name or None,
        "appId": session.app.get("app_id"),
        "owner": session.owner or None,
        "proxyUser": session.proxy_user or None,
        "state": session.state.value,
        "kind": session.kind,
        "appInfo": {"driverLogUrl": None, "sparkUiUrl": session.app.get("ui"), "executorLogUrls": None},
        "log": list(log),
        **{name: request.get(name) for name in _TEXTS},
        **{name: request.get(name, 0) for name in _NUMBERS},
        **{name: request.get(name, []) for name in _ECHOED},
        "conf": redacted(request.get("conf", {})),
    }


def batch_json(batch: Batch, log: Sequence[str]) -> dict[str, Any]:
    """A batch.

    Args:
        log: The last lines of its log.
    """
    state = "starting" if batch.state is BatchState.NOT_STARTED else batch.state.value
    lines = [*log, *([batch.reason["message"]] if batch.reason else [])]
    found = [match[0] for line in log if (match := _APP.search(line))]
    return {
        "id": batch.id,
        "name": batch.name or None,
        "owner": batch.owner or None,
        "proxyUser": batch.proxy_user or None,
        "state": state,
        "appId": found[-1] if found else None,
        "appInfo": {"driverLogUrl": None, "sparkUiUrl": None, "executorLogUrls": None},
        "log": lines,
    }


def redacted(conf: Mapping[str, str]) -> dict[str, str]:
    """Spark settings without the values of secrets."""
    return {key: REDACTED if any(mark in key.lower() for mark in _SECRET) else value for key, value in conf.items()}


def statement_json(statement: Statement, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """A statement.

    Args:
        chunks: What it printed and displayed; looked at only when it has ended.
    """
    return {
        "id": statement.id,
        "code": statement.code,
        "state": statement.state.value,
        "output": _output(statement, chunks),
        "progress": statement.progress,
        "started": statement.started_ms,
        "completed": statement.completed_ms,
    }


def _output(statement: Statement, chunks: Sequence[Chunk]) -> dict[str, Any] | None:
    output = statement.output
    if output is None or not statement.completed_ms:
        return None
    head = {"status": output["status"], "execution_count": statement.id}
    if output["status"] == "error":
        # What was printed before the error is not lost: it stands before the traceback.
        printed = _printed(chunks, "stdout") + _printed(chunks, "stderr")
        lines = ([printed] if printed else []) + list(output["traceback"])
        return {**head, "ename": output["ename"], "evalue": output["evalue"], "traceback": lines}
    data = _data(dict(output["data"]), chunks)
    if statement.kind == "spark" and data.get("text/plain"):
        # Scala's interpreter ends every line, and Livy leaves that.
        data["text/plain"] += "\n"
    return {**head, "data": data}


def _data(data: dict[str, Any], chunks: Sequence[Chunk]) -> dict[str, Any]:
    before = _printed(chunks, "stdout")
    after = _printed(chunks, "stderr")
    shown = [json.loads(chunk.text) for chunk in chunks if chunk.name == "display"]
    rich = [bundle for bundle in [*shown, data] if bundle]
    if any("text/html" in bundle or "image/png" in bundle for bundle in rich) and (len(rich) > 1 or before or after):
        # A client shows one form only: everything goes into it, or it would be lost.
        page = "".join([_pre(before), *(_as_html(bundle) for bundle in rich), _pre(after)])
        return {**data, "text/plain": _plain(before, rich, after), "text/html": page}
    if data and "text/plain" not in data and not (before or after or shown):
        return data
    return {**data, "text/plain": _plain(before, rich, after)}


def _plain(before: str, rich: Sequence[Mapping[str, Any]], after: str) -> str:
    texts = [str(bundle["text/plain"]) for bundle in rich if "text/plain" in bundle]
    return (before + "\n".join(texts) + ("\n" if texts and after else "") + after).rstrip()


def _as_html(bundle: Mapping[str, Any]) -> str:
    if "text/html" in bundle:
        return str(bundle["text/html"])
    if "image/png" in bundle:
        return f'<img alt="" src="data:image/png;base64,{bundle["image/png"]}"/>'
    return _pre(str(bundle.get("text/plain", "")))


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>" if text else ""


def _printed(chunks: Sequence[Chunk], name: str) -> str:
    return "".join(chunk.text for chunk in chunks if chunk.name == name)
