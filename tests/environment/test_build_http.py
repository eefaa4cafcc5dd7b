"""Building from channels over HTTP."""

from __future__ import annotations

import functools
import http.server
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.environment.build import BuildTools, build
from nbplat.environment.ports import Channel, Phase
from nbplat.environment.store import Store
from nbplat.errors import DataError, NbplatError, RemoteError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small, small_tools, unsaid
from tests.fixtures.served import served_handler

_SPECS = ("python", "nbplat-marker ==7.7.7")


@dataclass
class Site:
    """A channel on a server of the test.

    Attributes:
        url: Where it is.
        folder: What it serves.
        asked: Paths of the requests.
        cut: Ends of paths whose files are sent in half, and how often that still happens.
    """

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, site: Site, **kwargs: Any) -> None:
        self.site = site
        super().__init__(*args, directory=str(site.folder), **kwargs)

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        end = next((end for end, left in self.site.cut.items() if self.path.endswith(end) and left), None)
        if end is None:
            return super().do_GET()
        self.site.cut[end] -= 1
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        return None

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def site(small_channel: SmallChannel, tmp_path: Path) -> Iterator[Site]:
    """The small channel on a free port."""
    made = Site(small_channel.copy(tmp_path / "channel").folder)
    handler: Callable[..., _Handler] = functools.partial(_Handler, site=made)
    with served_handler(handler) as url:
        made.url = url
        yield made


@pytest.fixture
def tools(site: Site, small_channel: SmallChannel, tmp_path: Path) -> BuildTools:
    return replace(small_tools(small_channel, tmp_path / "env"), channels=(Channel("small", site.url),))


def _refused(tools: BuildTools, channel: SmallChannel, kind: type[NbplatError]) -> NbplatError:
    with pytest.raises(kind) as caught:
        build(lock_small(channel, *_SPECS), "", tools, folder=tools.store.root, say=unsaid)
    assert [] == Store(tools.store.root).every()
    assert [] == list(tools.store.tmp.iterdir())
    return caught.value


def _file(channel: SmallChannel) -> str:
    return channel.package("nbplat-marker-7.7.7").name


def test_packages_come_over_http_with_every_byte_told(
    tools: BuildTools, small_channel: SmallChannel, site: Site
) -> None:
    """Fetched bytes rise to the sum of the sizes; each package is asked for once."""
    lock = lock_small(small_channel, *_SPECS)
    said: list[Phase] = []
    done = build(lock, "", tools, folder=tools.store.root, say=said.append)
    fetched = [one for one in said if one.name == "fetch"]
    total = sum(one.size for one in lock.platforms[small_channel.platform].conda)
    assert (total, total) == (fetched[-1].done, fetched[-1].total)
    assert sorted(one.done for one in fetched) == [one.done for one in fetched]
    assert total == done.installed.fetched_bytes
    assert 1 == sum(path.endswith(_file(small_channel)) for path in site.asked)


def test_swapped_package_is_refused(tools: BuildTools, small_channel: SmallChannel, site: Site) -> None:
    """What a server sends under the locked name is held against the lock."""
    served = SmallChannel(site.folder, small_channel.wheels, small_channel.python, small_channel.platform)
    shutil.copy(served.package("nbplat-marker-8.8.8"), served.package("nbplat-marker-7.7.7"))
    error = _refused(tools, small_channel, DataError)
    assert "env.hash" == error.code
    assert "nbplat-marker-7.7.7" in error.message


def test_download_that_breaks_off_is_tried_again(tools: BuildTools, small_channel: SmallChannel, site: Site) -> None:
    """A connection that is lost half way costs another request and nothing else."""
    site.cut[_file(small_channel)] = 1
    done = build(lock_small(small_channel, *_SPECS), "", tools, folder=tools.store.root, say=unsaid)
    assert not done.found
    assert 2 == sum(path.endswith(_file(small_channel)) for path in site.asked)


def test_download_that_always_breaks_off_is_refused(tools: BuildTools, small_channel: SmallChannel, site: Site) -> None:
    """After some tries the package and its channel are named; what came whole is kept for the next time."""
    site.cut[_file(small_channel)] = 100
    error = _refused(tools, small_channel, RemoteError)
    assert "env.channel" == error.code
    assert "nbplat-marker-7.7.7" in error.message
    site.cut.clear()
    site.asked.clear()
    build(lock_small(small_channel, *_SPECS), "", tools, folder=tools.store.root, say=unsaid)
    assert [_file(small_channel)] == [path.rsplit("/", 1)[-1] for path in site.asked]


def test_package_that_was_withdrawn_is_refused(tools: BuildTools, small_channel: SmallChannel, site: Site) -> None:
    """A channel that no longer has the package of the lock: lock again."""
    next(site.folder.glob(f"*/{_file(small_channel)}")).unlink()
    error = _refused(tools, small_channel, RemoteError)
    assert "no longer has the package nbplat-marker-7.7.7" in error.message
    assert "nbplat env lock" in error.fix


def test_mirror_on_this_machine_goes_first(tools: BuildTools, small_channel: SmallChannel, site: Site) -> None:
    """A local mirror serves what it has; only the rest comes over the net."""
    mirror = small_channel.copy(site.folder.parent / "mirror")
    mirror.package("nbplat-marker-7.7.7").unlink()
    mirrored = replace(tools, channels=(Channel("small", site.url, mirrors=(mirror.url,)),))
    build(lock_small(small_channel, *_SPECS), "", mirrored, folder=tools.store.root, say=unsaid)
    assert [_file(small_channel)] == [path.rsplit("/", 1)[-1] for path in site.asked]
