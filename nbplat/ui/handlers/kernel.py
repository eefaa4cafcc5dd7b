"""`nbplat kernel install`."""

from __future__ import annotations

import os
from pathlib import Path

from nbplat.errors import RequestError
from nbplat.ui.call import Call
from nbplat.ui.render.result import Result
from nbplat.ui.session_desk import open_session_desk
from nbplat.ui.sparkmagic_config import install_kernel, write_config

__all__ = ["install"]


def install(call: Call) -> Result:
    """Write sparkmagic's settings for this service, and register its PySpark kernel when it is installed."""
    options = call.options
    if not options.sparkmagic:
        raise RequestError("kernel.which", "which kernel is to be set up?", fix="nbplat kernel install --sparkmagic")
    client = open_session_desk().client
    folder = options.folder or os.environ.get("SPARKMAGIC_CONF_DIR") or "~/.sparkmagic"
    place = Path(folder).expanduser().absolute()
    path, copy = write_config(place, client.url, client.token, force=options.force)
    kernel = install_kernel(place, force=options.force)
    lines = [f"sparkmagic's settings for {client.url}: {path}"]
    if copy is not None:
        lines.append(f"the file that was there: {copy}")
    if kernel is None:
        lines.append("sparkmagic is not installed here: pip install 'nbplat[sparkmagic]', then run this again")
    else:
        lines.append(f"kernel PySpark: {kernel}")
    data = {"config": str(path), "copy": str(copy) if copy else None, "kernel": str(kernel) if kernel else None}
    return Result("\n".join(lines), data=data)
