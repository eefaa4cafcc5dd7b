"""Environments as a person meets them: shell, cells, Python and HTTP over one service, from an empty folder."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.fixtures.channels import SmallChannel
from tests.fixtures.product import Product, product_folder
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.kernel]

URL = "/api/v1/environments"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """An empty project with a state folder of its own."""
    with product_folder(tmp_path_factory.mktemp("site"), {"limits.lease_seconds": 5}) as product:
        yield product


def cells(*sources: str) -> nbformat.NotebookNode:
    """A notebook of these cells, the extension loaded."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in ("%load_ext nbplat", *sources)])


def shown(notebook: nbformat.NotebookNode) -> str:
    """All text of a notebook's outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def printed(interpreter: str, code: str) -> str:
    return subprocess.run(
        [interpreter, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_from_an_empty_folder_to_a_checked_archive(site: Product, small_channel: SmallChannel) -> None:
    """Declare, lock, build, pack, push, configure, check and run, by the command line alone."""
    site.run("env", "init", "story", "nbplat-marker=7.7.7", "greeter", "--channel", small_channel.url)
    assert "story locked" in site.run("env", "lock").out
    assert "story up to date envs/story.lock" in site.run("env", "lock", "--check").out
    built = site.json("env", "build", "story")
    assert "hard links" in site.run("env", "build", "story").out

    prefix = built["ref"]["prefix"]
    marker = "import nbplat_marker, sys; print(nbplat_marker.__version__, sys.prefix)"
    assert f"7.7.7 {prefix}" == site.run("env", "run", "story", "--", "python", "-c", marker).out.strip()
    assert f"hello from {prefix}" == site.run("env", "run", "story", "--", "greet").out.strip()

    packed = site.run("env", "pack", "story", "--explain").out
    sha256 = re.search(r"sha256 ([0-9a-f]{64})", packed.splitlines()[0])
    assert sha256 is not None
    assert "nbplat-marker" in packed
    pushed = site.json("env", "push", "story", (site.folder / "depot").as_uri())
    uri = pushed["shipped"]["uri"]
    assert sha256[1] in uri
    assert "it was there already" in site.run("env", "push", "story", "depot").out.splitlines()[0]

    conf = site.run("env", "conf", "story", "--for", "standalone", "--at", uri, "--form", "properties").out
    assert re.search(rf"^spark\.archives {re.escape(uri)}#environment$", conf, re.MULTILINE)
    assert "fits" in site.run("env", "check", "story").out
    assert "fits" in site.run("env", "check", "story", "--against", uri).out

    with tarfile.open(site.folder / "depot" / f"{sha256[1]}.tar.gz") as archive:
        archive.extractall(site.folder / "elsewhere", filter="tar")
    python = str(site.folder / "elsewhere" / "bin" / "python")
    assert f"7.7.7 {site.folder / 'elsewhere'}" == printed(python, marker)

    jobs = site.json("job", "list", "--run", "story@1")
    assert {"succeeded"} == {job["state"] for job in jobs}
    assert {f"environment.{verb}" for verb in ("lock", "build", "pack", "push")} == {job["kind"] for job in jobs}
    assert (
        "fetch "
        in site.run("job", "logs", next(job["id"] for job in reversed(jobs) if job["kind"].endswith("build"))).out
    )


def test_an_archive_is_pulled_on_another_machine(site: Product, small_channel: SmallChannel, tmp_path: Path) -> None:
    """A state folder that knows nothing of an environment has it, verified, after one `env pull`."""
    site.run("env", "init", "sent", "nbplat-marker=8.8.8", "--channel", small_channel.url)
    site.run("env", "build", "sent", "--lock")
    uri = site.json("env", "push", "sent", "depot")["shipped"]["uri"]
    with product_folder(tmp_path, {"limits.lease_seconds": 5}) as other:
        archive = site.folder / "depot" / uri.rpartition("/")[2]
        damaged = other.folder / "depot" / archive.name
        damaged.parent.mkdir()
        damaged.write_bytes(archive.read_bytes()[:-1000] + bytes(1000))
        assert "env.hash: " in other.run("env", "pull", str(damaged), "--as", "evil", code=4).err
        assert "evil" not in other.run("env", "list").out

        pulled = other.json("env", "pull", uri)
        version = "import nbplat_marker as m; print(m.__version__)"
        assert "sent" == pulled["ref"]["name"]
        assert "8.8.8" == printed(f"{pulled['ref']['prefix']}/bin/python", version)
        assert "sent" in other.run("env", "list").out


def test_every_surface_means_the_same_environment(site: Product, small_channel: SmallChannel) -> None:
    """A cell, Python, the shell and HTTP lock to one digest and build one key; the second to ask finds it built."""
    text = f"channels: [{small_channel.url}]\ndependencies: [python, nbplat-marker=7.7.7]\n"
    notebook = cells(
        f"%%environment same --out by_cell\n{text}",
        f"""import json, nbplat as nb
same = nb.environment("same", ["python", "nbplat-marker=7.7.7"], channels=["{small_channel.url}"])
by_python = same.build()
print(json.dumps([by_cell.record(), by_python.value.record(), by_python.data["found"]]))""",
        "%environment list",
        "%environment show same",
        "%environment check same",
        "%environment conf same --for local",
    )
    site.execute(notebook)
    by_cell, by_python, found = json.loads(notebook.cells[2].outputs[-1].text)

    (site.folder / "envs").mkdir(exist_ok=True)
    (site.folder / "envs" / "same.yml").write_text(text)
    by_shell = site.json("env", "build", "same", "--lock")["ref"]
    reply = site.client().post(f"{URL}/build", {"text": text, "name": "same", "relock": True})
    by_http = site.client().wait_job(reply["job"]["id"], timeout_s=60)["result"]["ref"]

    assert found
    assert by_cell == by_python == by_shell == by_http
    said = shown(notebook)
    assert "same" in said
    assert "fits" in said
    assert "PYSPARK_PYTHON" in said


def test_a_cell_shows_its_job_and_a_red_error(site: Product, small_channel: SmallChannel) -> None:
    """A cell's output holds the job for the labextension; a mistake in the YAML stops the notebook with its line."""
    text = f"channels: [{small_channel.url}]\ndependencies: [python, greeter]\n"
    notebook = cells(f"%%environment drawn\n{text}")
    site.execute(notebook)
    output: Any = notebook.cells[1].outputs[-1]
    assert ("environment.build", "succeeded") == (
        output["data"]["application/vnd.nbplat.job.v1+json"]["kind"],
        output["data"]["application/vnd.nbplat.job.v1+json"]["state"],
    )
    assert "<script" not in output["data"]["text/html"]

    wrong = cells("%%environment drawn\ndependencies: [python, numpy=>3]\n")
    with pytest.raises(Exception, match=r"env\.spec"):
        site.execute(wrong)
    assert "line 1, column 29" in "\n".join(wrong.cells[1].outputs[-1]["traceback"])


@pytest.mark.parametrize("victim", ["step", "worker", "both"])
def test_a_build_goes_on_after_a_kill(site: Product, small_channel: SmallChannel, victim: str) -> None:
    """After `kill -9` of the step, the worker, or service and worker an environment is built all the same."""
    text = f"name: killed_{victim}\nchannels: [{small_channel.url}]\ndependencies: [python, speller]\n"
    site.run("status")
    reply = site.client().post(f"{URL}/build", {"text": text, "relock": True})
    wait_until(lambda: bool(site.steps()), what="the step")

    site.kill(victim)
    site.run("status")

    job = site.client().wait_job(reply["job"]["id"], timeout_s=90)
    assert "succeeded" == job["state"], job["error"]
    assert "whole" in site.run("env", "verify", f"killed_{victim}").out.splitlines()[0]


def test_the_shell_is_told_what_is_wrong(site: Product, small_channel: SmallChannel) -> None:
    """Exit code and code of the error say whose act it was; nothing half-done stays."""
    site.run("env", "init", "wrong", "nbplat-markr", "--channel", small_channel.url)
    unknown = site.run("env", "lock", "wrong", code=2)
    assert "env.package: " in unknown.err
    assert "nbplat-marker" in unknown.err
    assert not (site.folder / "envs" / "wrong.lock").exists()
    (site.folder / "envs" / "wrong.yml").write_text("dependencies: [a\n")
    assert "wrong.yml, line 2, column 1" in site.run("env", "build", "wrong", code=2).err
    assert "env.unknown: " in site.run("env", "pack", "wrongly", code=2).err
    (site.folder / "envs" / "wrong.yml").unlink()
