"""Runs notebooks in a fresh state folder and keeps their outputs, without what needs a kernel or tells of a machine.

python scripts/notebooks.py notebooks/03_sequences.ipynb
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from nbplat.config import load_config
from nbplat.ui.client import stop_service

_SECONDS = 600
_KEPT = ("text/plain", "text/html")
_PROJECT = "/project"


def run(path: Path) -> None:
    """Run one notebook in place."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="nbplat-") as folder:
        os.environ["NBPLAT_HOME"] = str(Path(folder) / "state")
        # Nothing is kept warm for a notebook that ends.
        os.environ |= {"NBPLAT_SESSION_WARM_COUNT": "0", "NBPLAT_SESSION_CLASS_ARCHIVE": "false"}
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook, timeout=_SECONDS, kernel_name="python3", resources=resources, store_widget_state=False
        )
        try:
            client.execute()
        finally:
            stop_service(load_config())
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [_lasting(output, folder) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)
    print(f"{path}: {path.stat().st_size:,} bytes")


def _lasting(output: Any, folder: str) -> Any:
    """An output as a page without a kernel shows it; the folder that it ran in is gone, and is called the project."""
    if "data" in output:
        kept = {kind: value for kind, value in output["data"].items() if kind in _KEPT}
        output["data"] = {kind: text.replace(folder, _PROJECT) for kind, text in kept.items()}
    if "text" in output:
        output["text"] = output["text"].replace(folder, _PROJECT)
    return output


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(Path(name))
