"""The rules of `env check` over what two sides have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.environment.check import CheckReport, Finding
from nbplat.environment.check_body import check_body
from nbplat.environment.check_engines import check_links, check_ray, check_same_python, check_spark, check_targets
from nbplat.environment.check_machine import check_machine
from nbplat.environment.check_packages import check_packages
from nbplat.environment.definition import Targets
from nbplat.environment.floors import compare, floors_of_spark, satisfies
from nbplat.environment.host import Machine
from nbplat.environment.lock_record import CondaPackage, LocalLayer, PipPackage, PlatformLock
from nbplat.environment.packages_diff import diff_packages
from nbplat.environment.sides import ArchiveFacts, Brought, Installed, Side, side_of_lock, side_of_manifest
from nbplat.errors import SetupError

MACHINE = Machine("node7", "linux-64", {"__glibc": "2.31", "__archspec": "x86_64_v3", "__unix": "0", "__linux": "5.4"})


def side(who: str = "the environment fraud", python: str = "3.11.7", platform: str = "linux-64", **more: Any) -> Side:
    packages: Mapping[str, Any] = more.pop("packages", {})
    installed = {name: found if isinstance(found, Installed) else Installed(found) for name, found in packages.items()}
    more.setdefault("name", "fraud" if who == "the environment fraud" else "")
    return Side(who, python, platform, packages=installed, **more)


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.rule, finding.level, finding.package) for finding in findings]


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        ("2.17", "2.17.0", 0),
        ("2.9", "2.17", -1),
        ("3.0a0", "3.0", -1),
        ("3.0rc1", "3.0a9", 1),
        ("18.0.0", "18", 0),
        ("1.2+cpu", "1.2", 0),
        ("2024.10", "2024.9", 1),
    ],
)
def test_versions_are_compared_part_by_part(left: str, right: str, order: int) -> None:
    """Numbers as numbers, a missing part is 0, a pre-release comes before its release, a local part does not count."""
    assert order == compare(left, right)
    assert -order == compare(right, left)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_versions_of_numbers_are_ordered_as_lists_of_numbers(left: list[int], right: list[int]) -> None:
    """Whatever the numbers, the order is that of the lists filled up with zeros."""
    width = max(len(left), len(right))
    padded = [numbers + [0] * (width - len(numbers)) for numbers in (left, right)]
    wanted = (padded[0] > padded[1]) - (padded[0] < padded[1])
    assert wanted == compare(".".join(map(str, left)), ".".join(map(str, right)))


@pytest.mark.parametrize(
    ("version", "constraint", "met"),
    [
        ("2.31", ">=2.17", True),
        ("2.31", ">=2.17,<3.0.a0", True),
        ("2.31", ">=2.34", False),
        ("12.4", "12.*", True),
        ("12.4", "11|12.*", True),
        ("12.4", "=12", True),
        ("12.4", "==12", False),
        ("12.4", "!=12.*", False),
        ("12.4", "~=12.2", True),
        ("13.0", "~=12.2", False),
        ("12.4", "*", True),
        ("12.4", "", True),
        ("12.4", "what is this", None),
    ],
)
def test_constraints_are_read_as_conda_writes_them(version: str, constraint: str, met: bool | None) -> None:
    """A constraint is met or not; one that nobody understands is neither."""
    assert met is satisfies(version, constraint)


@pytest.mark.parametrize(
    ("asked", "rule", "level"),
    [
        ({"demands": {"libfoo": ("__glibc >=2.28,<3.0.a0",)}}, None, None),
        ({"demands": {"libfoo": ("__glibc >=2.34",)}}, "machine", "error"),
        ({"demands": {"libfoo": ("__glibc >= 2.34, < 3",)}}, "machine", "error"),
        ({"demands": {"libfoo": ("__cuda >=12",)}}, "machine", "error"),
        ({"limits": {"libfoo": ("__cuda >=12",)}}, None, None),
        ({"limits": {"libfoo": ("__glibc >=2.34",)}}, "machine", "error"),
        ({"demands": {"libfoo": ("__archspec=1=x86_64_v4",)}}, "machine", "error"),
        ({"demands": {"libfoo": ("__archspec 1.* x86_64_v3",)}}, None, None),
        ({"demands": {"libfoo": ("__archspec 1 x86_64_v2",)}}, None, None),
        ({"demands": {"libfoo": ("__unix", "__linux >=4.18")}}, None, None),
        ({"demands": {"libfoo": ("__osx >=11.0",)}}, "machine", "error"),
        ({"assumed": {"__glibc": "2.28", "__linux": "6.1", "__unix": "0"}}, None, None),
        ({"assumed": {"__glibc": "2.39"}}, "machine", "warning"),
        ({"assumed": {"__archspec": "x86_64_v4"}}, "machine", "warning"),
        ({"assumed": {"__archspec": "1=x86_64_v3"}}, None, None),
        ({"assumed": {"__archspec": "skylake"}}, None, None),
        ({"assumed": {"__cuda": "12.4"}}, "machine", "warning"),
        ({"platform": "linux-aarch64"}, "platform", "error"),
        ({"platform": ""}, None, None),
    ],
)
def test_a_machine_is_held_against_what_is_asked_of_it(asked: dict[str, Any], rule: str, level: str) -> None:
    """What a package asks for by name stops a job; what the lock was merely solved for is a warning."""
    findings = check_machine(side(**asked), MACHINE)
    assert ([(rule, level)] if rule else []) == [(finding.rule, finding.level) for finding in findings]


def test_a_shortfall_names_package_both_sides_and_mend() -> None:
    """The package, what it needs, the node and what it has are in the message; the mend is a key of the declaration."""
    [finding] = check_machine(side(demands={"libfoo": ("__glibc >=2.34",)}), MACHINE)
    assert "libfoo of the environment fraud needs __glibc >=2.34, and the machine node7 has 2.31" == finding.message
    assert (("the environment fraud", "__glibc >=2.34"), ("the machine node7", "2.31")) == finding.sides
    assert '__glibc: "2.31"' in finding.fix


def test_a_demand_named_by_a_package_is_not_told_again_for_the_lock() -> None:
    """Where a package misses something, the lock that was solved for the same thing is not a second finding."""
    asked = side(demands={"libfoo": ("__glibc >=2.34",)}, assumed={"__glibc": "2.36"})
    assert [("machine", "error", "libfoo")] == told(check_machine(asked, MACHINE))


BODY = {"numpy": "2.4.0", "pyarrow": "22.0.0"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"packages": BODY}, []),
        ({"packages": {"numpy": "2.4.0"}}, [("floor", "error", "pyarrow")]),
        ({"packages": {"nbplat-marker": "7"}}, [("floor", "error", "numpy")]),
        ({"packages": BODY, "python": "3.8.18"}, [("python", "error", "")]),
        ({"packages": BODY, "python": ""}, [("python", "error", "")]),
    ],
)
def test_a_body_needs_a_python_with_numpy_and_pyarrow(found: dict[str, Any], expected: list[Any]) -> None:
    """Each that is missing or too old stops it."""
    assert expected == told(check_body(side(**found)))


def test_what_a_body_imports_must_be_there_and_is_compared_with_the_notebook() -> None:
    """A sure import that is missing stops the job, an unsure one is a warning, and so is another version."""
    there = side(
        packages=BODY,
        imports={"pandas": Brought("pandas", "2.2.1"), "sklearn": None, "polars": None, "json": Brought("", "")},
    )
    notebook = side(
        "the notebook",
        imports={"pandas": Brought("pandas", "2.3.3"), "sklearn": Brought("scikit-learn", "1.9.1"), "polars": None},
    )
    findings = check_body(there, certain={"pandas", "sklearn", "json"}, possible={"polars"}, notebook=notebook)
    expected = [("package", "warning", "pandas"), ("import", "warning", "polars"), ("import", "error", "scikit-learn")]
    assert expected == told(findings)
    assert "the body imports pandas: 2.2.1 in the environment fraud, 2.3.3 in the notebook" == findings[0].message
    assert "nbplat env add fraud scikit-learn" in findings[2].fix


def test_a_standard_module_that_an_older_python_lacks_asks_for_a_newer_python() -> None:
    """`tomllib` is no package: the mend is a newer Python."""
    old = side(packages=BODY, python="3.10.2", imports={"tomllib": None})
    [finding] = check_body(old, certain={"tomllib"})
    assert 'nbplat env add fraud "python>=3.' in finding.fix


@pytest.mark.parametrize(
    ("worker", "spark", "options", "expected"),
    [
        ({"python": "3.11.2"}, "4.1.4", {}, []),
        ({"python": "3.12.1"}, "4.1.4", {}, [("python", "error", "")]),
        ({}, "4.1.2", {}, [("pyspark", "error", "pyspark")]),
        ({}, "4.1.2", {"plain_driver": False}, []),
        ({"packages": {"pandas": "2.1.4"}}, "4.1.4", {}, [("floor", "warning", "pandas")]),
        ({"packages": {"pandas": "2.1.4"}}, "4.0.1", {"plain_driver": False}, []),
        (
            {"packages": {"pandas": "2.1.4", "pyarrow": "22.0.0", "numpy": "2.4.0"}},
            "4.1.4",
            {"pandas_udfs": True},
            [("floor", "error", "pandas")],
        ),
        ({"packages": {"pyarrow": "17.0.0"}}, "4.1.4", {}, []),
        ({"packages": {"pyarrow": "17.0.0"}}, "4.2.0", {"plain_driver": False}, [("floor", "warning", "pyarrow")]),
        ({"packages": {"pyarrow": "17.0.0"}}, "3.5.1", {"plain_driver": False}, []),
        (
            {"packages": {"numpy": "2.4.0"}},
            "4.1.4",
            {"pandas_udfs": True},
            [("floor", "error", n) for n in ("pandas", "pyarrow")],
        ),
        ({"python": "3.9.18"}, "4.1.4", {}, [("python", "error", ""), ("floor", "error", "")]),
    ],
)
def test_spark_wants_the_same_minor_its_own_version_and_its_floors(
    worker: dict[str, Any], spark: str, options: dict[str, Any], expected: list[Any]
) -> None:
    """Patch versions may differ; floors are those of the Spark version and stop a job only when it uses them."""
    driver = side("this process", packages={"pyspark": "4.1.4"})
    assert expected == told(check_spark(driver, side(**worker), spark=spark, **options))


@pytest.mark.parametrize(
    ("worker", "level", "expected"),
    [
        ({"packages": {"ray": "2.60.0"}}, "patch", []),
        ({"packages": {"ray": "2.60.0"}, "python": "3.11.2"}, "patch", [("python", "error", "")]),
        ({"packages": {"ray": "2.60.0"}, "python": "3.11.2"}, "minor", [("python", "warning", "")]),
        ({"packages": {"ray": "2.60.0"}, "python": "3.12.7"}, "minor", [("python", "error", "")]),
        ({"packages": {"ray": "2.59.0"}}, "patch", [("ray", "error", "ray")]),
        ({"packages": {"numpy": "2.4.0"}}, "patch", [("ray", "error", "ray")]),
    ],
)
def test_ray_wants_the_same_patch_and_its_own_version(worker: dict[str, Any], level: str, expected: list[Any]) -> None:
    """Unless its own variable relaxes the patch; an environment without ray starts no worker."""
    driver = side("this process", packages={"ray": "2.60.0"})
    assert expected == told(check_ray(driver, side(**worker), match_level=level))


def test_two_interpreters_of_one_job_are_compared_without_an_engine() -> None:
    """Another minor is an error, another patch a warning, another pyspark or ray an error."""
    driver = side("the driver", packages={"pyspark": "4.1.4", "ray": "2.60.0"})
    assert [("python", "error", "")] == told(check_same_python(driver, side(python="3.12.1")))
    assert [("python", "warning", "")] == told(check_same_python(driver, side(python="3.11.2")))
    other = side(packages={"pyspark": "4.1.2", "ray": "2.59.0"})
    assert [("pyspark", "error", "pyspark"), ("ray", "error", "ray")] == told(check_same_python(driver, other))


def test_targets_are_held_against_what_is_locked() -> None:
    """Another Spark or Ray than declared, no ray for a Ray target, and packages below the target's floors."""
    holds = side(packages={"pyspark": "4.0.1", "pandas": "2.1.0", "numpy": "2.0"})
    expected = [("target", "error", "pyspark"), ("target", "error", "ray"), ("target", "warning", "pandas")]
    assert expected == told(check_targets(holds, Targets(spark="4.1", ray="2.60")))
    fits = side(packages={"pyspark": "4.1.4", "ray": "2.60.0", "pandas": "2.3.3"})
    assert [] == check_targets(fits, Targets(spark="4.1", ray="2.60.0"))
    assert [] == check_targets(holds, Targets())


def test_packages_are_compared_by_version_and_build() -> None:
    """Builds count where both have one; Python, installers and conda's own libraries do not."""
    left = side(
        packages={
            "python": "3.11.7",
            "pip": "25",
            "libzlib": "1.3",
            "numpy": Installed("2.4.0", "py311_0", "conda"),
            "Scikit_Learn": "1.9.1",
            "pandas": "2.3.3",
        }
    )
    right = side(
        "the driver",
        packages={
            "python": "3.12.1",
            "numpy": Installed("2.4.0", "py311_1", "conda"),
            "scikit-learn": Installed("1.9.1", "py311_0", "conda"),
            "pandas": "2.2.0",
            "polars": "1.35",
        },
    )
    found = diff_packages(left, right, matters=["pandas"])
    assert [("pandas", "version", True), ("numpy", "build", False), ("polars", "extra", False)] == [
        (one.name, one.kind, one.matters) for one in found
    ]
    assert () == diff_packages(left, replace(right, packages={}))


def test_what_matters_is_told_one_by_one_and_the_rest_is_counted() -> None:
    """A missing package that matters is an error, another version a warning, all others one warning together."""
    left = side("the driver", packages={"pandas": "2.3.3", "torch": "2.9", "scipy": "1.16", "lxml": "6"})
    right = side(packages={"pandas": "2.2.0", "scipy": "1.15", "lxml": "6"})
    findings, differences = check_packages(left, right, matters=["pandas", "torch"])
    assert [("package", "warning", "pandas"), ("package", "error", "torch"), ("package", "warning", "")] == told(
        findings
    )
    assert (
        "1 package has another version in the driver and the environment fraud: scipy 1.16/1.15" == findings[2].message
    )
    assert 3 == len(differences)


@pytest.mark.parametrize(
    ("form", "links", "target", "refused"),
    [
        ("tar.gz", True, "spark", False),
        ("tar.gz", True, "ray", True),
        ("tar.gz", False, "ray", False),
        ("zip", True, "spark", True),
        ("zip", False, "spark", False),
    ],
)
def test_links_are_refused_where_they_make_workers_hang(form: str, links: bool, target: str, refused: bool) -> None:
    """Never in a zip, never for Ray."""
    findings = check_links(side(archive=ArchiveFacts(form, links)), target)
    assert refused == bool(findings)
    assert all("nbplat env pack" in finding.fix for finding in findings)


def test_a_report_refuses_with_every_mend_and_says_how_many_more() -> None:
    """Errors come first and once; warnings alone refuse nothing."""
    findings = check_body(side(packages={"x": "1"}, imports={"torch": None}), certain={"torch"})
    report = CheckReport.of("the environment fraud", "the body", [*findings, *findings])
    assert 2 == len(report.errors)
    with pytest.raises(SetupError) as caught:
        report.refuse()
    assert "env.check" == caught.value.code
    assert "with which rows are handed over; the body imports torch" in caught.value.message
    assert "nbplat env add fraud numpy pyarrow, then nbplat env build fraud --lock" in caught.value.fix
    assert "nbplat env add fraud torch" in caught.value.fix
    warned = CheckReport.of("a", "b", check_machine(side(assumed={"__glibc": "2.39"}), MACHINE))
    assert warned.fits
    warned.refuse()
    assert ["warning"] == [finding["level"] for finding in warned.record()["findings"]]


def test_a_lock_and_a_manifest_tell_the_same_of_an_environment() -> None:
    """Python, packages, demands and what it was solved for are read from either."""
    python = CondaPackage(
        "python", "3.11.7", "h1", 0, "ch", "linux-64", "python-3.11.7-h1.conda", "00", depends=("__glibc >=2.17",)
    )
    lock = PlatformLock(
        "linux-64",
        {"__glibc": "2.28"},
        (python,),
        (PipPackage("pip-demo", "1.0", ("sha256:1",)),),
        (LocalLayer("mine", "0.1", "../mine", "abc"),),
    )
    from_lock = side_of_lock("the environment fraud", lock)
    manifest = {
        "python": {"version": "3.11.7"},
        "platform": "linux-64",
        "virtual": {"__glibc": "2.28"},
        "packages": [
            {"name": "python", "version": "3.11.7", "build": "h1", "kind": "conda", "machine": ["__glibc >=2.17"]},
            {"name": "pip-demo", "version": "1.0", "kind": "pip"},
            {"name": "mine", "version": "0.1", "kind": "local"},
        ],
        "format": "tar.gz",
        "links": True,
    }
    from_manifest = side_of_manifest("the environment fraud", manifest)
    assert from_lock == replace(from_manifest, archive=None)
    assert ArchiveFacts("tar.gz", links=True) == from_manifest.archive


def test_floors_are_those_of_the_spark_version() -> None:
    """The newest known floors for newer versions, none for those before 4."""
    for spark, floor in {"4.1.4": "15.0.0", "4.2.0": "18.0.0", "4.9": "18.0.0", "": "18.0.0"}.items():
        floors = floors_of_spark(spark)
        assert floors is not None
        assert floor == floors.packages["pyarrow"]
    assert floors_of_spark("3.5.1") is None
