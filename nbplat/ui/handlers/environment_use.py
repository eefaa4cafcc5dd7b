"""`nbplat env conf|check|kernel|run`: what a built environment is for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbplat.errors import NotFound, RequestError, SetupError
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Place, maybe_declared
from nbplat.ui.handlers.environment_jobs import built_word, located
from nbplat.ui.handlers.environment_result import shown
from nbplat.ui.render.figures import count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, table_html, table_text

_SHOWN = 30
_DIFFERENCES = {"missing": "only here", "extra": "only there"}

__all__ = ["check", "checked", "conf", "configured", "kernel", "registered", "run"]


def conf(call: Call) -> Result:
    """The exact settings for a target."""
    options = call.options
    return configured(
        Place(),
        options.environment,
        options.target,
        at=options.at,
        way=options.way,
        form=options.form,
        node_cache=options.node_cache,
        fetch=options.fetch,
    )


def configured(
    place: Place,
    word: str | None,
    target: str,
    *,
    at: str | None = None,
    way: str | None = None,
    form: str | None = None,
    node_cache: str | None = None,
    fetch: str | None = None,
) -> Result:
    """The settings as text to paste; the value is the record `Settings`."""
    from nbplat.environment.settings import Settings, settings_text

    _, request = built_word(place, word)
    asked = {"target": target, "uri": located(at) if at else "", "way": way or ""}
    asked |= {"node_cache": node_cache or "", "fetch": fetch or ""}
    found = place.store.ask("conf", {**request, **asked})
    settings = Settings(
        **{
            **found,
            "unset": tuple(found["unset"]),
            "artifacts": tuple(found["artifacts"]),
            "notes": tuple(found["notes"]),
        }
    )
    text = settings_text(settings, form or "")
    return Result(text.rstrip("\n"), value=settings, data=found)


def check(call: Call) -> Result:
    """What does not fit; exit code 3 when something stops a job."""
    options = call.options
    return checked(Place(), options.environment, options.against, spark=options.spark, ray=options.ray)


def checked(
    place: Place, word: str | None, against: str | None = None, *, spark: str | None = None, ray: str | None = None
) -> Result:
    """Hold an environment against something.

    Raises:
        SetupError: ``env.check``: something would stop a job; with each mend.
    """
    name, request = built_word(place, word)
    found = maybe_declared(place, word)
    targets = found.definition.targets if found is not None else None
    other = against or ""
    if other and maybe_declared(place, other) is None and not place.away and Path(other).expanduser().exists():
        other = located(other)
    asked = {
        "against": other,
        "spark": spark or (targets.spark if targets else ""),
        "ray": ray or (targets.ray if targets else ""),
    }
    report = place.store.ask("check", {**request, **asked})
    result = _report(name, report)
    if not report["fits"]:
        fixes = dict.fromkeys(each["fix"] for each in report["findings"] if each["level"] == "error")
        raise SetupError("env.check", result.text, fix="; ".join(list(fixes)[:3]))
    return result


def kernel(call: Call) -> Result:
    """Register a Jupyter kernel, or take it out again."""
    options = call.options
    return registered(
        Place(),
        options.environment,
        shown_as=options.shown,
        called=options.kernel,
        prefix=options.prefix,
        remove=options.remove,
    )


def registered(
    place: Place,
    word: str | None,
    *,
    shown_as: str | None = None,
    called: str | None = None,
    prefix: str | Path | None = None,
    remove: bool = False,
) -> Result:
    """The kernelspec of an environment on this machine.

    Args:
        prefix: Installation whose users get it; None: this user.
    """
    environments = _here(place, "a kernel").platform.environments
    kernels = None if prefix is None else Path(prefix).expanduser() / "share" / "jupyter" / "kernels"
    name, request = built_word(place, word)
    if remove:
        gone = environments.remove_kernels(name, kernels=kernels)
        if not gone:
            raise NotFound("env.kernel", f"{name} has no kernel", fix=f"make one: nbplat env kernel {name}")
        return shown(
            f"{name} kernel removed: {', '.join(each.name for each in gone)}", [], data=[each.name for each in gone]
        )
    ref = environments.find(request["environment"], project=request["folder"])
    spec = environments.kernel(ref, name=called or "", display_name=shown_as or "", kernels=kernels)
    facts: list[tuple[str, Any]] = [
        ("display name", spec.display_name),
        ("file", spec.path),
        ("python", ref.interpreter),
        ("next", "choose it in JupyterLab's launcher; `jupyter kernelspec list` shows it"),
    ]
    return shown(f"{name} kernel {spec.name}", facts, value=spec, data=spec.record())


def run(call: Call) -> Result:
    """Become a command that runs in the environment."""
    options, place = call.options, Place()
    environments = _here(place, "a command").platform.environments
    _, request = built_word(place, options.environment)
    ref = environments.find(request["environment"], project=request["folder"])
    if not options.command:
        raise RequestError("usage.arguments", "there is no command", fix="nbplat env run NAME -- python script.py")
    environ = {
        **os.environ,
        "CONDA_PREFIX": ref.prefix,
        "PATH": f"{ref.prefix}/bin{os.pathsep}{os.environ.get('PATH', '')}",
    }
    for name in ("PYTHONHOME", "PYTHONPATH"):
        # Those of the Python that we run in would have the other one import our packages.
        environ.pop(name, None)
    place.platform.close()
    try:
        os.execvpe(options.command[0], list(options.command), environ)  # noqa: S606 - it is what was asked for
    except OSError as exc:
        raise RequestError(
            "env.command", f"{options.command[0]} cannot be run: {exc.strerror}", fix=f"see {ref.prefix}/bin"
        ) from None


def _here(place: Place, what: str) -> Place:
    """The place, when environments are built on this machine."""
    if place.away:
        raise RequestError(
            "env.away",
            f"environments are built by the service at {place.away}, and {what} needs one on this machine",
            fix="nbplat env pull URI with service.url (NBPLAT_URL) taken away",
        )
    return place


def _report(name: str, report: dict[str, Any]) -> Result:
    found = report["findings"]
    errors = [each for each in found if each["level"] == "error"]
    counts = f"{count_text(len(errors), 'error')}, {count_text(len(found) - len(errors), 'warning')}"
    head = f"{report['subject']} {'fits' if report['fits'] else 'does not fit'} {report['against']}: {counts}"
    lines = [head]
    for each in found:
        lines.append(f"  {each['level']}: {each['message']}")
        if each["level"] != "error" or len(errors) > 1:
            lines.append(f"    fix: {each['fix']}")
    lines += [f"  looked at: {each}" for each in report["checked"]]
    facts = [("check", head)]
    facts += [(each["level"], f"{each['message']}\nfix: {each['fix']}") for each in found]
    facts += [("looked at", each) for each in report["checked"]]
    text, page = "\n".join(lines), fields_html(facts)
    if rows := _different(report["differences"]):
        header = ["package", "difference", "here", "there", "matters"]
        more = len(report["differences"]) - len(rows)
        rest = f"\n({count_text(more, 'more package')}: --json has all)" if more else ""
        text = f"{text}\n\n{table_text(header, rows)}{rest}"
        page += table_html(header, rows, caption="packages that differ")
    return Result(text, page, value=report, data=report)


def _different(differences: list[dict[str, Any]]) -> list[list[Any]]:
    """Rows of a table that stays readable: what matters first."""
    ordered = sorted(differences, key=lambda each: not each["matters"])
    return [
        [each["name"], _DIFFERENCES.get(each["kind"], each["kind"]), each["left"], each["right"], each["matters"]]
        for each in ordered[:_SHOWN]
    ]
