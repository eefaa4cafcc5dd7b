"""How channels are reached: names, mirrors, logins by reference, offline; over a real HTTP server."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.adapters.conda.library import RattlerConda
from nbplat.environment.channels import ChannelRules, Login, read_channel_rules, resolve_channels
from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.ports import Channel, Phase
from nbplat.errors import NbplatError, RemoteError, RequestError, SetupError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.http_channel import ServedFolder, served_folder

CLOSED = "http://127.0.0.1:9/closed"


def ignore(phase: Phase) -> None:
    """Nobody looks."""


@pytest.fixture
def served(small_channel: SmallChannel) -> Iterator[ServedFolder]:
    """The small channel over HTTP."""
    with served_folder(small_channel.folder) as found:
        yield found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "repodata"


def solve(
    cache: Path, *channels: Channel, offline: bool = False, logins: dict[str, Login] | None = None
) -> tuple[CondaPackage, ...]:
    conda = RattlerConda(cache, logins or {})
    return conda.solve(
        ["nbplat-marker", "python"],
        channels,
        "linux-64",
        {"__glibc": "2.40", "__linux": "6.1"},
        offline=offline,
        say=ignore,
    )


def refused(
    cache: Path, *channels: Channel, offline: bool = False, logins: dict[str, Login] | None = None
) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        solve(cache, *channels, offline=offline, logins=logins)
    return caught.value


def test_repodata_is_kept_for_offline(cache: Path, served: ServedFolder) -> None:
    """What was asked once is enough to solve offline, without one request; before that it says how to get it."""
    channel = Channel("private", served.url)

    error = refused(cache, channel, offline=True)
    assert ("env.channel", True) == (error.code, "run it once without --offline" in error.fix)
    found = solve(cache, channel)
    assert served.paths
    served.paths.clear()
    assert found == solve(cache, channel, offline=True)
    assert [] == served.paths
    assert {"private"} == {one.channel for one in found}


def test_every_channel_that_cannot_be_reached_is_named(cache: Path, served: ServedFolder, tmp_path: Path) -> None:
    """Channels that do not answer are all named, with why, and how to go on without them."""
    error = refused(
        cache, Channel("far", CLOSED), Channel("near", served.url), Channel("lost", f"{served.url}/nothing")
    )

    assert isinstance(error, RemoteError)
    assert f"far ({CLOSED}): Connection refused" in error.message
    assert "lost" in error.message
    assert "404" in error.message
    assert "near" not in error.message
    assert "--offline" in error.fix
    folder = refused(cache, Channel("./none", (tmp_path / "none").as_uri()))
    assert "has no repodata for linux-64" in folder.message
    assert "nbplat env channel" in folder.fix


# The library's threads outlive what was given up, so a process of its own asks, as in the product.
_REACH = """
    import asyncio, json, os, sys
    from nbplat.adapters.conda import network
    from nbplat.environment.ports import Channel
    from nbplat.errors import NbplatError

    cache, name, *urls = sys.argv[1:]
    network._SILENCE_S = 0.3
    request = network.reach([Channel(name, urls[-1], mirrors=tuple(urls[:-1]))], cache, offline=False)
    try:
        found = asyncio.run(network.reach_channels(request, network.gateway_of(request), "linux-64"))
        answer = dict(found.urls)
    except NbplatError as exc:
        answer = exc.record()
    print(json.dumps(answer), flush=True)
    os._exit(0)
"""


def _reached(cache: Path, name: str, *urls: str) -> dict[str, str]:
    """Address by name of channel, or the record of a refusal, where silence of 0.3 s is enough."""
    program = [sys.executable, "-c", textwrap.dedent(_REACH), str(cache), name, *urls]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, str] = json.loads(ran.stdout)
    return answer


def test_channel_that_says_nothing_is_given_up(cache: Path, served: ServedFolder) -> None:
    """A server that takes connections and never answers does not hold us up, and its next mirror is asked."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/quiet"
        error = _reached(cache, "quiet", url)
        assert "env.channel" == error["code"]
        assert re.search(r"quiet \(.*\): no answer within 0.3 s", error["message"])
        assert {"far": served.url} == _reached(cache, "far", url, served.url)


def test_first_mirror_that_answers_stands_for_its_channel(cache: Path, served: ServedFolder, small_channel) -> None:
    """A mirror is asked in its channel's place, a folder as well; packages are the channel's all the same."""
    far = Channel("far", CLOSED, mirrors=("http://127.0.0.1:9/also-closed", served.url))

    over_http = solve(cache, far)
    in_folder = solve(cache, Channel("far", CLOSED, mirrors=(small_channel.url,)))

    assert {"far"} == {one.channel for one in over_http}
    assert over_http == in_folder


SECRETS = {
    "bearer": "Bearer s3cret-token",
    "basic": "Basic " + base64.b64encode(b"me:s3cret-token").decode(),
}


@pytest.mark.parametrize("kind", ["bearer", "basic", "token"])
@pytest.mark.parametrize("place", ["variable", "file"])
def test_login_is_looked_up_and_never_told(
    cache: Path, served: ServedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    """A private channel is reached with a credential by reference, and no text holds it; without it we are refused."""
    served.wants = SECRETS.get(kind, "")
    served.strip = "/t/s3cret-token" if kind == "token" else ""
    (tmp_path / "secret").write_text("s3cret-token\n")
    monkeypatch.setenv("CORP_TOKEN", "s3cret-token")
    by = {"variable": "CORP_TOKEN"} if place == "variable" else {"file": str(tmp_path / "secret")}
    login = Login("127.0.0.1", kind, user="me" if kind == "basic" else "", **by)

    found = solve(cache, Channel("private", served.url), logins={"127.0.0.1": login})

    assert "s3cret" not in repr(found)
    assert "s3cret" not in "".join(path.read_text("latin-1") for path in cache.rglob("*") if path.is_file())
    bare = refused(cache / "other", Channel("private", served.url))
    assert "refused us" in bare.message
    assert '[login."HOST"]' in bare.fix
    wrong = refused(cache / "third", Channel("private", f"{served.url}/none"), logins={"127.0.0.1": login})
    assert "s3cret" not in str(wrong)


def test_login_in_netrc(cache: Path, served: ServedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login may stand in netrc; a host that it has not is said."""
    served.wants = SECRETS["basic"]
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret-token\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    rules = {"127.0.0.1": Login("127.0.0.1", "basic", netrc=True)}

    assert solve(cache, Channel("private", served.url), logins=rules)
    netrc.write_text("machine other login me password x\n")
    error = refused(cache, Channel("private", served.url), logins=rules)
    assert ("env.login", True) == (error.code, "has no machine 127.0.0.1" in error.message)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (Login("127.0.0.1", "bearer", variable="NOT_SET_HERE"), "the variable NOT_SET_HERE is not set"),
        (Login("127.0.0.1", "bearer", file="/nowhere/secret"), "/nowhere/secret cannot be read"),
    ],
)
def test_missing_credential_is_said_before_any_request(
    cache: Path, served: ServedFolder, login: Login, said: str
) -> None:
    """A reference that leads nowhere is refused with where it leads, and nobody is asked."""
    error = refused(cache, Channel("private", served.url), logins={"127.0.0.1": login})

    assert isinstance(error, SetupError)
    assert said in error.message
    assert [] == served.paths


RULES = """\
[channels]
internal = "https://conda.corp.example/internal"
[mirrors]
conda-forge = ["/mnt/forge", "https://mirror.corp.example/forge/"]
"https://conda.corp.example/internal" = "https://mirror.corp.example/internal"
[login."*.corp.example"]
variable = "CORP_TOKEN"
[login."conda.corp.example"]
kind = "basic"
user = "me"
file = "~/secret"
"""


def test_channels_file_gives_addresses_mirrors_and_logins(tmp_path: Path) -> None:
    """Names become addresses, mirrors come before them, a host's own login before one with a star."""
    path = tmp_path / "channels.toml"
    path.write_text(RULES)

    found = resolve_channels(
        ["internal", "conda-forge", "conda-forge/label/dev", "./channel", "https://mirror.corp.example/x"],
        read_channel_rules(path),
        tmp_path,
    )

    public = "https://conda.anaconda.org"
    assert (
        Channel(
            "internal",
            "https://conda.corp.example/internal",
            "conda.corp.example",
            ("https://mirror.corp.example/internal",),
        ),
        Channel("conda-forge", f"{public}/conda-forge", "", ("file:///mnt/forge", "https://mirror.corp.example/forge")),
        Channel("conda-forge/label/dev", f"{public}/conda-forge/label/dev"),
        Channel("./channel", (tmp_path / "channel").as_uri()),
        Channel("https://mirror.corp.example/x", "https://mirror.corp.example/x", "*.corp.example"),
    ) == found


def test_no_channels_file_means_no_rules() -> None:
    """Without a channels file names mean the public channels."""
    assert ChannelRules() == read_channel_rules("")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[channel]\n", "no table 'channel'"),
        ("[channels\n", "not TOML"),
        ("channels = 3\n", "channels is no table"),
        ('[channels]\na = "https://me:pw@host/x"\n', "holds a login"),
        ('[channels]\na = "https://host/t/tk-123/x"\n', "holds a token"),
        ('[channels]\na = "folder"\n', "is no address"),
        ("[mirrors]\na = 3\n", "mirrors: a is no list"),
        ('[login.host]\npassword = "x"\n', "holds a password"),
        ('[login.host]\nvariabel = "x"\n', "no key 'variabel'"),
        ('[login.host]\nkind = "magic"\nvariable = "X"\n', "'magic' is no kind"),
        ('[login.host]\nkind = "bearer"\n', "names 0 places"),
        ('[login.host]\nvariable = "X"\nfile = "y"\n', "names 2 places"),
        ('[login.host]\nkind = "basic"\nvariable = "X"\n', "has no user"),
        ('[login.host]\nkind = "bearer"\nnetrc = true\n', "netrc holds user and password"),
        ('[login."https://host"]\nvariable = "X"\n', "names no host"),
    ],
)
def test_bad_channels_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A channels file with an unknown key, a secret in it, or half a login is refused, naming it."""
    path = tmp_path / "channels.toml"
    path.write_text(text)

    with pytest.raises(RequestError) as caught:
        read_channel_rules(path)

    assert ("env.channels_file", str(path)) == (caught.value.code, caught.value.where)
    assert said in caught.value.message
    assert "pw" not in str(caught.value)
    assert "tk-123" not in str(caught.value)


def test_missing_channels_file_is_said(tmp_path: Path) -> None:
    """A channels file that is named and not there is refused with the setting that names it."""
    with pytest.raises(RequestError, match=r"NBPLAT_ENV_CHANNELS_FILE"):
        read_channel_rules(tmp_path / "none.toml")
