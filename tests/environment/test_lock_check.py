"""`lock --check` and the diff of two locks, from records alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from nbplat.environment.definition import Definition
from nbplat.environment.lock_check import check_lock
from nbplat.environment.lock_diff import diff_locks
from nbplat.environment.lock_record import CondaPackage, LocalLayer, Lock, PipPackage, PlatformLock
from nbplat.environment.parse import parse_definition
from nbplat.environment.source_hash import source_hash

TEXT = """\
name: ranker
channels: [conda-forge]
dependencies:
- python=3.11
- numpy>=2
- pip: [six>=1]
nbplat:
  platforms: [linux-64]
  local: [./ranker]
"""


def conda(name: str, version: str, *, build: str = "h0_0", size: int = 0) -> CondaPackage:
    file_name = f"{name}-{version}-{build}.conda"
    digest = f"{abs(hash((file_name,))):064x}"[-64:]
    return CondaPackage(name, version, build, 0, "conda-forge", "linux-64", file_name, digest, size=size)


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    (tmp_path / "ranker").mkdir()
    (tmp_path / "ranker" / "pyproject.toml").write_text('[project]\nname = "ranker"\nversion = "1"\n')
    return parse_definition(TEXT, folder=tmp_path)


def locked(definition: Definition, *packages: CondaPackage) -> Lock:
    layer = LocalLayer("ranker", "1", "./ranker", source_hash(Path(definition.folder, "ranker")))
    pip = (PipPackage("six", "1.17.0", (f"sha256:{'cd' * 32}",), size=11_000),)
    found = packages or (conda("numpy", "2.4.0", size=8_000_000), conda("python", "3.11.7", size=30_000_000))
    platform = PlatformLock("linux-64", conda=found, pip=pip, local=(layer,))
    return Lock(
        name=definition.name,
        solved_by=definition.solved_by,
        channels=definition.channels,
        dependencies=definition.dependencies,
        pip=definition.pip,
        platforms=MappingProxyType({"linux-64": platform}),
    )


def changed(definition: Definition, old: str, new: str) -> Definition:
    assert old in TEXT
    return parse_definition(TEXT.replace(old, new), folder=definition.folder)


def test_lock_of_the_declaration_is_up_to_date(definition: Definition) -> None:
    """The lock of the very declaration has no findings."""
    assert () == check_lock(definition, locked(definition))


def test_words_around_a_declaration_do_not_count(definition: Definition) -> None:
    """Packing rules and targets do not make a lock out of date."""
    other = changed(definition, "nbplat:\n", "nbplat:\n  targets: {spark: 4.1}\n  pack: {slim: true}\n")

    assert () == check_lock(other, locked(definition))


@pytest.mark.parametrize(
    ("old", "new", "key", "said", "place"),
    [
        ("- numpy>=2", "- numpy>=3", "dependencies", "numpy >=3 is declared, and linux-64 has 2.4.0", "line 5"),
        ("- numpy>=2", "- numpy>=1", "dependencies", "numpy >=1 is new; 2.4.0 of linux-64 would meet it", "line 5"),
        ("- numpy>=2", "- numpy=2.4.0=h1*", "dependencies", "has 2.4.0 h0_0", "line 5"),
        ("- numpy>=2", "- pandas", "dependencies", "pandas is declared, and linux-64 has no such", "line 5"),
        ("- numpy>=2\n", "", "dependencies", "numpy >=2 was locked and is no longer declared", ""),
        ("six>=1", "six>=1.16", "pip", "six>=1.16 is not what it was locked with", "line 6"),
        ("[conda-forge]", "[conda-forge, other]", "channels", "channels are conda-forge, other", "line 2"),
        ("[linux-64]", "[linux-64, osx-arm64]", "platforms", "osx-arm64 is not locked", ""),
        ("name: ranker", "name: other", "name", "the lock is of 'ranker'", ""),
        ("platforms: [linux-64]", "virtual: {__cuda: 12}", "virtual", "nbplat.virtual", ""),
    ],
)
def test_each_difference_is_found(definition: Definition, old: str, new: str, key: str, said: str, place: str) -> None:
    """What the declaration changed since is named, with its line, and whether the locked package would do."""
    found = check_lock(changed(definition, old, new), locked(definition))

    [finding] = [one for one in found if one.key == key and said in one.text]
    assert place in finding.place


def test_changed_source_of_a_local_package_is_found(definition: Definition) -> None:
    """A source that changed since, or is gone, is found, unless sources are left out."""
    lock = locked(definition)
    project = Path(definition.folder, "ranker")
    (project / "more.py").write_text("x = 1\n")

    [finding] = check_lock(definition, lock)
    assert ("local", "the source of ranker (./ranker) changed since it was locked") == (finding.key, finding.text)
    assert () == check_lock(definition, lock, sources=False)
    (project / "pyproject.toml").unlink()
    assert "no package at" in check_lock(definition, lock)[0].text


def test_diff_tells_what_came_went_and_moved(definition: Definition) -> None:
    """A diff has one line for each package that is not as it was, with versions and sizes, and the sum."""
    old = locked(definition, conda("numpy", "2.4.0", size=8_000_000), conda("gone", "1"), conda("built", "1"))
    new = locked(
        definition,
        conda("numpy", "2.10.0", size=9_500_000),
        conda("fresh", "0.1", size=1200),
        conda("built", "1", build="h1_0"),
        conda("down", "1"),
    )
    old = replace(
        old,
        platforms={
            "linux-64": replace(
                old.platforms["linux-64"], conda=(*old.platforms["linux-64"].conda, conda("down", "2"))
            ),
            "osx-arm64": PlatformLock("osx-arm64"),
        },
    )

    assert [
        "linux-64: 1 added, 1 removed, 1 upgraded, 1 downgraded, 1 rebuilt, 2 the same; 9.5 MB (+1.5 MB)",
        "  ~ built 1 h0_0 -> 1 h1_0, other build",
        "  ↓ down 2 -> 1",
        "  + fresh 0.1 (1.2 kB)",
        "  - gone 1",
        "  ↑ numpy 2.4.0 -> 2.10.0 (9.5 MB)",
        "osx-arm64: no longer locked",
    ] == diff_locks(old, new).text().splitlines()


def test_equal_locks_have_no_diff(definition: Definition) -> None:
    """Of equal locks one line says that nothing changes; without an old lock everything is added."""
    lock = locked(definition)

    assert not diff_locks(lock, lock)
    assert "linux-64: 4 the same; 38.0 MB; nothing changes" == diff_locks(lock, lock).text()
    first = diff_locks(None, lock)
    assert "linux-64: 4 added, 0 the same; 38.0 MB" == first.text().splitlines()[0]
    assert "  + six 1.17.0 (11.0 kB) [pip]" in first.text().splitlines()
    assert 4 == len(first.record()["platforms"][0]["changes"])
