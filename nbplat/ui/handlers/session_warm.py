"""`nbplat session warm`: what makes the next session start sooner, done by hand."""

from __future__ import annotations

from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.errors import RequestError
from nbplat.ui.call import Call
from nbplat.ui.render.figures import bytes_text
from nbplat.ui.render.result import Result

__all__ = ["warm"]


def warm(call: Call) -> Result:
    """Write the class archive of this machine's sessions, and measure one start without and one with it."""
    config = load_config()
    if config.service_url:
        raise RequestError(
            "session.warm_elsewhere",
            f"sessions run where {config.service_url} is, not here",
            fix="run nbplat session warm on that machine",
        )
    call.show(Result("starting a JVM three times: without the archive, writing it, and with it"))
    about = open_platform(config).write_class_archive(call.options.env or "")
    made = "written" if about["fresh"] else "there already"
    text = (
        f"{about['path']}: {made}, {bytes_text(about['bytes'])}; a JVM and its first result take "
        f"{about['with_s']:.1f} s instead of {about['cold_s']:.1f} s"
    )
    return Result(text, data=about)
