"""The node-cache launcher, run as nodes run it: by sh, with only what a node has."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from nbplat.environment.launcher import SESSION, NodeCache, launcher_name, launcher_text
from nbplat.environment.shipped import Shipped
from nbplat.errors import RequestError
from tests.fixtures.channels import small_channel
from tests.fixtures.http_folder import serve_folder
from tests.fixtures.packed import PackedEnvironment, packed_eight, packed_seven
from tests.fixtures.waiting import wait_until

__all__ = ["packed_eight", "packed_seven", "serve_folder", "small_channel"]

_TELL = "import sys, nbplat_marker; print(sys.prefix, nbplat_marker.__version__)"
_TOOLS = (
    "awk bash cat chmod cp cut curl df dirname du find flock getconf grep gzip id ls mkdir mv realpath rm sed sh "
    "sha256sum sleep tar uname unzip wget zstd"
).split()


class Node:
    """A machine with a cache folder and a folder of programs."""

    def __init__(self, folder: Path, shell: Sequence[str] = ("sh",)) -> None:
        self.cache = folder / "cache"
        self.work = folder / "work"
        self.bin = folder / "bin"
        self.shell = shell
        self.work.mkdir(parents=True)
        self.bin.mkdir()
        self.tools(*_TOOLS)

    def tools(self, *names: str) -> None:
        """These programs and no others."""
        shutil.rmtree(self.bin)
        self.bin.mkdir()
        for name in names:
            if found := shutil.which(name):
                (self.bin / name).symlink_to(found)

    def put(self, text: str) -> Path:
        """Bring a launcher to the working folder, as a session's file."""
        path = self.work / launcher_name(text)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def command(self, launcher: Path, *words: str) -> list[str]:
        return [*self.shell, f"./{launcher.name}", *words]

    def environ(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "NBPLAT_NODE_CACHE": str(self.cache), **more}

    def start(self, launcher: Path, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(launcher, *words),
            cwd=self.work,
            env=self.environ(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, launcher: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(launcher, *words, **more)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def tell(self, launcher: Path, **more: str) -> str:
        """Which environment a start runs in."""
        done = self.run(launcher, "-c", _TELL, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def left(self) -> list[str]:
        """What lies in the cache besides locks and marks of use."""
        return sorted(one.name for one in self.cache.iterdir() if one.suffix not in (".lock", ".used"))


@pytest.fixture(params=["flock", "no flock"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    """Nodes with a program for locks and without one."""
    made = Node(tmp_path)
    if request.param == "no flock":
        made.tools(*(name for name in _TOOLS if name != "flock"))
    return made


@pytest.fixture
def plain(tmp_path: Path) -> Node:
    """A node with sh and flock."""
    return Node(tmp_path)


def text_of(environment: PackedEnvironment, cache: NodeCache | None = None, **more: object) -> str:
    return launcher_text(environment.shipped(), {**environment.manifest, **more}, cache)


@pytest.mark.parametrize("shell", ["sh", "bash --posix"])
def test_the_first_start_unpacks_and_later_ones_only_run(
    node: Node, packed_seven: PackedEnvironment, shell: str
) -> None:
    """A start fetches, verifies, unpacks and relocates once; the next runs the same folder without the archive."""
    node.shell = shell.split()
    launcher = node.put(text_of(packed_seven))
    home = node.cache / packed_seven.home

    first = node.run(launcher, "-c", _TELL)
    gone = launcher_text(packed_seven.shipped("file:///nowhere/at/all.tar.gz"), packed_seven.manifest)
    second = node.run(node.put(gone), "-c", _TELL)

    assert f"{home} 7.7.7\n" == first.stdout, first.stderr
    assert f"nbplat: unpacked marker-7 into {home}\n" == first.stderr
    assert (f"{home} 7.7.7\n", "") == (second.stdout, second.stderr)
    assert (
        f"root={home}\n"
        == subprocess.run([home / "bin/prefixdemo"], capture_output=True, text=True).stdout.split("conf\n")[1]
    )
    assert f"hello from {home}\n" == subprocess.run([home / "bin/greet"], capture_output=True, text=True).stdout
    assert [packed_seven.home] == [name for name in node.left() if ".use." not in name]


def test_arguments_status_and_environment_reach_python(plain: Node, packed_seven: PackedEnvironment) -> None:
    """Words with spaces, the exit status and PYTHONPATH pass through; a user's own site-packages do not."""
    launcher = plain.put(text_of(packed_seven))
    program = "import os, sys; print(sys.argv[1:], os.environ['PYTHONPATH'], sys.flags.no_user_site); sys.exit(7)"

    done = plain.run(launcher, "-c", program, "a b", "$c", PYTHONPATH="/x.zip", PYTHONHOME="/wrong")

    assert (7, "['a b', '$c'] /x.zip 1\n") == (done.returncode, done.stdout)


def test_many_starts_at_once_unpack_once(node: Node, packed_seven: PackedEnvironment) -> None:
    """Of six starts on a cold node one unpacks, and all run."""
    launcher = node.put(text_of(packed_seven))

    started = [node.start(launcher, "-c", _TELL) for _ in range(6)]
    ended = [one.communicate(timeout=90) for one in started]

    assert {f"{node.cache / packed_seven.home} 7.7.7\n"} == {out for out, _ in ended}
    assert 1 == sum(err.count("unpacked marker-7") for _, err in ended), ended


def test_a_start_that_waited_does_not_wait_for_the_end_of_what_runs(
    plain: Node, packed_seven: PackedEnvironment
) -> None:
    """A start that waits for another one's unpacking goes on when that is done, though its Python runs on."""
    launcher = plain.put(text_of(packed_seven))
    told = plain.tell(launcher)
    home = plain.cache / packed_seven.home
    away = home.rename(home.with_name("away"))
    with (plain.cache / f"{packed_seven.home}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = plain.start(launcher, "-c", _TELL)
        assert waiting.stderr is not None
        assert "waiting for it" in waiting.stderr.readline()
        away.rename(home)
        fcntl.flock(lock, fcntl.LOCK_SH)
        out, err = waiting.communicate(timeout=30)
    assert (0, told) == (waiting.returncode, out), err


@pytest.mark.parametrize("moment", ["unpacking", "relocating"])
def test_a_start_killed_in_the_middle_is_done_again(
    node: Node, packed_seven: PackedEnvironment, moment: str, tmp_path: Path
) -> None:
    """After a kill -9 of the whole group while it unpacks or relocates, the next start makes it whole and sweeps."""
    launcher = node.put(text_of(packed_seven))
    home = node.cache / packed_seven.home
    _hold(node, "tar" if moment == "unpacking" else "mv", tmp_path / "held")
    process = node.start(launcher, "-c", _TELL)
    wait_until((tmp_path / "held").exists, what="the start to be in the middle")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert not (home / ".nbplat-ready").exists()
    node.tools(*(name for name in _TOOLS if name != "flock" or (node.bin / "flock").exists()))

    assert f"{home} 7.7.7\n" == node.tell(launcher)
    assert [packed_seven.home] == [name for name in node.left() if ".use." not in name]


def _hold(node: Node, program: str, mark: Path) -> None:
    """Have a program do its work, say so and hang."""
    real = (node.bin / program).readlink()
    (node.bin / program).unlink()
    (node.bin / program).write_text(f'#!/bin/sh\n{real} "$@"\n: >{mark}\nexec sleep 600\n')
    (node.bin / program).chmod(0o755)


def test_a_damaged_archive_is_refused_and_nothing_is_kept(plain: Node, packed_seven: PackedEnvironment) -> None:
    """An archive with one byte changed is named with both hashes, and no folder is left."""
    data = bytearray(packed_seven.pack.archive.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = plain.work / "damaged.tar.gz"
    damaged.write_bytes(data)
    launcher = plain.put(launcher_text(packed_seven.shipped(damaged.as_uri()), packed_seven.manifest))

    done = plain.run(launcher, "-c", _TELL)

    found = hashlib.sha256(data).hexdigest()
    assert (94, "") == (done.returncode, done.stdout)
    assert "nbplat: env.hash: " in done.stderr
    assert found[:16] in done.stderr
    assert packed_seven.pack.sha256[:16] in done.stderr
    assert [] == plain.left()


def test_an_archive_sent_with_the_session_is_taken_from_beside(plain: Node, packed_seven: PackedEnvironment) -> None:
    """With --fetch session the archive lies in the working folder, and no address is in the script."""
    text = text_of(packed_seven, NodeCache(fetch=SESSION))
    launcher = plain.put(text)
    assert str(packed_seven.pack.archive) not in text
    missing = plain.run(launcher, "-c", _TELL)
    shutil.copy(packed_seven.pack.archive, plain.work)

    assert 93 == missing.returncode
    assert "--fetch session" in missing.stderr
    assert "7.7.7" in plain.tell(launcher)


def test_an_own_command_fetches(plain: Node, packed_seven: PackedEnvironment) -> None:
    """--fetch COMMAND is run with the URI and the file to make; what it prints never reaches standard output."""
    folder = packed_seven.pack.archive.parent
    command = f'echo fetching; cp "{folder}/${{NBPLAT_URI##*/}}" "$NBPLAT_FILE"'
    one = packed_seven.shipped(f"odd://place/{packed_seven.pack.sha256}.tar.gz")
    launcher = plain.put(launcher_text(one, packed_seven.manifest, NodeCache(fetch=command)))

    done = plain.run(launcher, "-c", _TELL)

    assert f"{plain.cache / packed_seven.home} 7.7.7\n" == done.stdout
    assert "fetching" in done.stderr


@pytest.mark.parametrize("client", ["curl", "wget"])
def test_an_archive_is_fetched_by_http(
    plain: Node, packed_seven: PackedEnvironment, client: str, serve_folder: Callable[[Path], str]
) -> None:
    """http:// is read by curl, or by wget where there is no curl."""
    plain.tools(*(name for name in _TOOLS if name not in ("curl", "wget") or name == client))
    archive = packed_seven.pack.archive
    one = packed_seven.shipped(f"{serve_folder(archive.parent)}/{archive.name}")

    assert "7.7.7" in plain.tell(plain.put(launcher_text(one, packed_seven.manifest)))


@pytest.mark.parametrize(
    ("uri", "status", "words"),
    [
        ("file:///nowhere/x.tar.gz", 92, "/nowhere/x.tar.gz"),
        ("http://127.0.0.1:9/x.tar.gz", 92, "curl failed for http://127.0.0.1:9/x.tar.gz"),
        ("s3://bucket/x.tar.gz", 93, "no aws to fetch s3://bucket/x.tar.gz"),
        ("hdfs://name/x.tar.gz", 93, "no hdfs to fetch"),
    ],
)
def test_what_cannot_be_fetched_is_named_with_the_mend(
    plain: Node, packed_seven: PackedEnvironment, uri: str, status: int, words: str
) -> None:
    """A missing file, a dead server or a missing client end with a status of their own and --fetch session."""
    done = plain.run(plain.put(launcher_text(packed_seven.shipped(uri), packed_seven.manifest)), "-c", _TELL)

    assert status == done.returncode, done.stderr
    assert words in done.stderr
    assert "--fetch session" in done.stderr
    assert [] == plain.left()


def test_without_a_cache_folder_that_can_be_written_the_mend_is_named(
    plain: Node, packed_seven: PackedEnvironment
) -> None:
    """A cache folder that cannot be made says so and names NBPLAT_NODE_CACHE."""
    plain.cache.write_text("a file where the folder should be")

    done = plain.run(plain.put(text_of(packed_seven)), "-c", _TELL)

    assert 91 == done.returncode
    assert f"nbplat: env.node_cache: the folder {plain.cache} cannot be made" in done.stderr
    assert "set NBPLAT_NODE_CACHE" in done.stderr


def test_a_disk_that_is_too_small_is_refused_before_the_archive_is_fetched(
    plain: Node, packed_seven: PackedEnvironment
) -> None:
    """The unpacked size of the manifest is held against the free space first."""
    launcher = plain.put(text_of(packed_seven, bytes=1 << 60))

    done = plain.run(launcher, "-c", _TELL)

    assert 95 == done.returncode
    assert "disk.full" in done.stderr
    assert [] == plain.left()


def test_an_environment_for_another_machine_is_named(
    plain: Node, packed_seven: PackedEnvironment, tmp_path: Path
) -> None:
    """A Python that does not start on the node is named with the platform it was built for."""
    folder = tmp_path / "alien"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_bytes(b"\x7fELF" + b"\0" * 60)
    (folder / "bin" / "python").chmod(0o755)
    archive = tmp_path / "alien.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", folder, "bin"], check=True)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    one = Shipped(archive.as_uri(), sha256, archive.stat().st_size, "tar.gz", name="alien")
    launcher = plain.put(launcher_text(one, {"platform": "linux-ppc64le"}))

    done = plain.run(launcher, "-c", "1")

    assert 96 == done.returncode
    assert "env.node_start: the Python of alien (linux-ppc64le) does not start on this node (Linux" in done.stderr
    assert not (plain.cache / sha256[:32] / ".nbplat-ready").exists()


@pytest.fixture
def filled(node: Node, packed_seven: PackedEnvironment, packed_eight: PackedEnvironment) -> tuple[Node, Path, Path]:
    """A node on which marker-7 is unpacked and was used long ago; its folder, and that of marker-8."""
    node.tell(node.put(text_of(packed_seven)))
    for mark in node.cache.glob("*.use.*"):
        mark.unlink()
    seven, eight = (node.cache / one.home for one in (packed_seven, packed_eight))
    long_ago = time.time() - 40 * 86400
    os.utime(f"{seven}.used", (long_ago, long_ago))
    return node, seven, eight


def test_what_was_not_used_for_long_is_removed_by_the_next_unpack(
    filled: tuple[Node, Path, Path], packed_eight: PackedEnvironment
) -> None:
    """An environment whose last start is older than keep_days goes; the one just unpacked stays."""
    node, seven, eight = filled

    done = node.run(node.put(text_of(packed_eight, NodeCache(keep_days=30))), "-c", _TELL)

    assert f"{eight} 8.8.8\n" == done.stdout
    assert f"removed {seven.name}" in done.stderr
    assert not seven.exists()


def test_what_is_too_much_is_removed_oldest_first(
    filled: tuple[Node, Path, Path], packed_eight: PackedEnvironment
) -> None:
    """Above keep_bytes the one used longest ago goes."""
    node, seven, eight = filled
    cache = NodeCache(keep_days=1000, keep_bytes=1 << 20)

    assert f"{eight} 8.8.8\n" == node.tell(node.put(text_of(packed_eight, cache)))
    assert not seven.exists()


def test_an_environment_that_runs_is_never_removed(
    filled: tuple[Node, Path, Path], packed_seven: PackedEnvironment, packed_eight: PackedEnvironment
) -> None:
    """While a process runs in it, neither age nor size nor need of room takes it away; afterwards they do."""
    node, seven, eight = filled
    running = node.start(node.put(text_of(packed_seven)), "-c", "print('up', flush=True); import time; time.sleep(600)")
    assert running.stdout is not None
    assert "up\n" == running.stdout.readline()
    long_ago = time.time() - 40 * 86400
    os.utime(f"{seven}.used", (long_ago, long_ago))
    cache = NodeCache(keep_days=1, keep_bytes=0)
    try:
        assert "8.8.8" in node.tell(node.put(text_of(packed_eight, cache)))
        assert (seven / "bin" / "python").exists()
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=20)
    shutil.rmtree(eight)

    assert "8.8.8" in node.tell(node.put(text_of(packed_eight, cache)))
    assert not seven.exists()


def test_what_somebody_else_put_into_the_cache_is_not_run(plain: Node, packed_seven: PackedEnvironment) -> None:
    """A ready environment that belongs to another user is refused."""
    if os.getuid() != 0:
        pytest.skip("needs to give files away")
    launcher = plain.put(text_of(packed_seven))
    plain.tell(launcher)
    os.chown(plain.cache / packed_seven.home, 12345, 12345)

    done = plain.run(launcher, "-c", _TELL)

    assert (91, "") == (done.returncode, done.stdout)
    assert "belongs to somebody else" in done.stderr


@pytest.mark.parametrize("format", ["zip", "tar.zst"])
def test_other_formats_are_unpacked_with_what_the_node_has(
    plain: Node, packed_seven: PackedEnvironment, format: str
) -> None:
    """zip goes by unzip and tar.zst by zstd; without the program the message names it."""
    made = packed_seven.packed_as(format)
    one = Shipped(made.archive.as_uri(), made.sha256, made.size, format, name="other")
    launcher = plain.put(launcher_text(one, packed_seven.manifest))
    program = "unzip" if format == "zip" else "zstd"
    (plain.bin / program).rename(plain.bin / "away")

    without = plain.run(launcher, "-c", _TELL)
    (plain.bin / "away").rename(plain.bin / program)

    assert (93, True) == (without.returncode, f"no {program}" in without.stderr)
    assert f"{plain.cache / one.sha256[:32]} 7.7.7\n" == plain.tell(launcher)


@pytest.mark.parametrize("cache", [NodeCache(folder="relative"), NodeCache(keep_days=-1), NodeCache(keep_bytes=-1)])
def test_a_cache_that_cannot_be_is_refused(packed_seven: PackedEnvironment, cache: NodeCache) -> None:
    """A relative folder and negative limits are refused before a script is written."""
    with pytest.raises(RequestError) as caught:
        text_of(packed_seven, cache)
    assert "env.node_cache" == caught.value.code


def test_values_with_quotes_stay_values(plain: Node, packed_seven: PackedEnvironment) -> None:
    """A name or path with quotes, spaces and dollar signs is data in the script, never a command."""
    manifest: Mapping[str, object] = packed_seven.manifest
    odd = plain.work / "a '$(touch pwned)' b"
    odd.mkdir()
    archive = odd / packed_seven.pack.archive.name
    shutil.copy(packed_seven.pack.archive, archive)
    one = Shipped(
        archive.as_uri(), packed_seven.pack.sha256, packed_seven.pack.size, "tar.gz", name="x'; touch pwned; '"
    )

    plain.tell(plain.put(launcher_text(one, manifest)))

    assert not list(plain.work.glob("pwned"))
