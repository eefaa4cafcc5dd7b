"""One package on its way into the store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.conda.cached_package import CachedPackages
from nbplat.adapters.conda.records import as_json
from nbplat.environment.store import Store
from nbplat.errors import DataError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small


@pytest.fixture
def marker(small_channel: SmallChannel) -> dict[str, Any]:
    """The marker 7.7.7 as a request carries it."""
    lock = lock_small(small_channel, "nbplat-marker ==7.7.7").platforms[small_channel.platform]
    return next(as_json(one) for one in lock.conda if one.name == "nbplat-marker")


class Swapping(CachedPackages):
    """Somebody puts another file in the place of the one that was just hashed."""

    def __init__(self, *args: Any, other: Path) -> None:
        super().__init__(*args)
        self._other = other

    def _hash_file(self, package: Mapping[str, Any], path: Path) -> int:
        count = super()._hash_file(package, path)
        shutil.copy(self._other, path)
        return count


def test_file_that_is_swapped_after_it_was_hashed_is_refused(
    small_channel: SmallChannel, marker: dict[str, Any], tmp_path: Path
) -> None:
    """What is unpacked is hashed once more on the way."""
    channel = small_channel.copy(tmp_path / "channel")
    store = Store(tmp_path / "env")
    channels = [{"name": "small", "url": channel.url, "mirrors": []}]
    cache = Swapping(store, channels, None, lambda *_: None, other=channel.package("nbplat-marker-8.8.8"))
    with pytest.raises(DataError) as caught:
        cache.obtain(marker)
    assert "env.hash" == caught.value.code
    assert not store.pkgs.exists()
    assert [] == list(store.tmp.iterdir())


def test_package_is_fetched_once(small_channel: SmallChannel, marker: dict[str, Any], tmp_path: Path) -> None:
    """The second time its files are read again, and nothing is fetched."""
    store = Store(tmp_path / "env")
    told: dict[str, int] = {}

    def counted(phase: str, count: int) -> None:
        told[phase] = told.get(phase, 0) + count

    cache = CachedPackages(store, [{"name": "small", "url": small_channel.url, "mirrors": []}], None, counted)
    first, second = cache.obtain(marker), cache.obtain(marker)
    assert (marker["size"], 0) == (first.fetched_bytes, second.fetched_bytes)
    assert first.folder == second.folder
    assert marker["size"] == told["fetch"]
    assert told["verify"] == sum(path.stat().st_size for path in first.folder.glob("*-*/**/*") if path.is_file())
