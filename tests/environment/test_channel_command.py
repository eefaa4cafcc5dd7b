"""`nbplat env channel`, as a person types it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nbplat.ui.cli import main
from tests.fixtures.channels import SmallChannel
from tests.fixtures.wheels import make_wheel


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with a folder of wheels, and a state folder of its own."""
    make_wheel(tmp_path / "wheels", "toy", "1.0", {"toy.py": ""})
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NBPLAT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NBPLAT_HOME", str(tmp_path / "home"))
    return tmp_path


def test_make_says_what_was_written_and_how_it_is_used(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of figures, the packages written, and the line for a declaration; again, nothing is written."""
    words = ["env", "channel", "make", "./channel", "--no-python", "--wheels", "wheels"]
    assert 0 == main(words)
    first, *rest = capsys.readouterr().out.splitlines()
    assert "1 package" in first
    assert "1 written, 0 there already" in first
    assert any(line.split()[:3] == ["written", "toy", "1.0"] for line in rest)
    assert any("channels: [../channel]" in line for line in rest)
    assert 0 == main([*words, "--json"])
    record = json.loads(capsys.readouterr().out)
    assert ([], ["toy"], 1) == (record["added"], [one["name"] for one in record["kept"]], record["packages"])


def test_python_makes_the_same(project: Path) -> None:
    """`nb.Environment.channel` gives the report of the same channel."""
    import nbplat as nb

    done = nb.Environment.channel("channel", wheels=["wheels"], python=False)
    assert [("toy", "1.0")] == [(one.name, one.version) for one in done.value.packages]
    assert str(project / "channel") == done.value.folder


def test_verify_says_sound_or_what_is_wrong(
    project: Path, small_channel: SmallChannel, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sound channel is one line; a damaged one is an error that lists each fault, with the exit code of bad data."""
    channel = small_channel.copy(project / "channel")
    never = ["--remove", "needs-cuda", "--remove", "needs-new-glibc"]
    assert 0 == main(["env", "channel", "make", "channel", "--no-python", *never])
    assert 0 == main(["env", "channel", "verify", "channel"])
    assert "is sound" in capsys.readouterr().out
    channel.package("greeter").write_bytes(b"torn")
    assert 4 == main(["env", "channel", "verify", "channel"])
    error = capsys.readouterr().err
    assert "env.channel.unsound: 2 faults in the channel:" in error
    assert f"noarch/{channel.package('greeter').name}: it is not the file of the repodata" in error


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["verify", "channel", "--wheels", "wheels"], "usage.arguments"),
        (["verify", "channel"], "env.channel.folder"),
        (["make", "channel", "--installed", "no-such-thing"], "env.channel.installed"),
        (["make", "channel", "--wheels", "nowhere"], "env.channel.wheels"),
        (["bake", "channel"], "usage.arguments"),
    ],
)
def test_refusals_are_the_requests(
    words: list[str], code: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong words end with exit code 2 and leave no folder behind."""
    assert 2 == main(["env", "channel", *words])
    assert code in capsys.readouterr().err
    assert not (project / "channel").exists()
