"""`--env NAME` in backfills: the body runs in the built environment, which is checked and pinned when it is planned."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.backfill.explain import explain_plan
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.spec import BackfillSpec
from nbplat.environment.build import build
from nbplat.environment.definition_file import read_file
from nbplat.environment.lock_file import lock_text
from nbplat.errors import NbplatError
from nbplat.terms import EnvironmentRef
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small, lock_small, small_tools, unsaid
from tests.fixtures.interpreters import link_packages
from tests.fixtures.lakehouse import ORDERS, Lake, lake, small_rows

__all__ = ["lake"]

MARKED = """
import nbplat_marker

def feature(batch):
    return {"f": [float(nbplat_marker.__version__[0])] * len(batch)}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    lake = Lake(tmp_path_factory.mktemp("env") / "home")
    lake.make_shop()
    yield lake
    lake.close()


@pytest.fixture(scope="module")
def fraud(shop: Lake, small_channel: SmallChannel) -> EnvironmentRef:
    """An environment of python and the marker 7.7.7, in the store of the platform, that bodies can run in."""
    return built(shop, small_channel, "nbplat-marker ==7.7.7", name="fraud")


def built(lake: Lake, channel: SmallChannel, *specs: str, name: str, fit: bool = True) -> EnvironmentRef:
    ref = build_small(channel, lake.home / "env", "python", *specs, name=name).ref
    if fit:
        link_packages(Path(ref.prefix), "numpy", "pyarrow")
    return ref


def plan(lake: Lake, source: str, env: str, **python: Any) -> BackfillPlan:
    body = {"source": source, "env": env, "interpreter": sys.executable, **python}
    return lake.backfills.plan(BackfillSpec.build("f", ORDERS, python=body, keys=("id",)))


def spelled(made: BackfillPlan) -> str:
    return "\n".join(f"{name}: {text}" for name, text in explain_plan(made))


def refused(lake: Lake, source: str, env: str, **python: Any) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        plan(lake, source, env, **python)
    return caught.value


def test_a_body_runs_in_the_environment_that_its_name_means(shop: Lake, fraud: EnvironmentRef) -> None:
    """The staged values come from a package that this interpreter lacks, and the plan holds name, key and lock."""
    run = shop.stage("by_env", "", ORDERS, python={"source": MARKED, "env": "fraud"}, keys=("id",))
    assert {7.0} == set(shop.staged(run)["f"])
    made = BackfillPlan.from_record(shop.backfills.find(run).plan)
    assert fraud.record() == made.body["environment"]
    assert fraud.interpreter == made.body["interpreter"]


def test_the_plan_says_which_build_runs_the_body(shop: Lake, fraud: EnvironmentRef) -> None:
    """Name and key instead of a path."""
    said = spelled(plan(shop, MARKED, "fraud"))
    assert f"environment fraud ({fraud.key[:12]}) (Python {fraud.python}" in said


def test_an_environment_without_what_bodies_need_is_refused_with_the_command(
    shop: Lake, small_channel: SmallChannel
) -> None:
    """No numpy and no pyarrow: both are told with the verb that adds them, and no run is opened."""
    built(shop, small_channel, "nbplat-marker ==8.8.8", name="bare", fit=False)
    _, *before = shop.picture()
    error = refused(shop, MARKED, "bare")
    assert "env.check" == error.code
    assert "the environment bare has no numpy and no pyarrow, with which rows are handed over" in error.message
    assert "nbplat env add bare numpy pyarrow, then nbplat env build bare --lock" == error.fix
    _, *after = shop.picture()
    assert before == after


def test_a_module_that_the_environment_lacks_is_named_with_its_package(shop: Lake, fraud: EnvironmentRef) -> None:
    """The notebook has it, so its distribution is known: `sklearn` asks for scikit-learn."""
    error = refused(shop, "import yaml\ndef feature(batch): return {'f': [1.0] * len(batch)}", "fraud")
    assert "env.check" == error.code
    assert "the body imports yaml, which the environment fraud has not" in error.message
    assert "nbplat env add fraud pyyaml" in error.fix


def test_a_module_imported_under_a_condition_is_a_note_of_the_plan(shop: Lake, fraud: EnvironmentRef) -> None:
    """What may do without it is not refused."""
    source = """
def feature(batch):
    try:
        import polars
    except ImportError:
        polars = None
    return {"f": [1.0 if polars is None else 2.0] * len(batch)}
"""
    made = plan(shop, source, "fraud")
    [note] = made.body["notes"]
    assert note.startswith("the body imports polars, which the environment fraud has not")
    assert note in spelled(made)


def test_a_name_that_nobody_built_is_refused_with_the_nearest(shop: Lake, fraud: EnvironmentRef) -> None:
    """The mend builds it or corrects the name."""
    error = refused(shop, MARKED, "frued")
    assert "env.unknown" == error.code
    assert "fraud" in error.fix


def test_another_build_of_the_same_name_is_another_run(shop: Lake, small_channel: SmallChannel) -> None:
    """The same cell attaches while the name means the same build, and opens the next number when it does not."""
    built(shop, small_channel, "nbplat-marker ==7.7.7", "greeter", name="moving")
    python = {"source": MARKED, "env": "moving"}
    first = shop.stage("moved", "", ORDERS, python=python, keys=("id",))
    assert "moved@1" == first
    assert shop.submit("moved", "", ORDERS, python=python, keys=("id",)).attached
    built(shop, small_channel, "nbplat-marker ==8.8.8", "greeter", name="moving")
    second = shop.stage("moved", "", ORDERS, python=python, keys=("id",))
    assert "moved@2" == second
    assert ({7.0}, {8.0}) == (set(shop.staged(first)["f"]), set(shop.staged(second)["f"]))


def test_a_build_that_is_gone_fails_the_job_with_the_command_and_a_retry_goes_on(
    shop: Lake, small_channel: SmallChannel
) -> None:
    """Nothing is staged in another interpreter; built again from the same lock, the run goes on where it was."""
    specs = ("nbplat-marker ==7.7.7", "speller")
    ref = built(shop, small_channel, *specs, name="lost")
    asked = shop.submit("lost", "", ORDERS, python={"source": MARKED, "env": "lost"}, keys=("id",))
    assert asked.run is not None
    away = Path(ref.prefix).with_name("away")
    Path(ref.prefix).rename(away)
    error = shop.fail()
    assert "env.gone" == error["code"]
    assert "nbplat env build lost" in error["fix"]
    assert 0 == shop.backfills.progress(asked.run)["done"]
    away.rename(ref.prefix)
    shop.backfills.retry("lost@1", owner="me")
    shop.work()
    assert {7.0} == set(shop.staged("lost@1")["f"])


def test_an_extension_runs_in_the_build_of_the_run_that_it_extends(lake: Lake, small_channel: SmallChannel) -> None:
    """The name means another build by now; the new files are computed in the old one, which snapshots name."""
    first = built(lake, small_channel, "nbplat-marker ==7.7.7", name="fraud")
    run = lake.stage("marked", "", ORDERS, python={"source": MARKED, "env": "fraud"}, keys=("id",))
    lake.promote(run)
    snapshot = lake.table(ORDERS).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert ("fraud", first.key, first.lock_digest) == tuple(
        snapshot.summary[f"nbplat.environment{part}"] for part in ("", ".key", ".lock")
    )
    second = built(lake, small_channel, "nbplat-marker ==8.8.8", name="fraud")
    assert first.key != second.key
    lake.table(ORDERS).append(small_rows(80).slice(60))
    extended = lake.backfills.extend("marked", owner="me")
    assert extended.run is not None
    assert first.record() == extended.plan.body["environment"]
    lake.work()
    assert {7.0} == set(lake.staged(extended.run.id)["f"])


def test_two_projects_may_call_two_environments_by_one_name(shop: Lake, small_channel: SmallChannel) -> None:
    """The project that the cell is in decides; without one the newest does."""
    for project, version in (("/projects/a", "7.7.7"), ("/projects/b", "8.8.8")):
        lock = lock_small(small_channel, "python", f"nbplat-marker =={version}", "prefixdemo", name="shared")
        tools = small_tools(small_channel, shop.home / "env")
        made = build(lock, "", tools, folder=shop.home, project=project, say=unsaid).ref
        link_packages(Path(made.prefix), "numpy", "pyarrow")
    for project, key in (("/projects/a", 7.0), ("/projects/b", 8.0), ("", 8.0)):
        python = {"source": MARKED, "env": "shared", "project": project}
        run = shop.stage(f"of_{project[-1:] or 'none'}", "", ORDERS, python=python, keys=("id",))
        assert {key} == set(shop.staged(run)["f"])


def test_the_plan_says_that_the_declaration_has_moved_on(
    shop: Lake, small_channel: SmallChannel, fraud: EnvironmentRef, tmp_path: Path
) -> None:
    """A changed declaration and a newer lock are notes with the verb; an unknown folder is not looked into."""
    folder = tmp_path / "envs"
    folder.mkdir()

    def notes(*packages: str, locked: bool = True) -> list[str]:
        """Of a plan, with these packages declared, and locked as well."""
        channel = f"channels: [{small_channel.url}]"
        (folder / "fraud.yml").write_text(f"{channel}\ndependencies: [{', '.join(packages)}]\n")
        declared = read_file(folder / "fraud.yml")
        if locked:
            lock = lock_small(small_channel, *packages, name="fraud")
            same = {name: getattr(declared, name) for name in ("channels", "dependencies", "solved_by")}
            (folder / "fraud.lock").write_text(lock_text(replace(lock, **same)))
        return list(plan(shop, MARKED, "fraud", project=str(folder)).body["notes"])

    assert [] == notes("python", "nbplat-marker ==7.7.7")
    assert [] == notes("python", "nbplat-marker ==7.7.7", "greeter")
    lock = lock_small(small_channel, "python", "nbplat-marker ==7.7.7", name="fraud")
    tools = small_tools(small_channel, shop.home / "env")
    build(lock, "", tools, folder=shop.home, project=str(folder), say=unsaid)
    [newer] = notes("python", "nbplat-marker ==7.7.7", "greeter")
    assert "fraud was locked anew since it was built (nbplat env build fraud)" == newer
    [changed] = notes("python", "nbplat-marker ==7.7.7", "speller", locked=False)
    assert changed.startswith("envs/fraud.yml has changed since fraud was built: ")
    (folder / "fraud.lock").write_text("torn")
    assert [] == notes("python", "nbplat-marker ==7.7.7", locked=False)
