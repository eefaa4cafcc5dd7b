"""Declarations: ordinary environment files and the block `nbplat:` become one record, with every default told."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.environment.definition import Definition, LocalPackage, PackRules, Targets
from nbplat.environment.keys import KEYS
from nbplat.environment.parse import from_keys, parse_definition

WHOLE = """\
name: ranker-gpu
channels: [conda-forge, ./channel, https://conda.example.org/internal/]
dependencies:
  - python=3.11
  - NumPy >=2,<3
  - conda-forge::pyarrow
  - blas=*=openblas
  - pip:
      - Ray[Default] >= 2.60
      - tomli; python_version < "3.11"
nbplat:
  platforms: [osx-arm64, linux-64]
  virtual: {__glibc: 2.28, linux-64: {__cuda: 12.4}}
  local:
    - ./ranker[serve, gpu]
    - {path: ../shared, extras: [b, a]}
  targets: {spark: 4.1, ray: 2.60.1}
  pack: {format: zip, slim: yes, pyc: false, keep: "*.txt", drop: [docs/*]}
"""


def test_a_whole_declaration_is_read() -> None:
    """Every key ends where it belongs, specs and requirements in one spelling."""
    found = parse_definition(WHOLE, folder="/project/envs")

    assert (
        Definition(
            name="ranker-gpu",
            channels=("conda-forge", "./channel", "https://conda.example.org/internal"),
            dependencies=("python 3.11.*", "numpy >=2,<3", "conda-forge::pyarrow", "blas * openblas"),
            pip=("ray[default]>=2.60", 'tomli ; python_version < "3.11"'),
            local=(LocalPackage("./ranker", ("gpu", "serve")), LocalPackage("../shared", ("a", "b"))),
            platforms=("linux-64", "osx-arm64"),
            virtual={"*": {"__glibc": "2.28"}, "linux-64": {"__cuda": "12.4"}},
            targets=Targets("4.1", "2.60.1"),
            pack=PackRules("zip", slim=True, pyc=False, keep=("*.txt",), drop=("docs/*",)),
        )
        == found
    )
    assert ("/project/envs", ()) == (found.folder, found.defaults)


def test_a_file_of_conda_is_enough() -> None:
    """What conda reads is a declaration; what was not written is taken, and told."""
    found = parse_definition("dependencies:\n- python\n", name="small")

    assert (("conda-forge",), ("python",), (), PackRules()) == (
        found.channels,
        found.dependencies,
        found.platforms,
        found.pack,
    )
    assert {
        "name: small",
        "channels: [conda-forge]",
        "nbplat.platforms: the platform of this machine",
        "nbplat.pack.format: tar.gz",
        "nbplat.pack.slim: false",
        "nbplat.pack.pyc: true",
    } == set(found.defaults)


def test_places_follow_the_record() -> None:
    """`dependencies.2` is the line of the third dependency of the record, wherever the pip: part stands."""
    text = "name: a\nchannels:\n- nodefaults\n- x\ndependencies:\n- python\n- pip:\n  - b\n- numpy\n"
    found = parse_definition(text)

    assert ("line 9, column 3", "line 8, column 5", "line 4, column 3") == (
        found.places["dependencies.1"],
        found.places["pip.0"],
        found.places["channels.0"],
    )


def test_keys_of_python_make_the_same_definition() -> None:
    """A dict with the keys of the file is the same declaration."""
    keys = {
        "name": "a",
        "channels": ["x"],
        "dependencies": ["python=3.11", {"pip": ["b>=1"]}],
        "nbplat": {"pack": {"slim": True}, "targets": {"spark": "4.1"}},
    }
    text = "name: a\nchannels: [x]\ndependencies: [python=3.11, {pip: [b>=1]}]\nnbplat:\n  pack: {slim: true}\n"

    assert parse_definition(text + "  targets: {spark: 4.1}\n") == from_keys(keys)


def test_what_decides_a_lock_is_hashed_and_nothing_else() -> None:
    """Name, targets and packing may change without a new lock; comments, order of platforms and spelling as well."""
    base = parse_definition("name: a\nchannels: [x]\ndependencies: [python=3.11, numpy >=2]\n")
    same = parse_definition(
        "name: b # other\nchannels: [x]\ndependencies:\n- python =3.11\n- numpy>=2\nnbplat: {pack: {slim: true}}\n"
    )
    other = parse_definition("name: a\nchannels: [x]\ndependencies: [numpy>=2, python=3.12]\n")

    assert base.solved_by == same.solved_by
    assert base.solved_by != other.solved_by


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("numpy", "numpy"),
        ("NumPy", "numpy"),
        ("numpy=1.26", "numpy 1.26.*"),
        ("numpy = 1.26", "numpy 1.26.*"),
        ("numpy==1.26.0", "numpy ==1.26.0"),
        ("numpy 1.26", "numpy ==1.26"),
        ("numpy>=1.2,<2", "numpy >=1.2,<2"),
        ("numpy >= 1.2 , < 2", "numpy >=1.2,<2"),
        ("numpy=1.26=py311_0", "numpy ==1.26 py311_0"),
        ("numpy=1.2|1.3", "numpy 1.2.*|==1.3"),
        ("numpy~=1.2", "numpy ~=1.2"),
        ("numpy !=1.2.*", "numpy !=1.2.*"),
        ("numpy >=1.2.*", "numpy >=1.2"),
        ("numpy 1*", "numpy 1.*"),
        ("numpy *", "numpy"),
        ("blas * openblas", "blas * openblas"),
        ("numpy[version='>=1', build=py*]", "numpy >=1 py*"),
        ("numpy>=1.2 py311*", "numpy >=1.2 py311*"),
        ("conda-forge::numpy>=2", "conda-forge::numpy >=2"),
        ("conda-forge/linux-64::numpy", "conda-forge/linux-64::numpy"),
        ("numpy 1!2.0", "numpy ==1!2.0"),
    ],
)
def test_a_match_spec_has_one_spelling(written: str, read: str) -> None:
    """Ways to write a demand that conda takes for equal are equal here, and mean the same to the solver."""
    import rattler

    found = parse_definition(f"name: a\nchannels: [conda-forge]\ndependencies: [{written!r}]\n").dependencies
    solver = rattler.MatchSpec(written), rattler.MatchSpec(read)

    assert (read,) == found
    assert (solver[0].version or "*", solver[0].build) == (solver[1].version or "*", solver[1].build)


def test_every_key_is_told_on_the_page() -> None:
    """docs/environments.md shows each key that can be written."""
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")

    assert [] == [key.path for key in KEYS if f"`{key.path}`" not in page]
