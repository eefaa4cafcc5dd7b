"""The parts of channels: library paths in ELF files, needs of distributions, requirements files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from nbplat.adapters.conda.channel.interpreter import ask_interpreter
from nbplat.environment.channel.depends import depends_of
from nbplat.environment.channel.elf import read_elf, with_library_path
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.requirements import read_requirements


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    return ask_interpreter()


def compiled(folder: Path, path: str, *flags: str, source: str = "int main(void) { return 0; }") -> bytes:
    """A program with a library path."""
    (folder / "x.c").write_text(source)
    command = ["gcc", f"-Wl,-rpath,{path}", *flags, "-o", folder / "x", folder / "x.c"]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return (folder / "x").read_bytes()


@pytest.mark.parametrize("flag", ["-Wl,--enable-new-dtags", "-Wl,--disable-new-dtags"])
def test_library_path_is_written_over(flag: str, tmp_path: Path) -> None:
    """RUNPATH and RPATH are replaced in place; the file keeps its size and runs."""
    old = compiled(tmp_path, "/opt/some/where/lib", flag)
    elf = read_elf(old)
    assert elf is not None
    assert ("/opt/some/where/lib", True) == (elf.library_path, "libc.so.6" in elf.needed)
    new = with_library_path(old, "$ORIGIN/../lib")
    assert new is not None
    changed = read_elf(new)
    assert changed is not None
    assert ("$ORIGIN/../lib", len(old)) == (changed.library_path, len(new))
    (tmp_path / "x").write_bytes(new)
    assert 0 == subprocess.run([tmp_path / "x"], check=False, timeout=10).returncode


def test_library_path_must_fit(tmp_path: Path) -> None:
    """A longer path does not fit over a shorter one."""
    assert with_library_path(compiled(tmp_path, "/o"), "$ORIGIN/../lib") is None


def test_shared_ends_of_strings_are_kept(tmp_path: Path) -> None:
    """Where a symbol's name is the end of the path (linkers store it once), the path is left alone."""
    source = "int where(void) { return 0; } int main(void) { return where(); }"
    content = compiled(tmp_path, "/opt/some/where", "-rdynamic", source=source)
    elf = read_elf(content)
    assert elf is not None
    place = elf.path_at[0] - elf.strings_at + len("/opt/some/")
    if place not in elf.used:
        pytest.skip("this linker stores every string by itself")
    assert with_library_path(content, "$ORIGIN") is None


def test_other_files_have_no_library_path() -> None:
    """Scripts, torn headers and ELF files without a library path come back as they are."""
    assert read_elf(b"#!/bin/sh\n") is None
    assert read_elf(b"\x7fELF" + b"\0" * 10) is None
    assert b"text" == with_library_path(b"text", "$ORIGIN")


def test_every_binary_of_the_interpreter_is_read(interpreter: Interpreter) -> None:
    """The extension modules of a real interpreter say what they need, as the system's own reader says it."""
    found = [read_elf(path.read_bytes()) for path in sorted(interpreter.stdlib.glob("lib-dynload/*.so"))]
    assert all(found)
    assert any("libc.so.6" in one.needed for one in found if one)


def needs(interpreter: Interpreter, *requires: str, **others: list[str]) -> tuple[tuple[str, ...], str]:
    found = depends_of("toy", requires, interpreter, others.get)
    flags = [name for name in ("by_python", "by_system", "by_machine") if getattr(found, name)]
    return found.specs, " ".join(flags)


@pytest.mark.parametrize(
    ("requires", "spec", "flags"),
    [
        ("numpy", "numpy", ""),
        ("NumPy >= 1.26, < 3", "numpy >=1.26,<3", ""),
        ("a.b_c==1.*", "a-b-c 1.*", ""),
        ("x!=1.5,>=1", "x >=1,!=1.5", ""),
        ("x~=1.4", "x ~=1.4", ""),
        ("x===1.0+local", "x ==1.0+local", ""),
        ("x>=2023.03.6", "x >=2023.3.6", ""),
        ("x@ https://example.org/x.whl", "x", ""),
        ("x; python_version < '3'", "", ""),
        ("x; python_version < '3.9'", "", ""),
        ("x; python_version < '3.10'", "", "by_python"),
        ("x; python_version >= '3.11'", "x", "by_python"),
        ("x; sys_platform == 'win32'", "", "by_system"),
        ("x; os_name == 'posix'", "x", "by_system"),
        ("x; platform_machine == 'arm64'", "", "by_machine"),
        ("x; extra == 'fast'", "", ""),
        ("x; extra == 'fast' and sys_platform == 'win32'", "", ""),
        ("x; implementation_name == 'cpython'", "x", ""),
    ],
)
def test_requirements_become_match_specs(requires: str, spec: str, flags: str, interpreter: Interpreter) -> None:
    """Each kind of version and marker becomes what conda means by it, and says where else it would differ."""
    if interpreter.subdir != "linux-64":
        pytest.skip("the answers are those of Linux on x86-64")
    assert (((spec,) if spec else ()), flags) == needs(interpreter, requires)


def test_extras_bring_their_needs(interpreter: Interpreter) -> None:
    """The extras of a need add what they need in turn; two clauses for one name become one spec."""
    requests = ["urllib3>=1", "pysocks; extra == 'socks'", "urllib3<3; extra == 'socks'", "chardet; extra == 'slow'"]
    assert (("pysocks", "requests", "urllib3 <3"), "") == needs(interpreter, "requests[socks]", requests=requests)
    assert ("unknown[x]",) == depends_of("toy", ["unknown[x]"], interpreter, lambda name: None).unknown_extras


def test_extras_may_name_each_other(interpreter: Interpreter) -> None:
    """A distribution whose extra is made of its own extras ends."""
    ray = ["ray[data]; extra == 'all'", "ray[all]; extra == 'data'", "pandas; extra == 'data'"]
    assert (("pandas", "ray"), "") == needs(interpreter, "ray[all]", ray=ray)


@given(
    st.lists(
        st.tuples(st.sampled_from([">=", "<=", ">", "<", "==", "!=", "~="]), st.integers(0, 3), st.integers(0, 3)),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 3),
    st.integers(0, 4),
)
def test_specs_take_the_versions_that_requirements_take(
    clauses: list[tuple[str, int, int]], major: int, minor: int
) -> None:
    """Conda's reading of a spec takes exactly the released versions that the requirement takes."""
    from rattler import BuildString, MatchSpec, PackageRecord

    specifier = ",".join(f"{operator}{a}.{b}" for operator, a, b in clauses)
    version = f"{major}.{minor}"
    [spec] = depends_of("toy", [f"x{specifier}"], _ANY, lambda name: None).specs
    record = PackageRecord("x", version, BuildString("0"), build_number=0, subdir="noarch")
    assert SpecifierSet(specifier).contains(version) == MatchSpec(spec).matches(record)


_ANY = ask_interpreter()


def test_requirements_files_are_read_as_pip_writes_them(tmp_path: Path) -> None:
    """Comments, continued lines, hashes, markers and included files."""
    (tmp_path / "base.txt").write_text("numpy==2.0\n")
    file = tmp_path / "all.txt"
    digest = "a" * 64
    ray = f"ray[data]==2.60 ; sys_platform != 'win32' \\\n    --hash=sha256:{digest}  # why"
    file.write_text(f"# pinned\n-r base.txt\n{ray}\n\nx#y\n")
    with pytest.raises(Exception, match="x#y"):
        read_requirements(file)
    file.write_text(file.read_text().replace("x#y", "-r all.txt"))
    found = read_requirements(file)
    assert ["base.txt, line 1", "all.txt, line 3"] == [one.where for one in found]
    assert ["numpy", "ray"] == [one.requirement.name for one in found]
    assert (f"sha256:{digest}",) == found[1].hashes


def test_other_interpreters_are_asked_for_themselves() -> None:
    """The answer is that of the asked interpreter: a virtual environment names its base and its own packages."""
    found = ask_interpreter(sys.executable)
    assert (sys.base_prefix, f"{sys.version_info[0]}.{sys.version_info[1]}") == (str(found.base), found.minor)
    assert any(Path(sys.prefix) in site.parents for site in found.sites)
