"""`nbplat env …` in this process: what each verb says, in text that can be grepped and in pages without scripts."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.errors import Conflict, NbplatError, NotFound, RequestError
from nbplat.ui import environment_place
from nbplat.ui.dispatch import carry_out, choose_line_verb
from nbplat.ui.nouns import find_noun
from nbplat.ui.python import Local, local
from nbplat.ui.render.result import Result
from tests.fixtures.channels import SmallChannel

Say = Callable[..., Result]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder for the whole module: what one test has built the next one finds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def fresh() -> bool:
    """Overridden by parametrization: a state folder of the test's own."""
    return False


@pytest.fixture
def project(tmp_path: Path, store: Path, fresh: bool, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBPLAT_HOME", str(tmp_path / "home" if fresh else store))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("JUPYTER_DATA_DIR", raising=False)
    return tmp_path


@pytest.fixture
def here(project: Path) -> Iterator[Local]:
    with local() as opened:
        yield opened


@pytest.fixture
def env(here: Local, monkeypatch: pytest.MonkeyPatch) -> Say:
    """One line of the shell; long verbs are done in this process instead of by the service."""
    real = environment_place.Place

    def place(project: Path | None = None) -> Any:
        return real(here._desk, here.platform, project)

    for module in ("environment", "environment_edit", "environment_jobs", "environment_store", "environment_use"):
        monkeypatch.setattr(f"nbplat.ui.handlers.{module}.Place", place)
    noun = find_noun("env")

    def say(line: str, *words: str, body: str | None = None) -> Result:
        verb, rest = choose_line_verb(noun, [*line.split(), *words], "cli")
        return carry_out(noun, verb, rest, where="cli" if body is None else "cell", body=body)[0]

    return say


@pytest.fixture
def ranker(env: Say, small_channel: SmallChannel) -> str:
    """A declaration on the small channel."""
    env(f"init ranker nbplat-marker=7.7.7 greeter --channel {small_channel.url}")
    return "ranker"


@pytest.mark.parametrize("fresh", [True])
def test_the_story_of_an_environment(env: Say, ranker: str, project: Path) -> None:
    """Declare, lock, build: each says in one line what came of it, and what to do next."""
    assert "ranker       envs/ranker.yml  no lock  -" in env("list").text

    locked = env("lock")
    assert re.match(r"ranker locked [0-9a-f]{12}: linux-64 3 packages, Python 3\.\d+\.\d+, \d", locked.text)
    assert "it is the first lock" in locked.text
    assert "nbplat env build ranker" in locked.text
    assert "envs/ranker.lock" in locked.text

    built = env("build")
    first, *rest = built.text.splitlines()
    assert re.match(r"ranker [0-9a-f]{12} built in .*: linux-64 Python 3\.\d+\.\d+, 3 packages, \d", first)
    assert any("%%backfill … --env ranker" in line for line in rest)
    assert Path(built.value.interpreter).is_file()
    assert built.data["ref"]["key"][:12] == first.split()[1]

    again = env("build")
    assert "was built before" in again.text.splitlines()[0]
    assert built.value == again.value
    assert "yes" in env("list").text.splitlines()[1].split()
    assert "7.7.7" in env("show ranker").text


def test_every_result_is_a_page_without_scripts(env: Say, ranker: str) -> None:
    """The HTML of each verb is self-contained; the text's first line names the environment."""
    for line in ("lock", "build", "list", "show", "diff", "du", "gc", "verify", "check", "conf --for local"):
        parts = env(line).bundle()
        page = parts["text/html"]
        assert not re.search(r"<script|<link|https?://|onclick", page), line
        assert parts["text/plain"].strip()


def test_a_job_is_drawn_by_the_labextension_too(env: Say, ranker: str) -> None:
    """The result of a long verb carries its job, so that a reloaded page tells the truth."""
    from nbplat.ui.render.result import JOB_MIME

    job = env("lock").bundle()[JOB_MIME]

    assert ("environment.lock", "succeeded", 1000) == (job["kind"], job["state"], job["progress"]["done"])


def test_lock_says_what_changed(env: Say, ranker: str) -> None:
    """A new demand shows the packages that moved; a dry run shows the same and writes nothing."""
    env("lock")
    env("add ranker nbplat-marker=8.8.8 prefixdemo")
    before = Path("envs/ranker.lock").read_text()

    planned = env("lock --dry-run").text
    assert before == Path("envs/ranker.lock").read_text()
    done = env("lock").text

    for text in (planned, done):
        assert "nbplat-marker 7.7.7 -> 8.8.8" in text
        assert "+ prefixdemo 1.0" in text
    assert before != Path("envs/ranker.lock").read_text()


def test_lock_check_is_for_ci(env: Say, ranker: str) -> None:
    """`lock --check` is quiet when all is well, and names what differs, with its line, when it is not."""
    with pytest.raises(Conflict, match="there is no lock"):
        env("lock --check")
    env("lock")
    assert "ranker up to date envs/ranker.lock" in env("lock --check").text
    env("add ranker prefixdemo")
    with pytest.raises(Conflict, match=r"prefixdemo is declared, and linux-64 has no such package \(line 9") as caught:
        env("lock --check")

    assert ("env.lock_old", 2) == (caught.value.code, caught.value.exit_code)


def test_build_wants_a_lock_that_is_up_to_date(env: Say, ranker: str) -> None:
    """Without a lock, or with an old one, nothing is built; `--lock` makes it first."""
    with pytest.raises(NotFound, match=r"env\.lock_missing"):
        env("build")
    assert "solved" in env("build --lock").text
    env("add ranker prefixdemo")
    with pytest.raises(Conflict, match=r"env\.lock_old.*prefixdemo"):
        env("build")
    done = env("build --lock")

    assert "+ prefixdemo 1.0" in done.text
    assert "prefixdemo" in Path("envs/ranker.lock").read_text()


def test_a_cell_is_locked_and_built_at_once(env: Say, small_channel: SmallChannel, project: Path) -> None:
    """The YAML of a cell needs no file: its lock is kept, and what still fits stays when the cell changes."""
    text = f"channels: [{small_channel.url}]\ndependencies: [python, nbplat-marker=7.7.7]\n"
    first = env("build cell", body=text)
    assert "it is the first lock" in first.text
    assert "packages" in first.text.splitlines()[0]

    same = env("build cell", body=text)
    assert "was built before" in same.text
    assert "solved" not in same.text

    changed = env("build cell", body=text.replace("=7.7.7", "=7.7.7, greeter"))
    assert "+ greeter 1.0" in changed.text
    assert not (project / "envs").exists()
    assert "fits" in env("check cell").text


def test_an_environment_is_named_by_file_and_by_key(env: Say, ranker: str) -> None:
    """A name, a path and the start of a key mean the same environment."""
    key = env("build --lock").value.key

    for word in ("ranker", "envs/ranker.yml", key[:12]):
        assert key[:12] in env(f"show {word}").text.splitlines()[0]


def test_what_is_not_there_is_answered_with_the_nearest(env: Say, ranker: str) -> None:
    """A misspelt name is refused with the one that was meant, before any job is queued."""
    for line in ("lock rankr", "build rankr", "add rankr numpy"):
        with pytest.raises(NotFound, match=r"ranker\?") as caught:
            env(line)
        assert "env.unknown" == caught.value.code
    assert "(none)" not in env("list").text
    with pytest.raises(NotFound, match="nbplat env build rankr"):
        env("show rankr")


def test_edits_say_what_they_did(env: Say, ranker: str) -> None:
    """`add` and `remove` name each change; what is there already changes nothing."""
    assert "+ prefixdemo" in env("add ranker prefixdemo").text
    assert "unchanged" in env("add ranker prefixdemo").text
    assert "- prefixdemo" in env("remove ranker prefixdemo").text
    with pytest.raises(RequestError, match="nothing is named"):
        env("add ranker")
    with pytest.raises(Conflict, match=r"env\.exists"):
        env("init ranker")


def test_paths_of_the_shell_become_paths_of_the_file(env: Say, project: Path) -> None:
    """`--channel ./chan` said in the project is `../chan` in envs/; absolute paths and names stay."""
    text = env("init mine --channel ./chan --channel conda-forge --local ./pkg[gpu] --channel /mnt/chan").data["text"]

    assert all(f"- {each}\n" in text for each in ("../chan", "conda-forge", "/mnt/chan"))
    assert "../pkg[gpu]" in text


def test_a_kernel_is_registered_for_what_has_ipykernel(env: Say, ranker: str) -> None:
    """An environment without ipykernel is refused with the commands that mend it."""
    env("build --lock")
    with pytest.raises(RequestError, match="nbplat env add ranker ipykernel"):
        env("kernel ranker")
    with pytest.raises(NotFound, match="has no kernel"):
        env("kernel ranker --remove")


@pytest.mark.parametrize("fresh", [True])
def test_a_damaged_environment_is_found_and_mended(env: Say, ranker: str) -> None:
    """`verify` names the changed file and fails; `--repair` builds it anew."""
    prefix = Path(env("build --lock").value.prefix)
    [module] = prefix.glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    module.chmod(0o644)
    module.unlink()
    module.write_text("raise SystemExit('evil')\n")

    with pytest.raises(NbplatError, match=r"nbplat_marker/__init__\.py") as caught:
        env("verify ranker")
    assert ("env.damaged", 4) == (caught.value.code, caught.value.exit_code)
    env("verify ranker --repair")
    assert "whole" in env("verify ranker").text.splitlines()[0]


def test_json_of_every_verb_is_json(env: Say, ranker: str) -> None:
    """`--json` gives the whole record of each verb."""
    for line in ("lock", "build", "list", "show", "diff", "du", "gc", "verify", "check", "conf --for local"):
        assert isinstance(json.loads(env(line).json()), dict | list), line


def test_a_misfit_is_refused_with_the_mend(env: Say, ranker: str) -> None:
    """`check --spark` of an environment without what Spark asks for says which package, and how to add it."""
    env("build --lock")
    with pytest.raises(NbplatError) as caught:
        env("check ranker --ray 2.60.0")

    assert ("env.check", 3) == (caught.value.code, caught.value.exit_code)
    assert "ray" in caught.value.message
    assert "nbplat env add ranker" in caught.value.fix


def test_a_service_elsewhere_is_not_asked_for_folders_of_this_machine(
    env: Say, ranker: str, here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a team's service what needs this machine's folders is refused by name, before anything is sent."""
    (here.platform.config.home / "token").write_text("x")
    place = environment_place.Place(None, here.platform)
    away = dataclasses.replace(here.platform.config, service_url="https://nbplat.example.org")
    monkeypatch.setattr(here.platform, "config", away)
    for module in ("environment_jobs", "environment_use"):
        monkeypatch.setattr(f"nbplat.ui.handlers.{module}.Place", lambda: place)
    Path("envs/mine.yml").write_text("channels: [./chan]\ndependencies: [python]\nnbplat: {local: [./pkg]}\n")

    for line in (
        "lock mine",
        "build mine --lock",
        "kernel ranker",
        "run ranker -- python",
        "pack ranker --to x.tar.gz",
    ):
        with pytest.raises(RequestError) as caught:
            env(line)
        assert "env.away" == caught.value.code, line
        assert "nbplat.example.org" in caught.value.message


def test_every_target_can_be_asked_for() -> None:
    """`conf --for` offers the targets that there are, and no other."""
    from nbplat.environment.targets import TARGETS

    verb = find_noun("env").verb("conf")
    assert verb is not None
    assert set(TARGETS) == set(next(option.choices for option in verb.options if option.name == "target"))


def test_what_cannot_be_packed_or_shipped_queues_nothing(env: Say, ranker: str, here: Local) -> None:
    """Options and places that cannot be are refused before there is a job."""
    env("build --lock")
    before = len(here.platform.store.jobs())
    for line, code in (
        ("pack ranker --target spark --format tar.zst", "env.pack_format"),
        ("push ranker http://x.example.org/envs", "env.location"),
        ("push ranker s3://me:pw@bucket/envs", "env.location"),
        ("pull s3://bucket/envs/latest.tar.gz", "env.location"),
    ):
        with pytest.raises(RequestError) as caught:
            env(line)
        assert code == caught.value.code
    assert before == len(here.platform.store.jobs())


def test_an_archive_is_packed_explained_and_copied(env: Say, ranker: str, project: Path) -> None:
    """`pack` names size and hash, explains each package, and puts a copy where it is wanted; again it is the same."""
    env("build --lock")
    first = env("pack ranker --explain --to out.tar.gz")
    again = env("pack ranker")

    assert re.match(r"ranker packed [\d.]+ MB tar\.gz sha256 [0-9a-f]{64}$", first.text.splitlines()[0])
    assert first.text.splitlines()[0] == again.text.splitlines()[0]
    assert "nbplat-marker  7.7.7" in first.text
    assert "--slim would leave out" in first.text
    assert first.data["size"] == (project / "out.tar.gz").stat().st_size
    assert 0 == again.data["made"]


def test_the_python_face_does_the_same(here: Local, env: Say, ranker: str) -> None:
    """`nb.Environment` locks, builds, checks and configures what the shell declared."""
    ranker_here = here.environment("ranker")
    ranker_here.lock()
    built = ranker_here.build()

    assert built.value == ranker_here.ref
    assert ranker_here.python == ranker_here.conf("local").driver
    assert "fits" in ranker_here.check().text
    assert "ranker" in here.Environment.list().text
    with pytest.raises(NotFound, match="ranker"):
        here.environment("rankr")


def test_a_declaration_of_python_keys_needs_no_file(here: Local, small_channel: SmallChannel) -> None:
    """Keys in a call are a declaration; its text reads as the same one."""
    made = here.environment(
        "keys", ["python", "nbplat-marker=7.7.7"], channels=[small_channel.url], nbplat={"pack": {"slim": True}}
    )

    assert "linux-64 2 packages" in made.lock().text
    assert made.build().value == made.ref
    assert made.definition.pack.slim
