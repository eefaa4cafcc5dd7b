"""What slim archives leave out, and what stands in the place of links."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from nbplat.environment.build import BuildDone
from nbplat.environment.explain_pack import explain_pack
from nbplat.environment.links import checked_link, without_links
from nbplat.environment.pack_record import PackOptions
from nbplat.environment.packing.files import PackedFile
from nbplat.environment.slim import Slimming
from nbplat.errors import DataError
from tests.fixtures.packs import output, pack_tools, packed, source_of, store_of

_SITE = "lib/python3.11/site-packages"
RULED = [
    (f"{_SITE}/numpy/tests/test_x.py", "tests"),
    (f"{_SITE}/numpy/_core/tests/data/x.bin", "tests"),
    ("lib/python3.11/test/test_x.py", "tests"),
    ("lib/python3.11/unittest/test/x.py", "tests"),
    (f"{_SITE}/tests/__init__.py", ""),
    (f"{_SITE}/numpy/testing/__init__.py", ""),
    (f"{_SITE}/pytest/__init__.py", ""),
    ("share/tests/x", ""),
    ("include/openssl/ssl.h", "headers"),
    (f"{_SITE}/numpy/_core/include/numpy/x.h", "headers"),
    ("lib/libz.a", "static libraries"),
    (f"{_SITE}/scipy/x.pyx", "sources"),
    (f"{_SITE}/scipy/x.c", "sources"),
    ("share/x.c", ""),
    (f"{_SITE}/numpy/__init__.pyi", "stubs"),
    (f"{_SITE}/numpy/py.typed", ""),
    ("share/man/man1/x.1", "manuals"),
    ("lib/pkgconfig/x.pc", "building"),
    ("lib/python3.11/config-3.11-x86_64-linux-gnu/Makefile", "building"),
    (f"{_SITE}/numpy-2.0.dist-info/licenses/LICENSE.txt", ""),
    ("bin/python3.11", ""),
    ("lib/libz.so.1", ""),
    ("ssl/cert.pem", ""),
]


@pytest.mark.parametrize(("path", "rule"), RULED)
def test_rule_leaves_out_what_no_job_reads(path: str, rule: str) -> None:
    """Each path by its rule; what could be a user's own, and licenses, stay."""
    assert rule == Slimming(True, (), (), ()).out(path)
    assert "" == Slimming(False, (), (), ()).out(path)


def test_keep_and_drop_go_before_rules() -> None:
    """Globs of the caller keep files from the rules, and drop others with and without slim."""
    slim = Slimming(True, ("*/numpy/tests/*",), ("*/polars/_cpu_check.py",), ())
    assert "" == slim.out(f"{_SITE}/numpy/tests/test_x.py")
    assert "tests" == slim.out(f"{_SITE}/scipy/tests/test_x.py")
    assert "drop" == Slimming(False, (), ("*.pyi",), ()).out(f"{_SITE}/numpy/__init__.pyi")
    # What is named on purpose goes, though it is kept from the rules.
    assert "drop" == Slimming(True, ("*.pyi",), ("*.pyi",), ()).out("x.pyi")


def test_stubs_stay_where_they_are_read_at_run_time() -> None:
    """lazy_loader imports what a package's stub says."""
    assert "" == Slimming(True, (), (), ("lazy-loader",)).out(f"{_SITE}/skimage/__init__.pyi")


def test_slim_archive_runs_and_says_what_was_left_out(small_environment: BuildDone, tmp_path: Path) -> None:
    """Nothing that a rule names is in it, the manifest names the rules, and its Python starts."""
    store = store_of(small_environment, tmp_path / "env")
    full, slim = packed(small_environment, store), packed(small_environment, store, slim=True, drop=("*/pydoc*",))
    assert slim.size < full.size
    assert ([], ["*/pydoc*"]) == (full.manifest["slim"], slim.manifest["drop"])
    assert {"tests", "headers", "stubs"} <= set(slim.manifest["slim"])
    with tarfile.open(slim.archive) as tar:
        names = [one.name for one in tar]
        assert not [name for name in names if name.endswith((".h", ".a", ".pyi")) or "/pydoc" in name]
        tar.extractall(tmp_path / "home", filter="data")
    assert "7.7.7\n" == output(tmp_path / "home/bin/python", "-c", "import nbplat_marker as m; print(m.__version__)")


def test_explanation_adds_up_to_the_archive(small_environment: BuildDone, tmp_path: Path) -> None:
    """Sizes by package are those of the archive; before it is made compressed ones are unknown, and nothing is made."""
    store = store_of(small_environment, tmp_path / "env")
    options = PackOptions()
    before = explain_pack(source_of(small_environment), options, store, pack_tools(options))
    assert before.packed_bytes is None
    assert not store.members.exists()
    made = packed(small_environment, store)
    after = explain_pack(source_of(small_environment), options, store, pack_tools(options))
    assert {one["name"]: one["packed_bytes"] for one in made.manifest["packages"]} == {
        one.name: one.packed_bytes for one in after.packages
    }
    assert after.packed_bytes is not None
    assert 0 < made.size - after.packed_bytes < 200_000
    assert "python" == after.packages[0].name
    assert any(line.startswith("--slim would leave out as headers") for line in after.lines())
    slim = PackOptions(slim=True)
    explained = explain_pack(source_of(small_environment), slim, store, pack_tools(slim))
    assert {} == explained.could
    assert before.could == explained.left_out
    assert explained.bytes + sum(size for _, size in explained.left_out.values()) == before.bytes


def test_files_of_no_package_stay_behind_and_are_named(small_environment: BuildDone, tmp_path: Path) -> None:
    """What somebody put into the prefix is not part of the environment."""
    stray = Path(small_environment.ref.prefix) / "share" / "mine.txt"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("mine")
    try:
        options, store = PackOptions(pyc=False), store_of(small_environment, tmp_path)
        found = explain_pack(source_of(small_environment), options, store, pack_tools(options))
        made = packed(small_environment, store, pyc=False)
    finally:
        stray.unlink()
    assert ("share/mine.txt",) == found.strays
    with tarfile.open(made.archive) as tar:
        assert "share/mine.txt" not in tar.getnames()


def _every(*files: PackedFile) -> dict[str, PackedFile]:
    return {file.path: file for file in files}


def test_links_become_what_they_lead_to() -> None:
    """A chain ends at a file, a folder is copied, and python becomes a script that starts the one that is a file."""
    library, header = PackedFile("lib/libz.so.1.2", "/p", "x"), PackedFile("share/tz/a/b", "/p", "y")
    every = _every(
        library,
        header,
        PackedFile("lib/libz.so.1", target="libz.so.1.2"),
        PackedFile("lib/libz.so", target="libz.so.1"),
        PackedFile("etc/tz", target="../share/tz"),
        PackedFile("bin/python3.11", "/p", "python"),
        PackedFile("bin/python", target="python3.11"),
    )
    found = {one.path: one for one in without_links(every.values(), every, "python3.11")}
    assert sorted([*(path for path in every if path != "etc/tz"), "etc/tz/a/b"]) == list(found)
    assert {"x"} == {found[f"lib/libz.so{end}"].origin for end in ("", ".1", ".1.2")}
    assert "y" == found["etc/tz/a/b"].origin
    assert b'/python3.11 "$@"' in found["bin/python"].content
    assert not [one for one in found.values() if one.target]


@pytest.mark.parametrize(
    "links",
    [
        [PackedFile("a", target="b"), PackedFile("b", target="a")],
        [PackedFile("a", target="gone")],
        [PackedFile("a/self", target=".."), PackedFile("a/x", "/p", "x")],
        [PackedFile("a/b", target="../c"), PackedFile("c/d", target="../a")],
    ],
)
def test_link_to_nothing_or_in_a_circle_is_refused(links: list[PackedFile]) -> None:
    """It is named, with how to leave it out."""
    every = _every(*links)
    with pytest.raises(DataError) as refused:
        without_links(every.values(), every, "python3.11")
    assert "env.link" == refused.value.code
    assert "drop" in refused.value.fix


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "../x/../../..", "/prefixed/x"])
def test_target_outside_is_refused(target: str) -> None:
    """However it is written."""
    with pytest.raises(DataError) as refused:
        checked_link(PackedFile("lib/a", target=target), "/prefix", "p")
    assert "env.link" == refused.value.code
