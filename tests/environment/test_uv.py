"""The pip part by uv: chosen files for each platform, exact installs, local wheels; wheels of the tests, no network."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import venv
from pathlib import Path

import psutil
import pytest

from nbplat.adapters.uv.platforms import target_of
from nbplat.adapters.uv.program import UvPip
from nbplat.adapters.uv.pylock import packages_of
from nbplat.adapters.uv.run import run_uv
from nbplat.environment.lock_record import CondaPackage, PipPackage
from nbplat.environment.ports import Phase
from nbplat.environment.virtual import needed_by_wheels
from nbplat.errors import DataError, NbplatError, RemoteError, RequestError
from tests.fixtures.http_channel import served_folder
from tests.fixtures.waiting import wait_until
from tests.fixtures.wheels import make_wheel


def ignore(phase: Phase) -> None:
    """Nobody looks."""


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that uv knows."""
    folder = tmp_path / "wheels"
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    (tmp_path / "empty-index").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "empty-index").as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_CONSTRAINT", "/nowhere/that/would/fail.txt")
    make_wheel(folder, "pip-demo", "1.0", {"pip_demo.py": "VERSION = '1.0'\n"}, scripts={"pip-demo": "pip_demo:print"})
    return folder


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter of an environment of its own."""
    venv.EnvBuilder(symlinks=True).create(tmp_path / "prefix")
    return tmp_path / "prefix" / "bin" / "python"


def conda(name: str, version: str, *depends: str) -> CondaPackage:
    return CondaPackage(
        name,
        version,
        "py_0",
        0,
        "c",
        "noarch",
        f"{name}-{version}-py_0.conda",
        "ab" * 32,
        depends=depends or ("python",),
    )


def resolve(*requirements: str, platform: str = "linux-64", **more: object) -> tuple[PipPackage, ...]:
    return UvPip().resolve(
        requirements,
        more.pop("conda", ()),  # type: ignore[arg-type]
        str(more.pop("python", "3.11.7")),
        platform,
        offline=True,
        say=ignore,
        **more,  # type: ignore[arg-type]
    )


def sha256(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize(
    ("platform", "virtual", "file"),
    [
        ("linux-64", {"__glibc": "2.28"}, "fast-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"),
        ("linux-64", {"__glibc": "2.17"}, "fast-1.0-cp311-cp311-manylinux2014_x86_64.whl"),
        ("linux-aarch64", {}, "fast-1.0-py3-none-any.whl"),
        ("osx-arm64", {"__osx": "13.0"}, "fast-1.0-cp311-cp311-macosx_11_0_arm64.whl"),
        ("win-64", {}, "fast-1.0-py3-none-any.whl"),
    ],
)
def test_file_is_chosen_for_the_platform(wheels: Path, platform: str, virtual: dict[str, str], file: str) -> None:
    """For each platform the one file that is installed there is locked, and no other hash."""
    for tag in (
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux2014_x86_64",
        "cp311-cp311-macosx_11_0_arm64",
    ):
        make_wheel(wheels, "fast", "1.0", {"fast.py": tag}, tag=tag)
    make_wheel(wheels, "fast", "1.0", {"fast.py": ""})

    [found] = resolve("fast", platform=platform, virtual=virtual)

    assert (file, (sha256(wheels / file),)) == (found.file, found.hashes)


def test_wheels_tell_what_they_need() -> None:
    """The tags of chosen wheels raise what a machine must offer, the least of several tags."""
    files = [
        "a-1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "b-1-py3-none-any.whl",
        "c-1-cp311-cp311-macosx_11_0_arm64.whl",
    ]

    assert {"__cuda": "12", "__glibc": "2.27", "__osx": "11.0"} == needed_by_wheels(
        files, {"__glibc": "2.17", "__cuda": "12"}
    )


def test_platform_without_wheels_is_refused(wheels: Path) -> None:
    """A platform that wheels cannot be chosen for is refused by name."""
    with pytest.raises(RequestError, match=r"env.platform: the pip: part cannot be resolved for linux-s390x"):
        resolve("pip-demo", platform="linux-s390x")


def test_relative_folder_of_wheels_starts_here(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative UV_FIND_LINKS is a folder below the working folder."""
    monkeypatch.chdir(wheels.parent)
    monkeypatch.setenv("UV_FIND_LINKS", "./wheels")

    assert ["pip-demo"] == [one.name for one in resolve("pip-demo")]


def test_conda_packages_of_other_names_count(wheels: Path) -> None:
    """What conda calls otherwise is known by its name on the index; a C library is not."""
    make_wheel(wheels, "torch", "2.0", {"torch.py": ""})
    make_wheel(wheels, "uses-torch", "1.0", {"uses_torch.py": ""}, requires=["torch", "graphviz"])
    make_wheel(wheels, "graphviz", "0.20", {"graphviz.py": ""})
    libc = conda("graphviz", "9.0", "libexpat")

    found = resolve("uses-torch", conda=(conda("pytorch", "2.1"), libc))

    assert ["graphviz", "uses-torch"] == [one.name for one in found]
    error = _refused("torch==2.0", conda=(conda("pytorch", "2.1"),))
    assert "'torch==2.0' asks for torch 2.0, and conda installs torch 2.1" in error.message


def test_conda_versions_that_python_does_not_know_are_left_out(wheels: Path) -> None:
    """A conda version that is none for Python's rules does not break the rest."""
    assert ["pip-demo"] == [one.name for one in resolve("pip-demo", conda=(conda("odd", "2024a_x"),))]


def test_missing_package_offline_and_online(wheels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package that the index has not is told from an index that is not there."""
    (tmp_path / "simple").mkdir()
    with served_folder(tmp_path) as served:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{served.url}/simple")
        error = _online("nothing-here")
        assert ("env.package", "the Python index has no package 'nothing-here'") == (error.code, error.message)
        served.wants = "Bearer x"
        assert "UV_INDEX_<NAME>_USERNAME" in _online("nothing-else").fix
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:s3cret@127.0.0.1:9/simple")
    error = _online("nothing-here")
    assert isinstance(error, RemoteError)
    assert "Connection refused" in error.message
    assert "UV_FIND_LINKS" in error.fix
    assert "s3cret" not in str(error)


def test_exactly_the_locked_file_is_installed(wheels: Path, python: Path) -> None:
    """What is locked is installed with its scripts, told as it goes, and nothing of this machine stands in it."""
    locked = resolve("pip-demo")
    told: list[Phase] = []

    UvPip().install(locked, python, offline=True, say=told.append)

    out = subprocess.run([python, "-c", "import pip_demo; print(pip_demo.VERSION)"], capture_output=True, check=True)
    assert b"1.0" == out.stdout.strip()
    assert Phase("pip", 1, 1, "package") == told[-1]
    assert (python.parent / "pip-demo").is_file()
    assert [] == _machine_paths(python)


def test_other_bytes_under_the_same_name_are_refused(
    wheels: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel that is not the one of the lock is refused by name, and nothing is installed."""
    locked = resolve("pip-demo")
    make_wheel(wheels, "pip-demo", "1.0", {"pip_demo.py": "VERSION = 'evil'\n"})
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another"))

    with pytest.raises(DataError) as caught:
        UvPip().install(locked, python, offline=True, say=ignore)

    assert "env.hash" == caught.value.code
    assert "pip-demo" in caught.value.message
    assert [] == list(python.parent.parent.glob("lib/*/site-packages/pip_demo*"))


@pytest.mark.parametrize("over_http", [False, True])
def test_locked_file_is_taken_though_a_better_one_is_there(
    wheels: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over_http: bool
) -> None:
    """A file that was chosen for older machines is installed here too, from a folder and from an index."""
    page = []
    for tag in ("cp311-cp311-manylinux_2_34_x86_64", "cp311-cp311-manylinux_2_17_x86_64", "py3-none-any"):
        wheel = make_wheel(wheels, "fast", "1.0", {"fast.py": f"TAG = {tag!r}\n"}, tag=tag)
        page.append(f'<a href="/wheels/{wheel.name}#{sha256(wheel).replace(":", "=")}">{wheel.name}</a>')
    (tmp_path / "simple" / "fast").mkdir(parents=True)
    (tmp_path / "simple" / "fast" / "index.html").write_text("".join(page))
    with served_folder(tmp_path) as served:
        if over_http:
            monkeypatch.delenv("UV_FIND_LINKS")
            monkeypatch.setenv("UV_DEFAULT_INDEX", f"{served.url}/simple")
        virtual = {"__glibc": "2.17"}
        locked = UvPip().resolve(["fast"], (), "3.11.7", "linux-64", offline=False, virtual=virtual, say=ignore)
        UvPip().install(locked, python, offline=False, say=ignore)

    assert "fast-1.0-cp311-cp311-manylinux_2_17_x86_64.whl" == locked[0].file
    out = subprocess.run([python, "-c", "import fast; print(fast.TAG)"], capture_output=True, check=True)
    assert b"cp311-cp311-manylinux_2_17_x86_64" == out.stdout.strip()


def test_changed_cache_is_refused(wheels: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was changed in uv's cache after the wheel's hash was checked is refused by name."""
    wheel = wheels / "pip_demo-1.0-py3-none-any.whl"
    (tmp_path / "simple" / "pip-demo").mkdir(parents=True)
    link = f'<a href="/wheels/{wheel.name}#{sha256(wheel).replace(":", "=")}">{wheel.name}</a>'
    (tmp_path / "simple" / "pip-demo" / "index.html").write_text(link)
    monkeypatch.delenv("UV_FIND_LINKS")
    with served_folder(tmp_path) as served:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{served.url}/simple")
        locked = UvPip().resolve(["pip-demo"], (), "3.11.7", "linux-64", offline=False, say=ignore)
        UvPip().install(locked, python, offline=False, say=ignore)
        for cached in (tmp_path / "uv").rglob("pip_demo.py"):
            cached.write_text("VERSION = 'evil'\n")
        venv.EnvBuilder(symlinks=True).create(tmp_path / "second")

        with pytest.raises(DataError, match=r"env.hash: pip_demo.py of pip-demo 1.0 is not what its wheel has"):
            UvPip().install(locked, tmp_path / "second" / "bin" / "python", offline=False, say=ignore)


def test_install_over_condas_files_is_refused(wheels: Path, python: Path) -> None:
    """What conda has in another version is never overwritten, even where the lock did not know its name."""
    [locked] = resolve("pip-demo")
    [site] = python.parent.parent.glob("lib/*/site-packages")
    (site / "pip_demo-0.9.dist-info").mkdir()

    with pytest.raises(RequestError, match=r"env.clobber: conda installed pip-demo 0.9"):
        UvPip().install([locked], python, offline=True, say=ignore)


def test_local_wheel_is_installed_without_its_place(wheels: Path, python: Path, tmp_path: Path) -> None:
    """A local wheel is installed by name; where it lay is not written into the environment, and another build of the
    same version takes its place."""
    for text in ("old", "new"):
        wheel = make_wheel(
            tmp_path / "built", "ranker", "1.0", {"ranker.py": f"TEXT = '{text}'\n"}, requires=["absent"]
        )
        UvPip().install_wheels([wheel], python, say=ignore)

        out = subprocess.run([python, "-c", "import ranker; print(ranker.TEXT)"], capture_output=True, check=True)
        assert text.encode() == out.stdout.strip()
    assert [] == _machine_paths(python)


def test_source_is_built_to_a_wheel(wheels: Path, tmp_path: Path) -> None:
    """A source folder is built to a wheel by its own backend; two builds are the same bytes."""
    source = _project(tmp_path / "ranker")

    first = UvPip().wheel(source, tmp_path / "one", offline=True, say=ignore)
    second = UvPip().wheel(source, tmp_path / "two", offline=True, say=ignore)

    assert "ranker-0.1-py3-none-any.whl" == first.name
    assert first.read_bytes() == second.read_bytes()


def test_source_that_does_not_build_says_its_last_words(wheels: Path, tmp_path: Path) -> None:
    """A build that fails is refused with what it said."""
    source = _project(tmp_path / "ranker")
    (source / "backend.py").write_text("raise SystemExit('the compiler is on holiday')\n")

    with pytest.raises(RequestError) as caught:
        UvPip().wheel(source, tmp_path / "out", offline=True, say=ignore)

    assert ("env.local", str(source)) == (caught.value.code, caught.value.where)
    assert "the compiler is on holiday" in caught.value.message


def test_index_without_hashes_is_refused() -> None:
    """A package without a SHA-256 cannot be locked."""
    text = '[[packages]]\nname = "six"\nversion = "1.0"\nwheels = [{ url = "https://h/six-1.0-py3-none-any.whl" }]\n'

    with pytest.raises(DataError, match=r"env.hash: the index gives no SHA-256 for six-1.0"):
        packages_of(text, "3.11.7", target_of("linux-64", {}), without=())


def test_source_archive_is_locked_where_there_is_no_wheel() -> None:
    """A package that only has a source archive is locked by that; a package from elsewhere is refused."""
    sdist = f'sdist = {{ url = "https://h/six-1.0.tar.gz", hashes = {{ sha256 = "{"ab" * 32}" }} }}'
    text = f'[[packages]]\nname = "six"\nversion = "1.0"\n{sdist}\n'

    [found] = packages_of(text, "3.11.7", target_of("linux-64", {}), without=())

    assert ("six-1.0.tar.gz", (f"sha256:{'ab' * 32}",)) == (found.file, found.hashes)
    with pytest.raises(RequestError, match=r"env.package: six does not come from an index"):
        packages_of(
            '[[packages]]\nname = "six"\nvcs = {type = "git"}\n', "3.11.7", target_of("linux-64", {}), without=()
        )


@pytest.mark.process
def test_uv_ends_with_its_killed_caller(tmp_path: Path) -> None:
    """A caller killed with SIGKILL takes a running uv along."""
    backend = _project(tmp_path / "ranker") / "backend.py"
    mark = tmp_path / "pid"
    backend.write_text(f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getppid()))\ntime.sleep(120)\n")
    code = (
        "from pathlib import Path\nfrom nbplat.adapters.uv.program import UvPip\n"
        f"UvPip().wheel(Path({str(tmp_path / 'ranker')!r}), Path({str(tmp_path / 'out')!r}), offline=True, "
        "say=lambda phase: None)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code])
    try:
        uv = psutil.Process(int(wait_until(lambda: mark.exists() and mark.read_text(), what="the build")))
    finally:
        caller.kill()
        caller.wait()

    wait_until(lambda: not uv.is_running() or uv.status() == psutil.STATUS_ZOMBIE, what="the end of uv")


def test_uv_ends_when_its_listener_gives_up(tmp_path: Path) -> None:
    """What the listener raises ends uv and is raised on."""

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_uv(["no-such-command"], folder=tmp_path, heard=stop)

    assert not [thread for thread in threading.enumerate() if thread.name == "uv"]


def _refused(*requirements: str, **more: object) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        resolve(*requirements, **more)  # type: ignore[arg-type]
    return caught.value


def _online(requirement: str) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        UvPip().resolve([requirement], (), "3.11.7", "linux-64", offline=False, say=ignore)
    return caught.value


def _project(folder: Path) -> Path:
    """A package with a build backend of its own: nothing is fetched for it."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "ranker"\nversion = "0.1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(
        "import os, sys, zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'ranker-0.1-py3-none-any.whl'\n"
        "    info = 'ranker-0.1.dist-info'\n"
        "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:\n"
        "        for path, text in {'ranker.py': 'X = 1\\n',\n"
        "            f'{info}/METADATA': 'Metadata-Version: 2.1\\nName: ranker\\nVersion: 0.1\\n',\n"
        "            f'{info}/WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',\n"
        "            f'{info}/RECORD': ''}.items():\n"
        "            wheel.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)\n"
        "    return name\n"
    )
    return folder


def _machine_paths(python: Path) -> list[str]:
    """Files of installed packages that tell where they came from."""
    [site] = python.parent.parent.glob("lib/*/site-packages")
    odd = ("direct_url.json", "uv_cache.json", "uv_build.json")
    return [str(path) for path in site.glob("*.dist-info/*") if path.name in odd]
