"""Who asks: the token, names and passwords, a hub's tokens, an OpenID provider's, Kerberos' tickets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbplat.config import Config, load_config
from nbplat.errors import RemoteError, RequestError, SetupError
from nbplat.service.callers import Callers
from nbplat.service.logins import Roles, logins_of
from nbplat.service.logins.choosing import secret_of
from nbplat.service.logins.hub import HubTokens
from nbplat.service.logins.kerberos import KerberosTickets
from nbplat.service.logins.login import Sent
from nbplat.service.logins.oidc import OidcTokens
from nbplat.service.logins.passwords import PasswordFile, with_user
from nbplat.session.access import Principal
from nbplat.testing import FakeClock
from tests.fixtures.login_servers import LoginServer, login_server

NOW_S = 1000.0


@pytest.fixture(scope="module")
def _server() -> Iterator[LoginServer]:
    with login_server() as known:
        yield known


@pytest.fixture
def server(_server: LoginServer) -> LoginServer:
    _server.users, _server.claims, _server.status = {}, {}, 200
    _server.asked.clear()
    return _server


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def config_of(folder: Path, **options: Any) -> Config:
    given = {"home": str(folder / "home"), **{key.replace("__", "."): value for key, value in options.items()}}
    return load_config(given, environ={}, cwd=folder, user_file=folder / "none.toml")


def people(path: Path, **passwords: str) -> Path:
    text = "# our people\n\n"
    for name, password in passwords.items():
        text = with_user(text, name, password)
    path.write_text(text)
    return path


def test_a_password_is_checked_against_its_hash(tmp_path: Path) -> None:
    """Name and password must fit; the file holds no password, and a name in ``service.admins`` is an admin."""
    path = people(tmp_path / "users", ann="geh:eim", bob="ü")
    assert "geheim" not in path.read_text()
    login = PasswordFile(path, Roles(frozenset({"bob"})))
    assert Principal("ann", False, "basic") == login.principal(Sent("basic", "ann", "geh:eim"))
    assert Principal("bob", True, "basic") == login.principal(Sent("basic", "bob", "ü"))
    for sent in (
        Sent("basic", "ann", "ü"),
        Sent("basic", "eve", "geh:eim"),
        Sent("basic", "", ""),
        Sent("bearer", "", "geh:eim"),
    ):
        assert login.principal(sent) is None


def test_a_changed_file_of_users_is_read_again(tmp_path: Path) -> None:
    """A removed user is out at once, a new password counts at once."""
    path = people(tmp_path / "users", ann="a", bob="b")
    login = PasswordFile(path, Roles())
    path.with_name("new").write_text(with_user("", "ann", "c"))
    path.with_name("new").replace(path)
    assert login.principal(Sent("basic", "ann", "c")) is not None
    assert login.principal(Sent("basic", "ann", "a")) is None
    assert login.principal(Sent("basic", "bob", "b")) is None


@pytest.mark.parametrize("line", ["ann", "ann:geheim", "ann:scrypt$99$8$1$AAAA$AAAA", ":scrypt$14$8$1$AAAA$AAAA"])
def test_a_line_that_is_no_hash_stops_the_start(tmp_path: Path, line: str) -> None:
    """A password in the clear is not taken for a hash, and not repeated in the error."""
    path = tmp_path / "users"
    path.write_text(f"\n{line}\n")
    with pytest.raises(SetupError, match="line 2 is no NAME:HASH") as caught:
        PasswordFile(path, Roles())
    assert "geheim" not in str(caught.value)


def test_a_name_that_no_line_holds_is_refused() -> None:
    """A colon or a line end would make another user's line."""
    for name in ("a:b", "a\nb", "", "#a"):
        with pytest.raises(RequestError, match="user's name"):
            with_user("", name, "x")


def test_the_hub_says_whose_a_token_is(server: LoginServer) -> None:
    """A user's token names its user, with groups; admins of the hub are admins; services of it are nobody."""
    server.users = {
        "a": {"name": "ann", "kind": "user", "admin": False, "groups": ["ml"], "scopes": ["self"]},
        "r": {"name": "root", "kind": "user", "admin": True},
        "s": {"name": "grader", "kind": "service", "admin": True},
        "x": {"kind": "user"},
    }
    login = HubTokens(f"{server.url}/hub/api/", Roles())
    assert Principal("ann", False, "jupyterhub", frozenset({"ml"})) == login.principal(Sent("bearer", "", "a"))
    assert Principal("root", True, "jupyterhub") == login.principal(Sent("basic", "whoever", "r"))
    assert [None] * 4 == [login.principal(Sent("bearer", "", token)) for token in ("s", "x", "unknown", "a\r\nX: y")]
    by_group = HubTokens(f"{server.url}/hub/api", Roles(frozenset({"@ml"}))).principal(Sent("bearer", "", "a"))
    assert by_group is not None
    assert by_group.admin


def test_a_hubs_token_needs_the_scope_that_is_set(server: LoginServer) -> None:
    """A token made for something else is not taken."""
    server.users = {"a": {"name": "ann", "scopes": ["access:services!service=nbplat"]}, "b": {"name": "ann"}}
    login = HubTokens(f"{server.url}/hub/api", Roles(), scope="access:services!service=nbplat")
    assert login.principal(Sent("bearer", "", "a")) is not None
    assert login.principal(Sent("bearer", "", "b")) is None


def test_a_hub_that_fails_is_no_refusal(server: LoginServer) -> None:
    """Neither its errors nor a redirect lets anybody in or calls a token wrong; the token is not in the error."""
    login = HubTokens(f"{server.url}/hub/api", Roles())
    for status in (500, 302):
        server.status = status
        with pytest.raises(RemoteError, match="JupyterHub cannot say") as caught:
            login.principal(Sent("bearer", "", "t0ken"))
        assert "t0ken" not in str(caught.value)
    assert ["/hub/api/user"] * 2 == server.asked
    with pytest.raises(RemoteError):
        HubTokens("http://127.0.0.1:1/hub/api", Roles()).principal(Sent("bearer", "", "t"))


def provider(server: LoginServer, secret: str = "s:cret+", **options: Any) -> OidcTokens:  # noqa: S107
    return OidcTokens(f"{server.url}/introspect", "nbplat", lambda: secret, Roles(), now_s=lambda: NOW_S, **options)


def test_introspection_says_whose_a_token_is(server: LoginServer) -> None:
    """An active token of now, for us, that names a user."""
    server.claims = {"a": {"active": True, "username": "ann", "exp": NOW_S + 1, "groups": ["ml"]}}
    assert Principal("ann", False, "oidc", frozenset({"ml"})) == provider(server).principal(Sent("bearer", "", "a"))
    assert provider(server).principal(Sent("basic", "x", "a")) is not None
    assert provider(server).principal(Sent("bearer", "", "b")) is None
    assert provider(server).principal(Sent("negotiate", "", "a")) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"active": False, "username": "ann"},
        {"active": "true", "username": "ann"},
        {"username": "ann"},
        {"active": True},
        {"active": True, "username": ""},
        {"active": True, "username": ["ann"]},
        {"active": True, "username": "ann", "exp": NOW_S},
        {"active": True, "username": "ann", "nbf": NOW_S + 1},
        {"active": True, "username": "ann", "aud": "other", "scope": "nbplat"},
        {"active": True, "username": "ann", "aud": ["us"], "scope": "nbplatx"},
    ],
)
def test_a_token_that_is_not_ours_names_nobody(server: LoginServer, claims: dict[str, Any]) -> None:
    """Expired, early, made for others, without the scope, or without a name."""
    server.claims = {"a": claims, "good": {"active": True, "username": "ann", "aud": ["us"], "scope": "x nbplat"}}
    login = provider(server, audience="us", scope="nbplat")
    assert login.principal(Sent("bearer", "", "a")) is None
    assert login.principal(Sent("bearer", "", "good")) is not None


def test_a_provider_that_refuses_us_is_the_services_own_trouble(server: LoginServer) -> None:
    """The user's token is not called wrong, and no secret is told."""
    with pytest.raises(SetupError, match="refuses this service's own login") as caught:
        provider(server, secret="wr0ng").principal(Sent("bearer", "", "t0ken"))
    assert not {"wr0ng", "t0ken"} & set(str(caught.value).split())


class Asked:
    """A login that counts."""

    challenge = "Test"

    def __init__(self, *, lasts: bool = True) -> None:
        self.lasts = lasts
        self.count = 0

    def principal(self, sent: Sent) -> Principal | None:
        self.count += 1
        return Principal("ann", False, "test") if sent.secret == "good" else None


def test_what_a_login_said_holds_for_a_while() -> None:
    """Known tokens are asked about once a minute, refused ones once in five seconds; no more than a bound is kept."""
    clock, login = FakeClock(), Asked()
    callers = Callers("token", [login], keep_s=60.0, clock=clock)
    for _ in range(3):
        assert callers.asked("Bearer good") is not None
        assert callers.asked("Bearer bad") is None
    assert 2 == login.count
    assert callers.at_once("Bearer good") is not None
    clock.advance(10)
    assert callers.asked("Bearer bad") is None
    assert callers.asked("Bearer good") is not None
    assert 3 == login.count
    clock.advance(60)
    assert callers.at_once("Bearer good") is None
    for number in range(2100):
        callers.asked(f"Bearer b{number}")
    assert len(callers._known) <= 2000


def test_a_ticket_is_asked_about_each_time() -> None:
    """One that was seen before proves nothing."""
    login = Asked(lasts=False)
    callers = Callers("token", [login])
    assert callers.asked("Negotiate good") == callers.asked("Negotiate good") is not None
    assert callers.at_once("Negotiate good") is None
    assert 2 == login.count


def test_the_services_token_is_an_admins() -> None:
    """It needs no login; the Basic name says whose name it acts under."""
    callers = Callers("token", [Asked()])
    assert Principal("", True, "token") == callers.at_once("Bearer token")
    assert Principal("ann", True, "token") == callers.at_once(basic("ann", "token"))
    assert callers.at_once("Digest token") is None
    assert callers.at_once("Basic ???") is None


class GSSError(Exception):
    pass


class FakeGss:
    """The part of gssapi that we use, with one ticket that is right."""

    exceptions = SimpleNamespace(GSSError=GSSError)
    NameType = SimpleNamespace(hostbased_service="service")

    def Name(self, name: str, kind: str) -> str:  # noqa: N802 - gssapi's
        return f"{kind}/{name}"

    def Credentials(self, *, name: str | None, usage: str) -> str:  # noqa: N802 - gssapi's
        if name == "service/HTTP@unknown":
            raise GSSError("no key")
        return f"{usage} {name}"

    def SecurityContext(self, *, creds: str, usage: str) -> Any:  # noqa: N802 - gssapi's
        context = SimpleNamespace(complete=False, initiator_name="ann@EXAMPLE.ORG", step=None)

        def step(ticket: bytes) -> None:
            if ticket not in (b"ticket", b"half"):
                raise GSSError("forged")
            context.complete = ticket == b"ticket"

        context.step = step
        return context


def negotiate(data: bytes) -> Sent:
    return Sent("negotiate", "", base64.b64encode(data).decode())


def test_a_ticket_names_its_user() -> None:
    """The realm that is ours is left out; others keep theirs, so that no two people are one."""
    ours = KerberosTickets("HTTP@host", "EXAMPLE.ORG", Roles(), gssapi=FakeGss())
    assert Principal("ann", False, "kerberos") == ours.principal(negotiate(b"ticket"))
    other = KerberosTickets("", "OTHER.ORG", Roles(), gssapi=FakeGss())
    assert Principal("ann@EXAMPLE.ORG", False, "kerberos") == other.principal(negotiate(b"ticket"))
    assert [None] * 4 == [
        ours.principal(sent)
        for sent in (negotiate(b"forged"), negotiate(b"half"), Sent("negotiate", "", "?"), Sent("bearer", "", "x"))
    ]
    with pytest.raises(SetupError, match="no Kerberos key for HTTP@unknown"):
        KerberosTickets("HTTP@unknown", "", Roles(), gssapi=FakeGss())


def test_kerberos_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service does not start without a way to log in that its configuration names."""
    monkeypatch.setitem(__import__("sys").modules, "gssapi", None)
    with pytest.raises(SetupError, match="gssapi") as caught:
        logins_of(config_of(tmp_path, service__auth="kerberos"))
    assert "pip install gssapi" in caught.value.fix


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"service__auth": "pasword"}, "no way to log in"),
        ({"service__auth": "basic"}, "needs service.users_file"),
        ({"service__auth": "token, jupyterhub"}, "needs service.hub_api_url"),
        ({"service__auth": "jupyterhub", "service__hub_api_url": "file:///etc/passwd"}, "no http"),
        ({"service__auth": "oidc"}, "needs service.oidc_client_secret"),
        ({"service__auth": "oidc", "service__oidc_client_secret": "s3cret"}, "no reference"),
        ({"service__auth": "oidc", "service__oidc_client_secret": "env:NO_SUCH"}, "leads nowhere"),
        ({"service__auth": "basic", "service__users_file": "/no/such"}, "cannot be read"),
    ],
)
def test_a_login_that_lacks_something_stops_the_start(tmp_path: Path, options: dict[str, str], said: str) -> None:
    """With the setting that is missing, and never with a secret's text."""
    with pytest.raises(SetupError, match=said) as caught:
        logins_of(config_of(tmp_path, **options))
    assert "s3cret" not in str(caught.value)


def test_secrets_are_named_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By file or by variable."""
    (tmp_path / "s").write_text("one\n")
    monkeypatch.setenv("THE_SECRET", "two")
    assert ["one", "two"] == [secret_of(f"file:{tmp_path / 's'}", "k"), secret_of("env:THE_SECRET", "k")]


def test_the_token_alone_needs_no_login(tmp_path: Path) -> None:
    """As it is without any setting."""
    assert [] == logins_of(config_of(tmp_path))
