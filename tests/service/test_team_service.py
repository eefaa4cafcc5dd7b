"""A service that tells people apart, as a process: passwords set from a shell, clients with names."""

from __future__ import annotations

import io
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.config import Config
from nbplat.errors import Forbidden, NotFound, RequestError, SetupError
from nbplat.ui.cli import main
from nbplat.ui.client import ServiceClient, find_or_start
from nbplat.ui.session_desk import SessionDesk
from tests.fixtures.service import TOY

pytestmark = pytest.mark.process


def set_password(monkeypatch: pytest.MonkeyPatch, name: str, password: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["service", "user", name])


def test_people_with_passwords_have_their_own_sessions(
    service_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Set from a shell, sent by the client that its configuration makes, checked on every request."""
    users = tmp_path / "users"
    monkeypatch.setenv("NBPLAT_USERS_FILE", str(users))
    for name in ("ann", "bob"):
        assert 0 == set_password(monkeypatch, name, f"{name}s word")
    assert 0o600 == stat.S_IMODE(users.stat().st_mode)
    assert 2 == set_password(monkeypatch, "a:b", "x")
    assert 2 == set_password(monkeypatch, "eve", "")
    team = replace(service_config, service_auth="basic", service_users_file=str(users), service_admins="bob")
    admin = find_or_start(team, factory=TOY)

    def desk(name: str, password: str) -> SessionDesk:
        (tmp_path / name).write_text(password)
        theirs = replace(team, service_url=admin.url, service_token_file=str(tmp_path / name), service_user=name)
        return SessionDesk(find_or_start(theirs), theirs)

    ann = desk("ann", "anns word")
    with pytest.raises(RequestError, match="nobody here is known"):
        desk("ann", "bobs word")
    number = SessionDesk(admin, team).start({"name": "admins"})["id"]
    assert [] == ann.every()
    with pytest.raises(NotFound, match="no session admins"):
        ann.show("admins")
    SessionDesk(admin, team).share(number, view=["ann"], use=[])
    with pytest.raises(Forbidden, match="%session share"):
        ann.submit("admins", "1")
    assert [number] == [each["id"] for each in ann.every()]
    with pytest.raises(NotFound):
        ServiceClient(admin.url, "anns word", user="ann").get("/api/v1/sessions/12345")
    with pytest.raises(Forbidden, match="fetches nothing from 169"):
        ann.client.post("/api/v1/environments/pull", {"uri": "http://169.254.169.254/latest/x.tar.zst"})
    assert number == desk("bob", "bobs word").stop("admins")
    log = (team.home / "logs" / "service.log").read_text()
    assert not [word for word in ("anns word", "bobs word") if word in log + "".join(capfd.readouterr())]


def test_a_service_that_cannot_tell_people_apart_does_not_start(service_config: Config) -> None:
    """The setting that is missing is named."""
    with pytest.raises(SetupError, match=r"needs service\.users_file"):
        find_or_start(replace(service_config, service_auth="basic"), factory=TOY)
