"""`nbplat kernel …`."""

from __future__ import annotations

import os
from pathlib import Path

from nbplat.environment.kernel import user_kernels
from nbplat.errors import RequestError
from nbplat.ui.call import Call
from nbplat.ui.kernel.specs import registered_kernels, remove_spark_kernel, write_spark_kernel
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html, table_text
from nbplat.ui.session_desk import open_session_desk
from nbplat.ui.sparkmagic_config import install_kernel, write_config

__all__ = ["install", "list_kernels", "remove"]


def install(call: Call) -> Result:
    """Register the kernel; with ``--sparkmagic``, set up sparkmagic."""
    options = call.options
    if options.user and options.prefix:
        raise RequestError("usage.arguments", "--user and --prefix name two places", fix="give one of them")
    if options.sparkmagic:
        return _sparkmagic(call)
    spec = write_spark_kernel(_kernels(options.prefix), name=options.name or "", display_name=options.shown or "")
    text = f"kernel {spec.name} ({spec.display_name}): {spec.path}\nchoose it in JupyterLab's launcher"
    return Result(text, value=spec, data=spec.record())


def list_kernels(_call: Call) -> Result:
    """The kernels of ours that Jupyter finds."""
    found = registered_kernels()
    if not found:
        return Result("no kernel of nbplat is registered: nbplat kernel install", data=[])
    header = ["kernel", "shown as", "cells run in", "folder"]
    rows = [[each.name, each.display_name, each.what, each.path] for each in found]
    return Result(table_text(header, rows), table_html(header, rows), data=[each.record() for each in found])


def remove(call: Call) -> Result:
    """Take a kernel out."""
    gone = remove_spark_kernel(_kernels(call.options.prefix), call.options.kernel)
    return Result(f"kernel {gone.name} removed", value=gone, data=gone.record())


def _kernels(prefix: str | None) -> Path:
    return user_kernels() if prefix is None else Path(prefix).expanduser().absolute() / "share" / "jupyter" / "kernels"


def _sparkmagic(call: Call) -> Result:
    """Write sparkmagic's settings for this service, and register its PySpark kernel when it is installed."""
    options = call.options
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
