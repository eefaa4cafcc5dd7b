"""What machines are taken to offer, what packages then need, and names near to an unknown one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.adapters.conda.failures import unsatisfiable
from nbplat.adapters.conda.library import RattlerConda
from nbplat.environment.distributions import distributions_of
from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.nearest import nearest_packages
from nbplat.environment.parse import parse_definition
from nbplat.environment.platforms import PLATFORMS
from nbplat.environment.virtual import USUAL, needed, offered, this_platform


def package(name: str, *depends: str, noarch: str = "") -> CondaPackage:
    return CondaPackage(
        name, "1.0", "0", 0, "c", "linux-64", f"{name}-1.0-0.conda", "ab" * 32, depends=depends, noarch=noarch
    )


def test_every_platform_has_something_to_offer() -> None:
    """Each platform that can be declared has its usual least, and this machine's is one of them."""
    assert set(PLATFORMS) == set(USUAL)
    assert this_platform() in PLATFORMS


def test_this_machine_offers_what_it_has_but_for_the_cpu() -> None:
    """Found versions count for this machine's platform, and the CPU level stays the oldest: others run it too."""
    here = {"__glibc": "2.40", "__cuda": "12.4", "__archspec": "x86_64_v4"}

    found = offered(parse_definition("name: a\ndependencies: [x]\n"), "linux-64", here)

    assert {"__archspec": "x86_64", "__cuda": "12.4", "__glibc": "2.40", "__linux": "4.18", "__unix": "0"} == dict(
        found
    )


def test_declared_comes_before_found_and_usual() -> None:
    """What is declared for all or for one platform counts before everything."""
    definition = parse_definition(
        "name: a\ndependencies: [x]\n"
        "nbplat: {virtual: {__glibc: 2.17, linux-64: {__archspec: x86_64_v3, __glibc: 2.31}}}\n"
    )

    here = offered(definition, "linux-64", {"__glibc": "2.40"})
    there = offered(definition, "linux-aarch64", {})

    assert ("2.31", "x86_64_v3") == (here["__glibc"], here["__archspec"])
    assert ("2.17", "aarch64") == (there["__glibc"], there["__archspec"])


def test_machine_tells_what_it_offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's virtual packages are found, and conda's own variables override them."""
    conda = RattlerConda(tmp_path)

    assert {"__unix", "__archspec"} <= set(conda.virtual())
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.1")
    assert "12.1" == conda.virtual()["__cuda"]


@pytest.mark.parametrize(
    ("depends", "floors"),
    [
        (["__glibc >=2.17,<3.0.a0"], {"__glibc": "2.17"}),
        (["__cuda 12.*", "__cuda >=12.4"], {"__cuda": "12.4"}),
        (["__unix"], {"__unix": "0"}),
        (["__osx >=11.0|>=12"], {"__osx": "12"}),
        (["__cuda <13"], {"__cuda": "0"}),
        (["__archspec 1.* x86_64_v3"], {"__archspec": "x86_64_v3"}),
        (["python >=3.9"], {}),
    ],
)
def test_need_is_the_lowest_that_will_do(depends: list[str], floors: dict[str, str]) -> None:
    """A lock says the lowest version that its packages ask of a machine, not what the locking machine had."""
    assert floors == dict(needed([package("a", *depends)], {"__archspec": "x86_64_v3", "__glibc": "2.40"}))


def test_only_pythons_packages_are_distributions() -> None:
    """Noarch Python packages and those that need Python are distributions, by the index's names."""
    found = distributions_of(
        [
            package("Ruamel_Yaml".lower(), "python"),
            package("pytorch", "python_abi 3.11.*"),
            package("graphviz", "libexpat"),
            package("tiny", noarch="python"),
            package("python", "libc"),
        ]
    )

    assert {"ruamel-yaml": "1.0", "torch": "1.0", "tiny": "1.0"} == found


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("torch", "pytorch"),
        ("sklearn", "scikit-learn"),
        ("scikit_learn", "scikit-learn"),
        ("python-numpy", "numpy"),
        ("nunpy", "numpy"),
        ("Pandas", "pandas"),
        ("pandsa", "pandas"),
        ("zzzzz", None),
    ],
)
def test_nearest_names(name: str, near: str | None) -> None:
    """What is called otherwise elsewhere, written otherwise, or mistyped is found; nothing is made up."""
    known = ["numpy", "pandas", "pytorch", "scikit-learn", "scipy", "numpydoc"]

    assert near == next(iter(nearest_packages(name, known)), None)


def test_long_trees_are_cut() -> None:
    """A tree that fills screens is cut to its first lines, and says how much more there is."""
    said = (
        "Cannot solve the request because of: The following packages are incompatible\n"
        + "└─ x 1 would require y\n" * 60
    )
    request = {"specs": ["x"], "channels": [{"name": "c"}], "platform": "linux-64", "virtual": {}}

    error = unsatisfiable(said, request, {}, frozenset({"x", "y"}), {})

    lines = error.message.splitlines()
    assert 16 == len(lines)
    assert "… and 47 more lines" == lines[-1]
