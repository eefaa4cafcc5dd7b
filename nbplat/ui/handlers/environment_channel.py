"""`nbplat env channel make`: a conda channel of this Python, of installed packages and of wheels."""

from __future__ import annotations

from pathlib import Path

from nbplat.environment.channel.request import ChannelRequest
from nbplat.environment.ports import Phase
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Place
from nbplat.ui.handlers.environment_result import shown
from nbplat.ui.render.figures import bytes_text, count_text
from nbplat.ui.render.result import Result

__all__ = ["channel", "made"]


def channel(call: Call) -> Result:
    """Make a channel, or add to one."""
    options = call.options
    request = ChannelRequest(
        Path(options.folder).expanduser(),
        python=options.python,
        installed=options.packages,
        wheels=options.wheels,
        requirements=options.requirements or "",
        remove=options.remove,
    )
    return made(Place(), request, call)


def made(place: Place, request: ChannelRequest, call: Call) -> Result:
    """What was written, and how the channel is used."""

    def say(phase: Phase) -> None:
        call.show(
            Result(f"channel {phase.done}/{phase.total} {phase.what}" if phase.total else f"channel {phase.what}")
        )

    report = place.platform.make_channel(request, say)
    head = (
        f"{report.folder} {count_text(len(report.packages), 'package')} {bytes_text(report.size)}:"
        f" {len(report.added)} written, {len(report.kept)} there already"
    )
    facts = [("written", each.text) for each in report.added]
    facts += [("removed", each) for each in report.removed]
    facts += [("note", each) for each in report.notes]
    facts += [("use it", f"channels: [{report.url}]")]
    return shown(head, facts, value=report, data=report.record())
