"""Making channels: what is written, what stays, what is refused before anything is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.adapters.conda.channel.folder import DiskChannel
from nbplat.adapters.conda.channel.index import repodata_of
from nbplat.adapters.conda.channel.sources import MachineSources
from nbplat.environment.channel.make import make_channel
from nbplat.environment.channel.request import ChannelReport, ChannelRequest
from nbplat.environment.ports import Phase
from nbplat.errors import NbplatError, NotFound, SetupError
from tests.environment.test_channel_small import run
from tests.fixtures.channels import SmallChannel
from tests.fixtures.conda_client import installed
from tests.fixtures.wheels import make_wheel


def make(folder: Path, *wheels: Path, python: bool = False, **asked: object) -> ChannelReport:
    request = ChannelRequest(folder, python=python, wheels=tuple(str(one) for one in wheels), **asked)  # type: ignore[arg-type]
    return make_channel(request, MachineSources(), DiskChannel(folder), lambda phase: None)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a channel but its lock and what it keeps for itself."""
    files = [one for one in folder.rglob("*") if one.is_file() and ".nbplat" not in one.parts]
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in files}


def wheel(folder: Path, name: str = "toy", version: str = "1.0", **more: object) -> Path:
    return make_wheel(folder, name, version, {f"{name}/__init__.py": f"V = '{version}'\n"}, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with a few distributions that uv installed."""
    home = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True, timeout=60)
    wheels = home / "wheels"
    wheel(wheels, "plain", requires=["helper>=1.0,<3", "helper[fast]; extra == 'speed'", "absent; extra == 'never'"])
    wheel(wheels, "helper", "2.0", requires=["quick==1.*; extra == 'fast'"])
    wheel(wheels, "quick", "1.5")
    files = {
        "tool/__init__.py": "import sys\n\n\ndef main():\n    print('tool in', sys.prefix)\n",
        "tool-3.1.data/scripts/shout": "#!python\nimport sys\nprint('SHOUT', sys.prefix)\n",
        "tool-3.1.data/data/share/tool/words.txt": "a b c\n",
        "tool-3.1.data/headers/tool.h": "#define TOOL 3\n",
    }
    make_wheel(wheels, "tool", "3.1", files, scripts={"tool": "tool:main"}, requires=["plain[speed]"])
    make_wheel(wheels, "needy", "1.0", {"needy.py": ""}, requires=["uninstalled>=2"])
    command = [uv(), "pip", "install", "--offline", "--no-index", "--find-links", wheels, "--python", home / "venv"]
    subprocess.run([*command, "tool"], check=True, timeout=60, capture_output=True)
    subprocess.run([*command, "--no-deps", "needy"], check=True, timeout=60, capture_output=True)
    return home / "venv" / "bin" / "python"


def uv() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())


def records(folder: Path) -> dict[str, dict[str, object]]:
    """The repodata's records by name."""
    subdirs = [one.parent.name for one in folder.glob("*/repodata.json")]
    return {str(one["name"]): one for subdir in subdirs for one in repodata_of(folder, subdir).values()}


# -- what is written -----------------------------------------------------------------------------------


def test_same_inputs_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages and index are equal to the byte whatever the folder, the umask, the time and the processors."""
    wheels = tmp_path / "wheels"
    wheel(wheels, "toy", scripts={"toy": "toy:V"})
    # More than one block of the compressor, so that a dependence on its threads would show.
    make_wheel(wheels, "large", "1.0", {"large/data.bin": bytes(range(256)) * 40_000})
    make(tmp_path / "one", wheels)
    before = os.umask(0o077)
    try:
        os.utime(next(wheels.glob("large*")), (0, 0))
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        make(tmp_path / "elsewhere" / "two", wheels)
    finally:
        os.umask(before)
    assert content(tmp_path / "one") == content(tmp_path / "elsewhere" / "two")


def test_python_is_equal_to_the_byte(small_channel: SmallChannel, tmp_path: Path) -> None:
    """The interpreter gives the same package each time, under a name that holds the hash of its content."""
    [made] = make(tmp_path / "channel", python=True).added
    there = small_channel.package("python")
    assert (there.name, there.read_bytes()) == (
        made.file_name,
        (tmp_path / "channel" / made.subdir / made.file_name).read_bytes(),
    )
    assert "libssl.so.3" in made.libraries or not any(one.startswith("libssl") for one in made.libraries)
    assert any(one.startswith("__glibc >=2.") for one in made.depends)


def test_second_make_writes_only_what_is_new(tmp_path: Path) -> None:
    """What lies there is kept untouched, other versions stay, and nothing new means nothing written."""
    folder, wheels = tmp_path / "channel", tmp_path / "wheels"
    first = make(folder, wheel(wheels, version="1.0"))
    old = folder / first.added[0].subdir / first.added[0].file_name
    state = old.stat()
    second = make(folder, wheel(wheels, version="2.0"), tmp_path / "wheels")
    assert (["toy 2.0"], ["toy 1.0"]) == ([one.text for one in second.added], [one.text for one in second.kept])
    assert (state.st_ino, state.st_mtime_ns) == (old.stat().st_ino, old.stat().st_mtime_ns)
    assert ["1.0", "2.0"] == [one.version for one in second.packages]
    index = folder / "noarch" / "repodata.json"
    indexed = index.stat().st_mtime_ns
    third = make(folder, wheels)
    assert ((), indexed) == (third.added, index.stat().st_mtime_ns)


def test_other_content_of_a_version_is_another_build(tmp_path: Path) -> None:
    """A rebuilt wheel of the same version gets the next build number beside the old build, which locks may name."""
    folder = tmp_path / "channel"
    make(folder, wheel(tmp_path / "a"))
    other = make_wheel(tmp_path / "b", "toy", "1.0", {"toy/__init__.py": "V = 'other'\n"})
    [again] = make(folder, other).added
    assert 1 == again.build_number
    builds = {one["build_number"] for one in repodata_of(folder, "noarch").values()}
    assert {0, 1} == builds
    assert () == make(folder, wheel(tmp_path / "a")).added


def test_packages_are_taken_out_on_request(tmp_path: Path) -> None:
    """A version, or all of a name, leaves the folder and the index; an unknown one is refused with the nearest."""
    folder, wheels = tmp_path / "channel", tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        wheel(wheels, version=version)
    wheel(wheels, "other")
    make(folder, wheels)
    done = make(folder, remove=("toy=1.0",))
    assert 1 == len(done.removed)
    assert ["other 1.0", "toy 2.0"] == [one.text for one in done.packages]
    assert {"other", "toy"} == set(records(folder))
    with pytest.raises(NotFound, match="no package toyy") as caught:
        make(folder, remove=("toyy",))
    assert "did you mean toy?" in caught.value.fix
    with pytest.raises(NotFound) as caught:
        make(folder, remove=("toy=1.0",))
    assert "it has toy 2.0" == caught.value.fix


def test_foreign_packages_stay(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A package that somebody put into the folder is indexed and listed like ours."""
    folder = tmp_path / "channel"
    (folder / "noarch").mkdir(parents=True)
    foreign = small_channel.package("greeter")
    (folder / "noarch" / foreign.name).write_bytes(foreign.read_bytes())
    done = make(folder, wheel(tmp_path / "wheels"))
    assert ["greeter 1.0", "toy 1.0"] == [one.text for one in done.packages]
    assert {"greeter", "toy"} == set(records(folder))


def test_lost_memory_costs_only_time(tmp_path: Path) -> None:
    """Without its own notes the channel is made again to the same files."""
    folder = tmp_path / "channel"
    made = wheel(tmp_path / "wheels")
    make(folder, made)
    before = content(folder)
    (folder / ".nbplat" / "channel.json").write_text("{ not json")
    assert 1 == len(make(folder, made).added)
    assert before == content(folder)


def test_truncated_package_is_written_again(tmp_path: Path) -> None:
    """A package whose size is not what was written is made anew."""
    folder = tmp_path / "channel"
    made = wheel(tmp_path / "wheels")
    [one] = make(folder, made).added
    before = content(folder)
    path = folder / one.subdir / one.file_name
    path.write_bytes(path.read_bytes()[:100])
    make(folder, made)
    assert before == content(folder)


def test_damaged_package_that_nobody_asks_for_is_refused(tmp_path: Path) -> None:
    """A damaged package is never indexed: refused with its name until it is asked for again or taken out."""
    folder = tmp_path / "channel"
    [one] = make(folder, wheel(tmp_path / "wheels")).added
    (folder / one.subdir / one.file_name).write_bytes(b"torn")
    error = refused(folder, "env.channel.package", wheel(tmp_path / "more", "other"))
    assert (True, "--remove toy=1.0" in error.fix) == (one.file_name in error.message, True)
    assert ["other"] == [one.name for one in make(folder, remove=("toy",)).packages]


# -- installed distributions ---------------------------------------------------------------------------


def test_installed_distributions_come_with_what_they_need(site: Path, tmp_path: Path) -> None:
    """A name brings its needs, extras of needs included; markers that do not hold bring nothing."""
    folder = tmp_path / "channel"
    done = make(folder, interpreter=str(site), installed=("tool",))
    assert ["helper", "plain", "quick", "tool"] == [one.name for one in done.packages]
    assert () == done.notes
    found = records(folder)
    assert ["helper >=1.0,<3", "python"] == sorted(found["plain"]["depends"])  # type: ignore[call-overload]
    assert ["helper", "plain", "python", "quick 1.*"] == sorted(found["tool"]["depends"])  # type: ignore[call-overload]
    assert ["pkg:pypi/tool@3.1"] == found["tool"]["purls"]
    assert "Apache-2.0" == found["tool"]["license"]


def test_installed_distribution_works_from_the_channel(site: Path, small_channel: SmallChannel, tmp_path: Path) -> None:
    """Entry points, scripts, data and headers of an installed distribution land and run where it is installed."""
    small = small_channel.copy(tmp_path / "channel")
    make(small.folder, interpreter=str(site), installed=("tool",))
    prefix = tmp_path / "env"
    installed(small, prefix, "python", "tool")
    assert f"tool in {prefix}\n" == run(prefix / "bin/tool")
    assert f"SHOUT {prefix}\n" == run(prefix / "bin/shout")
    assert "a b c\n" == (prefix / "share/tool/words.txt").read_text()
    assert "#define TOOL 3\n" == (prefix / "include/tool/tool.h").read_text()
    program = (
        "import importlib.metadata as m; d = m.distribution('tool');"
        "print(d.read_text('INSTALLER').strip(), [f.name for f in d.files if not f.locate().exists()],"
        "sorted(f.name for f in d.files if '..' in f.parts))"
    )
    assert "conda [] ['shout', 'tool', 'tool.h', 'words.txt']\n" == run(prefix / "bin/python", "-c", program)
    nowhere = [
        one for one in prefix.rglob("*") if one.is_file() and str(site.parent.parent).encode() in one.read_bytes()
    ]
    assert [] == nowhere


def test_needs_that_are_not_there_are_named(site: Path, tmp_path: Path) -> None:
    """A need that is neither installed nor among the wheels is named; on request it is left out of the package."""
    done = make(tmp_path / "one", interpreter=str(site), installed=("needy",))
    assert any(note.startswith("uninstalled, which needy needs, is not in this channel") for note in done.notes)
    done = make(tmp_path / "two", interpreter=str(site), installed=("needy",), without=("uninstalled",))
    assert () == done.notes
    assert ["python"] == records(tmp_path / "two")["needy"]["depends"]


def test_requirements_choose_among_wheels_and_installed(site: Path, tmp_path: Path) -> None:
    """A requirements file takes what it names with its needs: wheels first, the rest from what is installed."""
    wheels = tmp_path / "wheels"
    wheel(wheels, "helper", "2.5", requires=["quick==1.*; extra == 'fast'"])
    wheel(wheels, "helper", "9.0")
    wheel(wheels, "unasked")
    file = tmp_path / "requirements.txt"
    (tmp_path / "more.txt").write_text("quick  # a comment\n")
    file.write_text("-r more.txt\n\nhelper<3,\\\n  >=2\nwinonly; sys_platform == 'win32'\nplain\n")
    done = make(tmp_path / "channel", wheels, interpreter=str(site), requirements=str(file))
    assert ["helper 2.5", "plain 1.0", "quick 1.5"] == [one.text for one in done.packages]


# -- refused, before anything is written ------------------------------------------------------------------


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Path]:
    """A folder for a channel that must not come to be."""
    yield tmp_path / "channel"
    assert not (tmp_path / "channel").exists()


def refused(folder: Path, code: str, *wheels: Path, **asked: object) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        make(folder, *wheels, **asked)
    assert code == caught.value.code
    return caught.value


def _venv_with(site: Path, name: str, into: Path) -> tuple[Path, Path]:
    """A copy of the environment that a test may break, and the .dist-info of one distribution."""
    import shutil

    venv = into / "venv"
    shutil.copytree(site.parent.parent, venv, symlinks=True)
    [info] = venv.glob(f"lib/*/site-packages/{name}-*.dist-info")
    return venv / "bin" / "python", info


def test_editable_installs_are_refused(site: Path, tmp_path: Path, untouched: Path) -> None:
    """An editable install is a pointer: refused with the command that builds its wheel."""
    python, info = _venv_with(site, "quick", tmp_path)
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///src/quick", "dir_info": {"editable": True}}))
    error = refused(untouched, "env.channel.editable", interpreter=str(python), installed=("quick",))
    assert "uv build --wheel /src/quick --out-dir wheels" in error.fix


def _with_bad_requires(info: Path) -> None:
    (info / "METADATA").write_text("Name: quick\nVersion: 1\nRequires-Dist: a b c\n")


def _with_bad_script(info: Path) -> None:
    (info / "entry_points.txt").write_text("[console_scripts]\n../x = a:b\n")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda info: (info / "RECORD").unlink(), "env.channel.record"),
        (lambda info: (info / "METADATA").unlink(), "env.channel.record"),
        (lambda info: (info.parent / "quick" / "__init__.py").unlink(), "env.channel.record"),
        (lambda info: (info / "RECORD").write_text("../../../../../../../etc/hostname,,\n"), "env.channel.record"),
        (lambda info: (info / "WHEEL").write_text("Tag: cp27-cp27m-win32\n"), "env.channel.wheel"),
        (_with_bad_requires, "env.channel.metadata"),
        (_with_bad_script, "env.channel.metadata"),
    ],
    ids=["no-record", "no-metadata", "file-gone", "outside", "other-python", "requires", "entry-point"],
)  # fmt: skip
def test_broken_installs_are_refused(damage: object, code: str, site: Path, tmp_path: Path, untouched: Path) -> None:
    """What is not whole, or not for this Python, is refused by name before anything is written."""
    python, info = _venv_with(site, "quick", tmp_path)
    damage(info)  # type: ignore[operator]
    assert "quick" in refused(untouched, code, interpreter=str(python), installed=("quick",)).message


def test_changed_file_is_refused(site: Path, tmp_path: Path) -> None:
    """A module that was edited after its install is not what its RECORD says: refused, and nothing of it is kept."""
    python, info = _venv_with(site, "quick", tmp_path)
    (info.parent / "quick" / "__init__.py").write_text("V = 'evil'\n")
    error = refused(tmp_path / "channel", "env.channel.changed", interpreter=str(python), installed=("quick",))
    assert "--force-reinstall --no-deps quick" in error.fix
    assert [] == list((tmp_path / "channel").rglob("*.conda"))


def test_unreadable_file_is_refused(site: Path, tmp_path: Path) -> None:
    """A listed file that cannot be read is refused as its distribution's fault, not the channel's."""
    python, info = _venv_with(site, "quick", tmp_path)
    module = info.parent / "quick" / "__init__.py"
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == module:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        error = refused(tmp_path / "channel", "env.channel.record", interpreter=str(python), installed=("quick",))
    assert "quick is not whole: __init__.py cannot be read (permission denied)" == error.message


@pytest.mark.parametrize("tag", ["cp27-cp27m-linux_x86_64", "cp311-cp311-win_amd64", "py3-none-macosx_11_0_arm64"])
def test_wheels_of_others_are_refused(tag: str, tmp_path: Path, untouched: Path) -> None:
    """A wheel for another Python or platform is refused with its tags and how to fetch the right one."""
    error = refused(untouched, "env.channel.wheel", wheel(tmp_path / "wheels", tag=tag))
    assert tag in error.message
    assert "pip download" in error.fix


def _truncated(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-30])
    return path


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "bad-1.0.data/data/../../evil", "bad-1.0.data/odd/evil"])
def test_wheels_that_leave_their_folder_are_refused(name: str, tmp_path: Path, untouched: Path) -> None:
    """Absolute paths, `..` and unknown folders in a wheel are refused."""
    bad = make_wheel(tmp_path / "wheels", "bad", "1.0", {name: "x"})
    with pytest.raises(NbplatError) as caught:
        make(untouched, bad)
    assert caught.value.code in ("env.channel.path", "env.channel.wheel")


def test_damaged_wheels_are_refused(tmp_path: Path, untouched: Path) -> None:
    """A truncated wheel, and a file that is no wheel, are refused by name."""
    error = refused(untouched, "env.channel.wheel", _truncated(wheel(tmp_path / "wheels")))
    assert "toy-1.0-py3-none-any.whl is no whole wheel" in error.message
    misnamed = tmp_path / "misnamed" / "toy.whl"
    misnamed.parent.mkdir()
    misnamed.write_bytes(b"")
    refused(untouched, "env.channel.wheel", misnamed)


def test_unknown_names_are_refused_with_the_nearest(site: Path, untouched: Path) -> None:
    """A distribution that is not installed is refused with the nearest name that is."""
    error = refused(untouched, "env.channel.installed", interpreter=str(site), installed=("helpr",))
    assert "did you mean helper?" in error.fix


def test_other_versions_are_refused_with_the_line(site: Path, tmp_path: Path, untouched: Path) -> None:
    """A version that is not at hand is refused with what is, and the line that asks for it."""
    file = tmp_path / "requirements.txt"
    file.write_text("# ours\nquick\nhelper>=7\n")
    error = refused(untouched, "env.channel.requirement", interpreter=str(site), requirements=str(file))
    assert ("helper>=7 is asked for, and 2.0 is at hand", "requirements.txt, line 3") == (error.message, error.where)


@pytest.mark.parametrize("line", ["--index-url https://example.org", "./folder", "name=1", "numpy >= "])
def test_lines_that_are_no_requirement_are_refused(line: str, tmp_path: Path, untouched: Path) -> None:
    """Options, folders and misspelt requirements are refused with their line."""
    file = tmp_path / "requirements.txt"
    file.write_text(f"# first\n{line}\n")
    error = refused(untouched, "env.channel.requirement", requirements=str(file))
    assert "requirements.txt, line 2" == error.where


def test_hashes_of_requirements_are_held(tmp_path: Path) -> None:
    """A wheel that is none of the files whose hashes are given is refused; the right one is taken."""
    import hashlib

    made = wheel(tmp_path / "wheels")
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    file = tmp_path / "requirements.txt"
    file.write_text(f"toy==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{digest}\n")
    assert 1 == len(make(tmp_path / "channel", made, requirements=str(file)).added)
    file.write_text(f"toy==1.0 --hash=sha256:{'0' * 64}\n")
    refused(tmp_path / "other", "env.channel.hash", made, requirements=str(file))


def test_missing_folders_and_files_are_refused(tmp_path: Path, untouched: Path) -> None:
    """No folder of wheels, an empty one, and no requirements file are each refused by name."""
    (tmp_path / "empty").mkdir()
    assert "no folder of wheels" in refused(untouched, "env.channel.wheels", tmp_path / "none").message
    assert "no wheel in" in refused(untouched, "env.channel.wheels", tmp_path / "empty").message
    refused(untouched, "env.channel.requirement", requirements=str(tmp_path / "none.txt"))


@pytest.mark.parametrize("program", ["/bin/true", "/nonexistent/python"])
def test_interpreters_that_do_not_answer_are_refused(program: str, untouched: Path) -> None:
    """What is no interpreter is refused with how to get one."""
    error = refused(untouched, "env.channel.python", interpreter=program)
    assert "--python /path/to/bin/python" in error.fix


def test_unwritable_folder_is_said(tmp_path: Path) -> None:
    """A channel below a file cannot be written: said in words."""
    (tmp_path / "file").write_text("")
    made = wheel(tmp_path / "wheels")
    with pytest.raises(SetupError) as caught:
        make(tmp_path / "file" / "channel", made)
    assert "env.channel.folder" == caught.value.code


def test_full_disk_is_said_and_leaves_whole_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills, finished packages stay, nothing half-written does, and the same request goes on."""
    import errno

    from nbplat.adapters.conda.channel import conda_file

    folder, wheels = tmp_path / "channel", tmp_path / "wheels"
    wheel(wheels, "early")
    wheel(wheels, "later")
    write = conda_file._zip

    def full(target: Path, *rest: object) -> None:
        if "later" in target.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(target, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(conda_file, "_zip", full)
    with pytest.raises(SetupError) as caught:
        make(folder, wheels)
    assert "env.channel.space" == caught.value.code
    assert ["early-1.0"] == ["-".join(one.name.split("-")[:2]) for one in folder.rglob("*.conda")]
    assert not (folder / ".nbplat" / "tmp").exists()
    monkeypatch.undo()
    assert ["later"] == [one.name for one in make(folder, wheels).added]


def test_progress_counts_packages(tmp_path: Path) -> None:
    """Each package is told before it is written, and the count ends full."""
    told: list[Phase] = []
    wheel(tmp_path / "wheels")
    request = ChannelRequest(tmp_path / "channel", python=False, wheels=(str(tmp_path / "wheels"),))
    make_channel(request, MachineSources(), DiskChannel(request.folder), told.append)
    packed = [(one.done, one.total, one.what) for one in told if one.name == "pack"]
    assert [(0, 1, "toy 1.0"), (1, 1, "")] == packed


def test_two_wheels_of_a_version_agree(tmp_path: Path, untouched: Path) -> None:
    """The same wheel in two folders is one package."""
    import shutil

    made = wheel(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(made, tmp_path / "b")
    done = make(tmp_path / "other", tmp_path / "a", tmp_path / "b")
    assert 1 == len(done.packages)
