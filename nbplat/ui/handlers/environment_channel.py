"""`nbplat env channel make|verify`: a conda channel of this Python, of installed packages and of wheels.

It is made in this process: the folder, the interpreter and the wheels are this machine's, whatever service is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from nbplat.environment.channel.request import ChannelReport, ChannelRequest
from nbplat.environment.definition_file import FOLDER
from nbplat.environment.phases import phase_text
from nbplat.environment.ports import Phase
from nbplat.errors import DataError, RequestError
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Place
from nbplat.ui.handlers.environment_result import shown
from nbplat.ui.render.figures import bytes_text, count_text
from nbplat.ui.render.result import Result

__all__ = ["channel", "made", "verified"]

_MAKING = ("interpreter", "no_python", "installed", "wheels", "requirements", "without", "remove")
# So many findings are listed in an error; --json of a sound channel has nothing to list.
_LISTED = 20


def channel(call: Call) -> Result:
    """Make a channel, add to one, or check one."""
    options = call.options
    folder = Path(options.folder).expanduser()
    if options.action == "verify":
        if given := [name for name in _MAKING if getattr(options, name)]:
            raise RequestError(
                "usage.arguments",
                f"--{given[0].replace('_', '-')} belongs to make, verify only looks",
                fix=f"nbplat env channel verify {options.folder}",
            )
        return verified(Place(), folder, call.show)
    request = ChannelRequest(
        folder,
        interpreter=options.interpreter or "",
        python=not options.no_python,
        installed=options.installed,
        wheels=options.wheels,
        requirements=options.requirements or "",
        without=options.without,
        remove=options.remove,
    )
    return made(Place(), request, call.show)


def made(place: Place, request: ChannelRequest, show: Callable[[Result], None]) -> Result:
    """What was written, and how the channel is used."""
    report = place.platform.make_channel(request, _told(show))
    head = (
        f"{report.folder} {count_text(len(report.packages), 'package')} {bytes_text(report.size)}:"
        f" {len(report.added)} written, {len(report.kept)} there already"
    )
    facts = [("written", f"{each.text} {each.build} {bytes_text(each.size)}") for each in report.added]
    facts += [("removed", each) for each in report.removed]
    facts += [("note", each) for each in report.notes]
    facts += [
        ("use it", f"channels: [{_as_declared(report)}]"),
        ("check it", f"nbplat env channel verify {report.folder}"),
    ]
    return shown(head, facts, value=report, data=report.record())


def verified(place: Place, folder: Path, show: Callable[[Result], None]) -> Result:
    """Say that a channel is sound.

    Raises:
        DataError: ``env.channel.unsound``: with what is wrong, a line each.
    """
    found = place.platform.check_channel(folder, _told(show))
    if found:
        listed = "".join(f"\n  {one}" for one in found[:_LISTED])
        more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise DataError(
            "env.channel.unsound",
            f"{count_text(len(found), 'fault')} in the channel:{listed}{more}",
            fix=f"make it again from what it came from, or --remove what is named: nbplat env channel make {folder}",
            where=str(folder),
        )
    head = f"{folder} is sound: every file is what the index and the packages say, and every package can be installed"
    return Result(head, data={"folder": str(folder), "faults": []})


def _told(show: Callable[[Result], None]) -> Callable[[Phase], None]:
    began_s = time.monotonic()
    return lambda phase: show(Result(f"channel {phase_text(phase, time.monotonic() - began_s)}"))


def _as_declared(report: ChannelReport) -> str:
    """How a declaration in ``envs/`` names it: by its path from there where it lies in the project."""
    folder, project = Path(report.folder).absolute(), Path.cwd()
    if not folder.is_relative_to(project):
        return report.url
    if folder.is_relative_to(project / FOLDER):
        return f"./{folder.relative_to(project / FOLDER).as_posix()}"
    return f"../{folder.relative_to(project).as_posix()}"
