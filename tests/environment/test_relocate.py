"""The program that puts a folder's path into the files of an unpacked environment."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import nbplat.remote.compile_modules
import nbplat.remote.relocate
import nbplat.remote.relocate_start
from nbplat.environment.packing.head import relocation_list
from nbplat.environment.packing.placeholders import original, slots
from nbplat.remote.relocate import RelocationError, current_prefix, main, relocate

_PLACEHOLDER = "/opt/" + "placehold_" * 12


def _environment(root: Path, files: dict[str, tuple[bytes, bool]]) -> None:
    """An unpacked environment of files that hold the placeholder: text, or compiled."""
    listed = []
    for path, (content, binary) in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        found = slots(content, _PLACEHOLDER.encode(), binary=binary)
        listed.append({"path": path, "placeholder": _PLACEHOLDER, "binary": binary, "slots": found})
    (root / ".nbplat").mkdir()
    (root / ".nbplat" / "relocate.json").write_bytes(relocation_list(listed))


def _text(*prefixes: str) -> bytes:
    return b"a=" + b"/lib:".join(one.encode() for one in prefixes) + b"\nend\n"


def _compiled(prefix: str) -> bytes:
    """Two strings with NULs behind them, the first with two paths in it."""
    strings = (f"{prefix}/lib:{prefix}/share", "other", f"{prefix}/etc")
    room = (2 * len(_PLACEHOLDER) + 11, 5, len(_PLACEHOLDER) + 4)
    return b"\x7fELF" + b"".join(one.encode().ljust(size + 1, b"\0") for one, size in zip(strings, room, strict=True))


def test_path_is_written_into_texts_and_compiled_files(tmp_path: Path) -> None:
    """A text gets shorter; a compiled file keeps its length and its other strings; modes stay."""
    _environment(tmp_path, {"a.cfg": (_text(_PLACEHOLDER, _PLACEHOLDER), False), "b": (_compiled(_PLACEHOLDER), True)})
    (tmp_path / "b").chmod(0o755)
    assert 2 == relocate(str(tmp_path))
    assert _text(str(tmp_path), str(tmp_path)) == (tmp_path / "a.cfg").read_bytes()
    assert _compiled(str(tmp_path)) == (tmp_path / "b").read_bytes()
    assert 0o755 == (tmp_path / "b").stat().st_mode & 0o777
    assert str(tmp_path) == current_prefix(str(tmp_path))
    assert 0 == relocate(str(tmp_path))


def test_moved_environment_is_mended(tmp_path: Path) -> None:
    """Wherever it is moved, in turn, its files hold where it is; also with a path that another one starts with."""
    here = tmp_path / "x"
    _environment(here, {"a.cfg": (_text(_PLACEHOLDER), False), "b": (_compiled(_PLACEHOLDER), True)})
    for name in ("x", "x-and-more", "y", "x", "z/deeper"):
        there = tmp_path / name
        if there != here:
            there.parent.mkdir(exist_ok=True)
            here.rename(there)
            here = there
        relocate(str(here))
        assert _text(str(here)) == (here / "a.cfg").read_bytes()
        assert _compiled(str(here)) == (here / "b").read_bytes()


@pytest.mark.parametrize("cut", range(7))
def test_run_that_was_cut_short_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Whatever number of files was written before a kill, the next run mends the rest, there or elsewhere."""
    root = tmp_path / "here"
    files = {f"{n}.cfg": (_text(_PLACEHOLDER), False) for n in range(3)}
    _environment(root, {**files, "b": (_compiled(_PLACEHOLDER), True)})
    left, write = iter(range(cut)), nbplat.remote.relocate._write

    def cut_short(path: str, content: bytes | str, mode: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(path, content, mode)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr("nbplat.remote.relocate._write", cut_short)
        relocate(str(root))
    # The paths tried, four files, the path held.
    assert (cut >= 6) == bool(current_prefix(str(root)))
    moved = root.rename(tmp_path / "moved") if cut % 2 else root
    relocate(str(moved))
    assert [_text(str(moved))] * 3 == [(moved / f"{n}.cfg").read_bytes() for n in range(3)]
    assert _compiled(str(moved)) == (moved / "b").read_bytes()
    assert not list(moved.rglob("*.nbplat-new"))


def test_path_without_room_is_refused_before_any_file_is_written(tmp_path: Path) -> None:
    """A path longer than the placeholder of a compiled file says how much room there is."""
    root = tmp_path / ("long-" * 40)
    _environment(root, {"a.cfg": (_text(_PLACEHOLDER), False), "b": (_compiled(_PLACEHOLDER), True)})
    with pytest.raises(RelocationError, match=f"room for {len(_PLACEHOLDER)}"):
        relocate(str(root))
    assert _text(_PLACEHOLDER) == (root / "a.cfg").read_bytes()
    assert 1 == main(["--root", str(root)])


def test_text_takes_a_path_of_any_length(tmp_path: Path) -> None:
    """Texts alone have no limit."""
    root = tmp_path / ("long-" * 40)
    _environment(root, {"a.cfg": (_text(_PLACEHOLDER, _PLACEHOLDER), False)})
    relocate(str(root))
    assert _text(str(root), str(root)) == (root / "a.cfg").read_bytes()


@pytest.mark.parametrize("content", [b"", b"a=/somewhere/else\nend\n", _text(_PLACEHOLDER) + b"more"])
def test_file_that_somebody_changed_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that is neither as packed nor as it was left is not guessed at."""
    _environment(tmp_path, {"a.cfg": (_text(_PLACEHOLDER), False)})
    (tmp_path / "a.cfg").write_bytes(content)
    with pytest.raises(RelocationError, match=r"a\.cfg"):
        relocate(str(tmp_path))


def test_file_that_somebody_removed_is_no_matter(tmp_path: Path) -> None:
    """Who takes files away from an unpacked environment knows why."""
    _environment(tmp_path, {"a.cfg": (_text(_PLACEHOLDER), False), "c.cfg": (_text(_PLACEHOLDER), False)})
    (tmp_path / "a.cfg").unlink()
    assert 1 == relocate(str(tmp_path))


def test_running_program_keeps_the_file_it_has_open(tmp_path: Path) -> None:
    """Files are replaced, never written in place: a library that is mapped by a process stays as it is for that one."""
    _environment(tmp_path, {"b": (_compiled(_PLACEHOLDER), True)})
    with (tmp_path / "b").open("rb") as opened:
        relocate(str(tmp_path))
        assert _compiled(_PLACEHOLDER) == opened.read()


def test_many_at_once_do_it_once(tmp_path: Path) -> None:
    """Processes that start together in a fresh folder wait for the one that relocates it."""
    _environment(tmp_path, {f"{n}.cfg": (_text(_PLACEHOLDER), False) for n in range(50)})
    words = [sys.executable, "-I", "-S", nbplat.remote.relocate.__file__, "--root", str(tmp_path)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = sorted(one.communicate(timeout=60)[0] for one in running)
    assert [f"0 files now hold {tmp_path}\n"] * 5 + [f"50 files now hold {tmp_path}\n"] == said


def test_other_path_can_be_written(tmp_path: Path) -> None:
    """For a folder that is bound to another name later: that name is written."""
    _environment(tmp_path, {"a.cfg": (_text(_PLACEHOLDER), False)})
    assert 0 == main(["--root", str(tmp_path), "--prefix", "/srv/env", "--quiet"])
    assert _text("/srv/env") == (tmp_path / "a.cfg").read_bytes()


_STRINGS = st.lists(
    st.lists(st.sampled_from([b"@", b"/lib", b":", b"x" * 9]), min_size=1, max_size=5).map(b"".join), min_size=1
)
_PREFIXES = st.lists(st.sampled_from(["/a", "/a/b", "/env", "/lib", "/x" * 30, "/a/lib"]), min_size=1, max_size=4)


@given(strings=_STRINGS, prefixes=_PREFIXES, binary=st.booleans())
def test_every_move_gives_what_installing_there_gives(
    strings: list[bytes], prefixes: Sequence[str], binary: bool
) -> None:
    """After any moves a file is what an installer would have written, and that is turned back to the package's own."""
    assume(any(b"@" in one for one in strings))
    placeholder = _PLACEHOLDER.encode()
    packed = b"\0".join(one.replace(b"@", placeholder) for one in strings) + b"\0"
    found = slots(packed, placeholder, binary=binary)
    file = nbplat.remote.relocate._File("f", binary, placeholder, [nbplat.remote.relocate._Slot(*one) for one in found])
    content, held = packed, placeholder
    for prefix in prefixes:
        new = prefix.encode()
        moved = nbplat.remote.relocate._written(content, file, held, new)
        assert moved is not None
        content, held = moved, new
        assert _installed(packed, placeholder, new, binary) == content
    if held not in packed:
        assert packed == original(content, held, placeholder, binary=binary)


def _installed(data: bytes, placeholder: bytes, prefix: bytes, binary: bool) -> bytes:
    """As conda does it: each C string is replaced and padded to its length; a text is just replaced."""
    if not binary:
        return data.replace(placeholder, prefix)
    return b"\0".join(one.replace(placeholder, prefix).ljust(len(one), b"\0") for one in data.split(b"\0"))


@pytest.mark.parametrize(
    "module", [nbplat.remote.relocate, nbplat.remote.relocate_start, nbplat.remote.compile_modules]
)
def test_programs_in_archives_need_nothing_but_an_old_python(module: object) -> None:
    """They parse as Python 3.9 and import nothing but the standard library."""
    source = Path(str(module.__file__)).read_text()  # type: ignore[attr-defined]
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {one.partition(".")[0] for one in imported} <= sys.stdlib_module_names


def test_start_never_stands_in_the_way(tmp_path: Path) -> None:
    """With a broken list, or in a folder that cannot be written, the interpreter starts all the same."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    shutil.copy(nbplat.remote.relocate_start.__file__, site / "_nbplat_relocate.py")
    (site / "_nbplat_relocate.pth").write_text("import _nbplat_relocate\n")
    (tmp_path / ".nbplat").mkdir()
    shutil.copy(nbplat.remote.relocate.__file__, tmp_path / ".nbplat" / "relocate.py")
    (tmp_path / ".nbplat" / "relocate.json").write_text(json.dumps({"format": 2}))
    words = [sys.executable, "-I", "-c", f"import site; site.addsitedir({str(site)!r}); print('started')"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "started\n") == (done.returncode, done.stdout)
    assert "unpack it anew" in done.stderr
    # Asked not to, it does not even try.
    environ = {**os.environ, "NBPLAT_RELOCATE": "0"}
    quiet = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert ("started\n", "") == (quiet.stdout, quiet.stderr)
