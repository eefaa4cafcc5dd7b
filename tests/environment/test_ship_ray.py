"""Environments on a Ray cluster of this machine: by prefix, by zip archive, by launcher."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.environment.conf import zipped_launcher
from nbplat.environment.launcher import NodeCache, launcher_name, launcher_text
from nbplat.environment.settings import Settings
from nbplat.environment.targets import Asked, settings_for
from tests.fixtures.channels import small_channel
from tests.fixtures.engines import ray_cluster
from tests.fixtures.local_ray import RayEnvironment, ray_eight, ray_seven
from tests.fixtures.packed import packed_eight, packed_seven

__all__ = ["packed_eight", "packed_seven", "ray_cluster", "ray_eight", "ray_seven", "small_channel"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def started(*all_settings: Settings) -> list[Any]:
    """Tasks of environments, all asked for before any is waited for."""
    import ray

    # Inside, so that it travels by value: workers have none of the tests' modules.
    def tell() -> tuple[str, str]:
        import sys

        import nbplat_marker  # type: ignore[import-not-found]

        return sys.prefix, nbplat_marker.__version__

    tasks = [ray.remote(tell).options(runtime_env=dict(one.runtime_env)).remote() for one in all_settings]
    return ray.get(tasks, timeout=100)


def launcher(environment: RayEnvironment, folder: Path) -> tuple[str, bytes]:
    """A launcher whose nodes unpack in `folder`."""
    text = launcher_text(environment.tar, environment.base.manifest, NodeCache(folder=str(folder)))
    return launcher_name(text), text.encode()


def test_tasks_of_two_environments_run_at_once(
    ray_seven: RayEnvironment, ray_eight: RayEnvironment, tmp_path: Path
) -> None:
    """A task of a prefix and one of a launcher run side by side, each with the marker that the driver lacks."""
    name, content = launcher(ray_eight, tmp_path / "node")
    (tmp_path / name).write_bytes(content)
    here = replace(ray_seven.base.ref, prefix=str(ray_seven.prefix))

    by_prefix = settings_for(Asked(here, "ray"))
    by_launcher = settings_for(Asked(ray_eight.base.ref, "ray", "launcher", ray_eight.tar, str(tmp_path / name)))
    seven, eight = started(by_prefix, by_launcher)

    assert (str(ray_seven.prefix), "7.7.7") == seven
    assert (str(tmp_path / "node" / ray_eight.tar.sha256[:32]), "8.8.8") == eight
    assert importlib.util.find_spec("nbplat_marker") is None


def test_a_zip_is_unpacked_by_ray_and_by_its_own_launcher(ray_seven: RayEnvironment, tmp_path: Path) -> None:
    """As working_dir the zip is the prefix; a launcher that comes as a zip itself unpacks once on the node."""
    name, content = launcher(ray_seven, tmp_path / "node")
    carrier = tmp_path / f"{name}.zip"
    carrier.write_bytes(zipped_launcher(name, content))

    by_archive = settings_for(Asked(ray_seven.base.ref, "ray", archive=ray_seven.zip, way="archive"))
    by_launcher = settings_for(Asked(ray_seven.base.ref, "ray", "launcher", ray_seven.tar, carrier.as_uri()))
    unpacked, once = started(by_archive, by_launcher)

    assert "7.7.7" == unpacked[1]
    assert "runtime_resources" in unpacked[0], "Ray keeps what it unpacks there"
    assert (str(tmp_path / "node" / ray_seven.tar.sha256[:32]), "7.7.7") == once
