"""The one table from (noun, verb) to the function that carries it out.

Strings, because a handler imports what it needs and `%load_ext` must not; a test resolves every one of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from nbplat.ui.call import Call
from nbplat.ui.render.result import Result

__all__ = ["HANDLERS", "SPARKMAGIC_HANDLERS", "Handler", "resolve"]

Handler = Callable[[Call], Result]


def _at(noun: str, *verbs: str, module: str = "") -> dict[tuple[str, str], str]:
    return {(noun, verb): f"nbplat.ui.handlers.{module or noun}:{verb}" for verb in verbs}


HANDLERS: Mapping[tuple[str, str], str] = {
    **_at("backfill", "run", "show", "status"),
    **_at("backfill", "attach", "pause", "resume", "cancel", "retry", module="backfill_steps"),
    **_at("backfill", "audit", "promote", "rollback", "extend", module="backfill_steps"),
    **_at("backfill", "logs", module="backfill_logs"),
    **_at("backfill", "diff", module="backfill_diff"),
    **_at("backfill", "grid", module="backfill_grid"),
    **_at("backfill", "expire", module="backfill_expire"),
    ("backfill", "plan"): "nbplat.ui.handlers.backfill:run",
    ("backfill", "list"): "nbplat.ui.handlers.backfill:list_runs",
    **_at("sequence", "preview", "show"),
    **_at("sequence", "build", "correct", "export", module="sequence_steps"),
    **_at("sequence", "diff", module="sequence_diff"),
    ("sequence", "list"): "nbplat.ui.handlers.sequence:list_definitions",
    ("training", "run"): "nbplat.ui.handlers.training:run",
    ("training", "list"): "nbplat.ui.handlers.training_runs:list_runs",
    **_at("training", "show", "replay", "release", module="training_runs"),
    ("training", "plan"): "nbplat.ui.handlers.training:run",
    **_at("session", "warm", module="session_warm"),
    **_at("session", "start", "attach", "info", "logs", "stop", "run", "sql", "follow", "url", "profiles", "share"),
    **_at("session", "send", module="session_cell"),
    **_at("session", "ui", module="session_ui"),
    ("session", "form"): "nbplat.ui.handlers.form:session",
    ("environment", "form"): "nbplat.ui.handlers.form:environment",
    ("session", "list"): "nbplat.ui.handlers.session:list_sessions",
    ("spark", "run"): "nbplat.ui.handlers.session_cell:spark",
    **_at("spark", "add", "info", "logs", "delete", "cleanup", "config", module="sparkmagic"),
    ("sql", "run"): "nbplat.ui.handlers.session_cell:sql",
    **_at("kernel", "install", "remove"),
    ("kernel", "list"): "nbplat.ui.handlers.kernel:list_kernels",
    **_at("environment", "show", "diff"),
    **_at("environment", "init", "add", "remove", module="environment_edit"),
    **_at("environment", "lock", "build", "pack", "push", "pull", module="environment_jobs"),
    **_at("environment", "conf", "check", "kernel", "run", module="environment_use"),
    **_at("environment", "du", "gc", "verify", module="environment_store"),
    **_at("environment", "channel", module="environment_channel"),
    ("environment", "list"): "nbplat.ui.handlers.environment:list_environments",
    ("environment", "ls"): "nbplat.ui.handlers.environment:list_environments",
    **_at("job", "show", "logs", "cancel"),
    ("job", "list"): "nbplat.ui.handlers.job:list_jobs",
    **_at("service", "status", "stop", "user"),
    **_at("demo", "init", "run"),
    **_at("jars", "fetch"),
    **_at("nbplat", "target", module="target"),
    ("nbplat", "last-error"): "nbplat.ui.handlers.last_error:last_error",
    **_at("nbplat", "status", "config", "doctor", "serve", module="platform"),
}

SPARKMAGIC_HANDLERS: Mapping[tuple[str, str], str] = {
    (name, "run"): f"nbplat.ui.handlers.sparkmagic:{name}_magic"
    for name in ("configure", "info", "logs", "cleanup", "delete", "send_to_spark", "pretty")
}
"""Of `nbplat.ui.nouns.sparkmagic.SPARKMAGIC`."""


def resolve(noun: str, verb: str, handlers: Mapping[tuple[str, str], str] = HANDLERS) -> Handler:
    """Import and return the handler; a pair that is declared but not in the table is our bug."""
    module, _, function = handlers[noun, verb].partition(":")
    return cast("Handler", getattr(importlib.import_module(module), function))
