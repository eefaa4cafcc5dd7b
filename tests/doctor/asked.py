"""One check of `nbplat doctor` on a state folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbplat.clock import Clock
from nbplat.compose import Platform, open_platform
from nbplat.config import Config, load_config
from nbplat.ui.doctor.examination import checks_of
from nbplat.ui.doctor.finding import Verdict, examine

__all__ = ["FAULT", "NOT_NEEDED", "OK", "WARNING", "answer", "config", "configured", "write"]

OK, WARNING, FAULT, NOT_NEEDED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.NOT_NEEDED


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A state folder of its own that nothing was done in."""
    return configured(tmp_path)


def configured(folder: Path, **options: Any) -> Config:
    home = {"home": str(folder / "home"), **{key.replace("__", "."): value for key, value in options.items()}}
    found = load_config(home, environ={}, cwd=folder, user_file=folder / "none.toml")
    found.home.mkdir(exist_ok=True)
    return found


def answer(name: str, config: Config, clock: Clock | None = None) -> tuple[Verdict, str, str]:
    """What one of the checks that `nbplat doctor` asks has found: verdict, text and mend.

    Args:
        clock: Stands for this machine's.
    """
    opened: list[Platform] = []

    def open_it(config: Config) -> Platform:
        opened.append(open_platform(config, clock=clock))
        return opened[-1]

    try:
        [found] = examine([each for each in checks_of(config, open_it) if each.name == name])
    finally:
        for platform in opened:
            platform.close()
    return found.verdict, found.text, found.mend


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
