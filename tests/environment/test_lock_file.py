"""Lock files: canonical text, read back by us and by rattler, refused when they are not as they were made."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nbplat.environment.channels import ChannelRules
from nbplat.environment.lock_file import lock_text, parse_lock, read_lock, write_lock
from nbplat.environment.lock_read import salvage_lock
from nbplat.environment.lock_record import CondaPackage, LocalLayer, Lock, PipPackage, PlatformLock
from nbplat.environment.lock_yaml import scalar
from nbplat.errors import NotFound, RequestError


def package(
    name: str, version: str = "1.0", *, channel: str = "./channel", noarch: str = "", **more: object
) -> CondaPackage:
    build = str(more.pop("build", "py311_3"))
    return CondaPackage(
        name=name,
        version=version,
        build=build,
        build_number=int(more.pop("build_number", 3)),  # type: ignore[call-overload]
        channel=channel,
        subdir="noarch" if noarch else "linux-64",
        file_name=str(more.pop("file_name", f"{name}-{version}-{build}.conda")),
        sha256=f"{sum(map(ord, name + version)):064x}",
        noarch=noarch,
        **more,  # type: ignore[arg-type]
    )


def locked(**more: object) -> Lock:
    numpy = package("numpy", "2.4.0", depends=("python >=3.11,<3.12.0a0", "__glibc >=2.17"), size=7000, md5="ab" * 16)
    tiny = package("tiny", noarch="python", channel="conda-forge", constrains=("numpy >=2",))
    linux = PlatformLock(
        "linux-64",
        MappingProxyType({"__archspec": "x86_64_v3", "__glibc": "2.17"}),
        (numpy, tiny),
        (PipPackage("six", "1.17.0", (f"sha256:{'cd' * 32}",), file="six-1.17.0-py2.py3-none-any.whl", size=11050),),
        (LocalLayer("ranker", "0.1", "./ranker", "ef" * 32, ("gpu",), ("numpy>=2", "six")),),
    )
    found = Lock(
        name="ranker",
        solved_by="ab" * 32,
        channels=("./channel", "conda-forge"),
        dependencies=("numpy >=2", "tiny"),
        pip=("six>=1",),
        platforms=MappingProxyType({"linux-64": linux, "osx-arm64": PlatformLock("osx-arm64", conda=(tiny,))}),
    )
    return replace(found, **more)  # type: ignore[arg-type]


def refused(text: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_lock(text, "envs/ranker.lock")
    assert "env.lock_file" == caught.value.code
    return caught.value


def test_lock_reads_back_equal() -> None:
    """What is written is read back as the same lock, and written again as the same bytes."""
    text = lock_text(locked())

    assert locked() == parse_lock(text)
    assert text == lock_text(parse_lock(text))


def test_text_is_canonical() -> None:
    """The order in which platforms and packages were found does not count."""
    found = locked()
    turned = replace(found, platforms=MappingProxyType(dict(reversed(found.platforms.items()))))

    assert lock_text(found) == lock_text(turned)


def test_names_of_files_that_say_something_else_are_written_out() -> None:
    """A package whose file name does not tell name, version, build and build number keeps them."""
    odd = package("odd", "1.0", build="custom", build_number=7, file_name="odd-file_name.tar.bz2".replace("_", "-1-"))
    free = package("python", "3.13.1", build="h0_cp313t", build_number=0, site_packages="lib/python3.13t/site-packages")
    found = locked(platforms=MappingProxyType({"linux-64": PlatformLock("linux-64", conda=(odd, free))}))

    assert found == parse_lock(lock_text(found))


def test_rattler_reads_it(tmp_path: Path) -> None:
    """The library of pixi reads the file: platforms, virtual packages, places and hashes of the conda part."""
    path = tmp_path / "ranker.lock"
    assert write_lock(path, locked())
    code = (
        "import json, os, sys, rattler\n"
        "found = rattler.LockFile.from_path(sys.argv[1])\n"
        "environment = found.default_environment()\n"
        "out = {one.name: {'virtual': one.virtual_packages, 'packages': [[each.name, str(each.version), each.location, "
        "each.hashes.sha256.hex(), each.package_record.build_number, list(each.package_record.depends)] "
        "for each in environment.packages(one)]} for one in found.platforms()}\n"
        "print(json.dumps(out), flush=True)\n"
        "os._exit(0)\n"
    )

    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, timeout=60)

    found = json.loads(said.stdout)
    [numpy, tiny] = locked().platforms["linux-64"].conda
    assert ["__archspec=1=x86_64_v3", "__glibc=2.17"] == found["linux-64"]["virtual"]
    place = "./channel/linux-64/numpy-2.4.0-py311_3.conda"
    assert [
        ["numpy", "2.4.0", place, numpy.sha256, 3, list(numpy.depends)],
        ["tiny", "1.0", f"https://conda.anaconda.org/conda-forge/noarch/{tiny.file_name}", tiny.sha256, 3, []],
    ] == found["linux-64"]["packages"]
    assert ["tiny"] == [one[0] for one in found["osx-arm64"]["packages"]]


def test_channel_of_the_channels_file_is_spelled_out_and_read_back() -> None:
    """A channel with a name of this machine's is written with its address and read back by its name."""
    rules = ChannelRules(addresses={"conda-forge": "https://conda.example/forge"})

    text = lock_text(locked(), rules)

    assert "- conda: https://conda.example/forge/noarch/tiny-1.0-py311_3.conda" in text
    assert locked() == parse_lock(text)


def test_same_lock_is_not_written_again(tmp_path: Path) -> None:
    """A file that has the text already is left alone."""
    path = tmp_path / "ranker.lock"

    assert write_lock(path, locked())
    assert not write_lock(path, locked())
    assert locked() == read_lock(path)


def test_line_ends_and_comments_do_not_count() -> None:
    """A checkout with other line ends, or a comment of a person, changes nothing."""
    text = lock_text(locked())

    assert locked() == parse_lock(text.replace("\n", "\r\n"))
    assert locked() == parse_lock("# reviewed by the platform team\n" + text)


def test_missing_lock_says_how_to_make_it(tmp_path: Path) -> None:
    """A lock that is not there is refused with the command that makes it."""
    with pytest.raises(NotFound, match=r"env.lock_missing.*nbplat env lock ranker"):
        read_lock(tmp_path / "ranker.lock")


def test_merge_conflict_is_named_with_its_line() -> None:
    """Conflict markers of a merge are refused at the first one's line."""
    lines = lock_text(locked()).splitlines()
    lines[4:4] = ["<<<<<<< HEAD", "a", "=======", "b", ">>>>>>> other"]

    error = refused("\n".join(lines))

    assert "envs/ranker.lock, line 5" == error.where
    assert "merge conflict" in error.message
    assert "git checkout --theirs" in error.fix


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.8, 0.95, 0.99])
def test_truncated_lock_is_refused(share: float) -> None:
    """A file that ends early is refused wherever it was cut."""
    text = lock_text(locked())

    refused(text[: int(len(text) * share)])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1.17.0", "version: 1.16.0"),
        ("size: 7000", "size: 7001"),
        ("  - __archspec=1=x86_64_v3\n", ""),
        ("solved_by: abab", "solved_by: baba"),
        ("  - python >=3.11,<3.12.0a0\n", ""),
        ("name: osx-arm64", "name: osx-64"),
    ],
)
def test_change_by_hand_is_refused_at_its_lines(old: str, new: str) -> None:
    """A value that was changed after the lock was made is refused with the lines it stands in."""
    text = lock_text(locked())
    assert old in text
    changed = text.replace(old, new, 1)

    error = refused(changed)

    lines = changed.splitlines()
    differs = next(at for at, (was, now) in enumerate(zip(text.splitlines(), lines, strict=False)) if was != now)
    begins = max(at for at in range(differs + 1) if lines[at][0] != " ") + 1
    assert "was changed after it was made" in error.message
    assert f"envs/ranker.lock, line {begins}" == error.where


def test_package_that_was_taken_out_is_refused() -> None:
    """A block that is gone is noticed as well."""
    found = locked()
    text = lock_text(found)
    start = text.index("\n- conda: https://conda.anaconda.org/conda-forge/noarch/tiny") + 1
    end = text.index("nbplat:")

    assert "was changed after it was made" in refused(text[:start] + text[end:]).message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("- a\n", "holds no lock"),
        ("version: 6\n", "version 6"),
        ("version: 7\nplatforms: []\nenvironments: {}\npackages: []\n", "another tool made it"),
        ("version: 7\nnbplat: {format: 9}\n", "format 9"),
        ("version: 7\n a: b: c\n", "not YAML"),
        ("version: 7\nnbplat: {format: 1}\n", "without its seal"),
        ("version: 7\n\x00\n", "not YAML"),
    ],
)
def test_what_is_no_lock_of_ours_is_refused(text: str, said: str) -> None:
    """Other formats, other tools' locks and no locks at all are told apart."""
    assert said in refused(text).message


def test_forged_lock_is_refused_by_its_content() -> None:
    """A fitting seal does not help a lock whose content is none."""
    from nbplat.environment.lock_seal import seal_of, sums_of

    body = lock_text(locked()).partition("  sums:\n")[0].replace("ab" * 32, "../../x", 1)
    sums = "".join(f'  - "{each}"\n' for each in sums_of(body))

    assert "not as we write them" in refused(f"{body}  sums:\n{sums}  seal: {seal_of(body)}\n").message


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30))
def test_scalars_read_back_as_texts(text: str) -> None:
    """Whatever a text is, YAML reads it back as that text."""
    assert {"key": [text]} == yaml.safe_load(f"key:\n- {scalar(text)}\n")


def test_versions_of_a_damaged_lock_can_be_kept() -> None:
    """Of a conflicted or changed lock our side's versions can be read, for a new solve and never for a build."""
    lines = lock_text(locked()).splitlines()
    at = lines.index("  size: 7000")
    lines[at : at + 1] = [
        "<<<<<<< HEAD",
        lines[at],
        "||||||| base",
        "  size: 1",
        "=======",
        "  size: 2",
        ">>>>>>> other",
    ]

    assert replace(locked(), solved_by="0" * 64) == salvage_lock("\n".join(lines))
    assert None is salvage_lock("<<<<<<< HEAD\nnothing: [\n")
    assert None is salvage_lock(lock_text(locked())[:300])
