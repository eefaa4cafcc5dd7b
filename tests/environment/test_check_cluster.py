"""A body's environment on a cluster elsewhere: workers run in its archive, and what cannot work is refused first."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.spec import BackfillSpec
from nbplat.environment.pack_record import Pack
from nbplat.environment.ship import push
from nbplat.errors import NbplatError
from nbplat.terms import EnvironmentRef
from tests.fixtures.channels import SmallChannel, small_channel
from tests.fixtures.environments import build_small, unsaid
from tests.fixtures.interpreters import link_packages
from tests.fixtures.lakehouse import ORDERS, Lake
from tests.fixtures.s3_catalog import s3_catalog
from tests.fixtures.s3_server import bucket, s3_server
from tests.fixtures.standalone import SparkCluster, standalone

__all__ = ["bucket", "s3_catalog", "s3_server", "small_channel", "standalone"]

pytestmark = [pytest.mark.s3]

WHERE = """
import sys
import nbplat_marker

def feature(batch):
    return {"marker": [nbplat_marker.__version__] * len(batch), "prefix": [sys.prefix] * len(batch)}
"""


def away(tmp_path: Path, options: dict[str, str], **settings: str) -> Lake:
    """A lake whose tables lie in a bucket, with an engine elsewhere."""
    lake = Lake(tmp_path / "home", **options, **{name.replace("__", "."): value for name, value in settings.items()})
    lake.make_shop()
    return lake


def built(lake: Lake, channel: SmallChannel, *packages: str, name: str = "fraud") -> EnvironmentRef:
    ref = build_small(channel, lake.home / "env", "python", "nbplat-marker ==7.7.7", name=name).ref
    link_packages(Path(ref.prefix), "numpy", "pyarrow", *packages)
    return ref


def pushed(ref: EnvironmentRef, place: Path) -> None:
    """Its archive, as the folder is: the packages linked into it lie on this machine."""
    plain = place / "plain.tar.gz"
    place.mkdir()
    with tarfile.open(plain, "w:gz", compresslevel=1) as archive:
        for path in sorted(Path(ref.prefix).iterdir()):
            archive.add(path, path.name)
    sha256 = hashlib.sha256(plain.read_bytes()).hexdigest()
    manifest = {"key": ref.key, "name": ref.name, "platform": ref.platform, "python": {"version": ref.python}}
    file = plain.rename(place / f"{sha256}.tar.gz")
    beside = place / f"{sha256}.tar.gz.json"
    beside.write_text(json.dumps(manifest))
    push(Pack(file, sha256, file.stat().st_size, manifest, beside), str(place / "envs"), FsspecDepot(), say=unsaid)


def work_elsewhere(lake: Lake) -> None:
    """Do the queued jobs in a process of their own: one can have one Spark session, and this one may have had it."""
    code = (
        "import json, sys\nfrom nbplat.compose import open_platform\nfrom nbplat.config import load_config\n"
        "platform = open_platform(load_config(json.loads(sys.argv[1]), environ={}))\n"
        "platform.work_here('elsewhere')\nplatform.close()"
    )
    options = {"home": str(lake.home), "limits.threads": 1, **lake._options}
    subprocess.run([sys.executable, "-c", code, json.dumps(options)], check=True, timeout=280, cwd=lake.home)


def plan(lake: Lake, engine: str) -> BackfillPlan:
    python = {"source": WHERE, "env": "fraud", "interpreter": sys.executable}
    return lake.backfills.plan(BackfillSpec.build("f", ORDERS, python=python, keys=("id",), engine=engine))


def refused(lake: Lake, engine: str) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        plan(lake, engine)
    return caught.value


@pytest.mark.jvm
@pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
def test_workers_of_a_standalone_cluster_run_in_the_archive(
    standalone: SparkCluster, s3_catalog: dict[str, str], small_channel: SmallChannel, tmp_path: Path
) -> None:
    """Each row tells the executor's own copy of the environment, and the marker that this process lacks."""
    conf = {key: value for key, value in standalone.conf.items() if key != "spark.master"}
    lake = away(
        tmp_path,
        s3_catalog,
        spark__master=standalone.conf["spark.master"],
        spark__conf=json.dumps(conf),
        env__archives=str(tmp_path / "place" / "envs"),
    )
    pushed(built(lake, small_channel), tmp_path / "place")
    # The audit computes here again, in the store's prefix: that is another one, and no fault.
    asked = {"keys": ("id",), "engine": "spark", "checks": {"determinism": "warn"}}
    lake.submit("where", "", ORDERS, python={"source": WHERE, "env": "fraud"}, **asked)
    work_elsewhere(lake)
    assert "awaiting_promotion" == lake.state("where@1")
    rows = lake.staged("where@1")
    assert {"7.7.7"} == set(rows["marker"])
    [prefix] = set(rows["prefix"])
    assert prefix.startswith(str(standalone.folder / "work"))
    assert prefix.endswith("/environment")
    lake.close()


@pytest.mark.parametrize(
    ("engine", "settings", "code", "mend"),
    [
        ("spark", {}, "env.unshipped", "nbplat env pack fraud"),
        ("spark", {"env__archives": "memory://nothing/here"}, "env.unshipped", "nbplat env push fraud memory://"),
        ("ray", {}, "env.check", 'nbplat env add fraud "ray=='),
    ],
)
def test_what_a_cluster_cannot_run_is_refused_when_it_is_planned(
    s3_catalog: dict[str, str],
    small_channel: SmallChannel,
    tmp_path: Path,
    engine: str,
    settings: dict[str, str],
    code: str,
    mend: str,
) -> None:
    """No archive, none at the place that is set, or an environment that its workers cannot start from."""
    lake = away(tmp_path, s3_catalog, spark__master="spark://head:7077", ray__address="head:6379", **settings)
    built(lake, small_channel)
    error = refused(lake, engine)
    assert code == error.code, error
    assert mend in error.fix
    assert [] == lake.platform.store.runs("backfill")
    lake.close()


def test_ray_elsewhere_needs_a_place_for_archives(
    s3_catalog: dict[str, str], small_channel: SmallChannel, tmp_path: Path
) -> None:
    """With ray in the environment the next thing that lacks is told, with the setting."""
    lake = away(tmp_path, s3_catalog, ray__address="head:6379")
    built(lake, small_channel, "ray")
    error = refused(lake, "ray")
    assert "env.archives" == error.code
    assert "NBPLAT_ENV_ARCHIVES" in error.fix
    lake.close()
