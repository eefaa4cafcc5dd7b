"""`nbplat session warm` where it cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.errors import RequestError, SetupError
from nbplat.ui.call import Call
from nbplat.ui.handlers.session_warm import warm


def test_sessions_of_a_team_are_warmed_where_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a service elsewhere the archive is of no use here, and the error says where it is."""
    monkeypatch.setenv("NBPLAT_URL", "https://team.test")
    monkeypatch.setenv("NBPLAT_SERVICE_URL", "https://team.test")
    with pytest.raises(RequestError) as found:
        warm(Call.__new__(Call))
    assert "session.warm_elsewhere" == found.value.code


def test_masters_with_drivers_of_their_own_get_no_archive(tmp_path: Path) -> None:
    """On YARN no archive is written, and the error says so before anything starts."""
    options = {"home": str(tmp_path / "home"), "spark.master": "yarn"}
    platform = open_platform(load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none"))
    with pytest.raises(SetupError) as found:
        platform.write_class_archive()
    assert "session.class_archive" == found.value.code
    platform.close()
