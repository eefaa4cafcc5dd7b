"""`%nbplat status|config|doctor` and `nbplat serve`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nbplat.config import Config, load_config
from nbplat.ui.call import Call
from nbplat.ui.handlers import backfill, service
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html, table_text
from nbplat.ui.spoken import spoken

__all__ = ["config", "doctor", "serve", "status"]

_BEGIN = (
    "no run yet: %%backfill NAME --table NAMESPACE.TABLE --key COLUMN begins one; %nbplat demo init loads tables to try"
)


def status(call: Call) -> Result:
    """Live runs, the service, and what to do next; starts the service, since runs are asked of it."""
    call.options.run = None
    runs, about = backfill.status(call), service.status(call)
    text, html = f"{about.text.splitlines()[0]}\n{runs.text}", f"{about.html or ''}{runs.html or ''}"
    if not runs.data:
        text, html = f"{text}\n{spoken(_BEGIN)}", f"{html}<p>{_BEGIN}</p>"
    return Result(text, html, data={"service": about.data, "runs": runs.data})


def config(_call: Call) -> Result:
    """Every setting, its value, and where the value came from."""
    settings = load_config().settings()
    header = ["setting", "value", "from", "variable", "meaning"]
    rows = [[each.key, str(each.value), each.source, each.variable, each.help] for each in settings]
    data = [{"key": each.key, "value": str(each.value), "source": each.source} for each in settings]
    return Result(table_text(header, rows), table_html(header, rows), data=data)


def doctor(call: Call) -> Result:
    """Check this machine, the folder and the service, each with its mend; a command with faults ends with 1."""
    from nbplat.compose import Platform, open_platform
    from nbplat.ui.doctor.examination import checks_of
    from nbplat.ui.doctor.finding import Verdict, examine

    def waiting(names: Sequence[str]) -> None:
        call.show(Result(f"still looking at {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"))

    opened: list[Platform] = []

    def open_it(config: Config) -> Platform:
        opened.append(open_platform(config))
        return opened[-1]

    try:
        findings = examine(checks_of(load_config(), open_it), waiting=waiting)
    finally:
        for platform in opened:
            platform.close()
    count = Counter(each.verdict for each in findings)
    head = (
        f"doctor: {count[Verdict.FAULT]} faults, {count[Verdict.WARNING]} warnings, {count[Verdict.OK]} ok, "
        f"{count[Verdict.NOT_NEEDED]} not needed"
    )
    header = ["check", "for", "state", "found", "mend"]
    rows = [[each.name, each.part, each.verdict.value, each.text, each.mend] for each in findings]
    data = {"ok": not count[Verdict.FAULT], "checks": [each.record() for each in findings]}
    # A line each, for grep.
    lines = [
        f"{each.verdict.value}: {each.name}: {each.text}" + (f" -> {spoken(each.mend)}" if each.mend else "")
        for each in findings
    ]
    return Result(
        "\n".join([head, *lines]),
        f"<p>{head}</p>{table_html(header, rows)}",
        value=data,
        data=data,
        exit_code=1 if count[Verdict.FAULT] else 0,
    )


def serve(call: Call) -> Result:
    """Run the service in the foreground until it is told to stop."""
    from nbplat.service.main import serve as serve_here

    settings = {"service.host": call.options.host, "service.port": call.options.port}

    def ready(info: dict[str, Any]) -> None:
        call.show(Result(f"serving {info['url']} (token in run/service.json of the state folder; Ctrl-C stops)"))

    serve_here(load_config(settings), on_ready=ready, foreground=True)
    return Result("service stopped")
