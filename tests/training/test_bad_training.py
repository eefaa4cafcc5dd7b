"""What a person gets wrong in a shell, a cell and Python: one answer, the same in all three, and nothing changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from pyiceberg.types import DateType, DoubleType, LongType, StringType

import nbplat as nb
from nbplat.errors import NbplatError
from nbplat.testing.shell import StrictShell, strict_shell
from nbplat.ui.cli import main
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from nbplat.ui.spoken import in_shell
from tests.fixtures.lakehouse import Lake
from tests.training.conftest import DAYS
from tests.training.join_tables import make_table

BAD: list[tuple[str, int, str, str]] = [
    ("--stage twise", 2, "run.unknown", "twice"),
    ("--stage b.gaps:score", 4, "training.missing_partition", "--missing"),
    ("--stage b.score:score --stage b.thin:score", 2, "training.clash", "prefix"),
    ("--stage b.doubled:score", 4, "training.duplicate_keys", "duplicates='last'"),
    ("--stage b.odd:score", 2, "training.no_common_bucket", "--join shuffle"),
    ("--stage b.texts:score", 2, "training.key_type", "cast"),
    ("--stage b.thin:score --min-coverage 1", 4, "training.coverage", "--min-coverage"),
    ("--stage twice --min-coverage 2", 2, "training.option", "a share from 0 to 1"),
    ("--stage twice --from 2031-01-01", 4, "training.empty", "widen the dates"),
    ("--stage b.nothing", 2, "table.unknown", "did you mean"),
    ("--stage twice --features x,y", 2, "training.column", "known: dt, id, label, x"),
    ("--stage twice --label x", 4, "training.label", "name another --label"),
    ("--sequence history", 2, "sequence.unknown", "%%sequence"),
]

FOUND_WHILE_READING = {"training.duplicate_keys", "training.label"}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """`b.base` of 240 rows with a label, and tables beside it that have something wrong with them each."""
    lake = Lake(tmp_path_factory.mktemp("bad") / "home")
    key, day, score = ("id", LongType()), ("dt", DateType()), ("score", DoubleType())
    rows = [{"id": n, "dt": DAYS[n % 3], "x": n / 2, "label": n % 2, "score": n * 1.5} for n in range(240)]
    base = [key, day, ("x", DoubleType()), ("label", LongType())]
    make_table(lake.catalog, "b.base", base, [rows], bucket=("id", 4), by="dt")
    for name, kept, buckets in (
        ("b.score", rows, 4),
        ("b.gaps", [row for row in rows if row["dt"] != DAYS[2]], 4),
        ("b.thin", [row for row in rows if int(str(row["id"])) % 10], 4),
        ("b.odd", rows, 3),
        ("b.doubled", [*rows, rows[5]], 4),
    ):
        make_table(lake.catalog, name, [key, day, score], [kept], bucket=("id", buckets), by="dt")
    texts = [{**row, "id": str(row["id"])} for row in rows]
    make_table(lake.catalog, "b.texts", [("id", StringType()), day, score], [texts], bucket=("id", 4), by="dt")
    lake.stage("twice", "SELECT id, x * 2 AS twice FROM base", "b.base", keys=("id",))
    yield lake
    lake.close()


@pytest.fixture(autouse=True)
def here(bad: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faces work on that lake, without a service."""
    monkeypatch.setenv("NBPLAT_HOME", str(bad.home))
    monkeypatch.setenv("NBPLAT_LIMITS_THREADS", "1")
    monkeypatch.setattr("nbplat.ui.handlers.training.open_desk", lambda: LocalDesk(bad.platform))


@pytest.fixture(scope="module")
def shell() -> Iterator[StrictShell]:
    with strict_shell() as shell:
        yield shell


@pytest.mark.parametrize(("words", "exit_code", "code", "mend"), BAD)
def test_a_mistake_has_one_answer_in_a_shell_a_cell_and_python(
    bad: Lake, shell: StrictShell, capsys: pytest.CaptureFixture[str], words: str, exit_code: int, code: str, mend: str
) -> None:
    """The same code and mend, the exit code of its kind, and nothing that was not there before but the failed try."""
    asked = f"--table b.base --label label --time dt --on id --epochs 1 {words}"
    before = bad.picture()
    assert exit_code == main(["training", "run", "wrong", *shlex.split(asked)])
    told = capsys.readouterr().err
    assert f"{code}: " in told
    assert in_shell(mend) in told.partition("fix: ")[2]
    with pytest.raises(NbplatError) as caught:
        shell.run(f"%%training wrong {asked}\n# the default model")
    assert (code, exit_code) == (caught.value.code, caught.value.exit_code)
    assert mend in caught.value.fix
    with pytest.raises(NbplatError) as raised:
        Local(LocalDesk(bad.platform)).training_join("b.base", name="wrong", **_arguments(asked))
    assert caught.value.record() == raised.value.record()
    if code in FOUND_WHILE_READING:
        # Tagged while it was read, and let go; the run stands in the ledger with its reason.
        assert ["main"] == list(bad.table("b.base").metadata.refs)
        last, *_ = bad.platform.store.runs("training")
        assert last.error is not None
        assert ("failed", code) == (last.state, last.error["code"])
    else:
        assert before == bad.picture()


def test_too_little_memory_for_one_bucket_is_said_before_anything_is_read(
    bad: Lake, shell: StrictShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a plan, a run, a cell and Python, with the bucket, both sizes and the option; nothing is kept of it."""
    monkeypatch.setenv("NBPLAT_LIMITS_MEMORY_BYTES", "100")
    asked = "--table b.base --label label --time dt --on id --stage twice"
    before = bad.picture()
    for verb in ("run", "plan"):
        assert 3 == main(["training", verb, "wrong", *shlex.split(asked)])
        said = capsys.readouterr().err
        assert re.search(
            r"training\.memory: .*one bucket: dt=2026-11-0\d, id_bucket=\d takes.*limits.memory_bytes", said
        )
        assert "--max-unit-bytes 25" in said
    with pytest.raises(NbplatError, match=r"training\.memory.*--max-unit-bytes 25"):
        shell.run(f"%%training wrong {asked}\n# the default model")
    with nb.local(home=str(bad.home), limits__memory_bytes=100) as here:
        with pytest.raises(NbplatError, match=r"training\.memory.*max_unit_bytes=25"):
            here.training_join("b.base", name="wrong", label="label", time="dt", stage=["twice"])
        with pytest.raises(NbplatError, match=r"training\.memory.*max_unit_bytes=25"):
            here.training_join("b.base", stage=["twice"]).batches(10)
    assert before == bad.picture()


def test_ranks_of_one_process_share_its_memory(
    bad: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What two ranks can hold at once, three cannot: each has its third of the limit."""
    with nb.local(home=str(bad.home)) as here:
        units = here.training_join("b.base", stage=["twice"]).plan.units
    monkeypatch.setenv("NBPLAT_LIMITS_MEMORY_BYTES", str(2 * max(unit.decoded_bytes for unit in units)))
    asked = ["wrong", *shlex.split("--table b.base --label label --time dt --on id --stage twice --batch-rows 5")]
    assert 0 == main(["training", "plan", *asked, "--world", "2"])
    assert "dealt to 2 ranks" in capsys.readouterr().out
    assert 3 == main(["training", "plan", *asked, "--world", "3"])
    assert "training.memory" in capsys.readouterr().err


def test_a_replay_of_an_expired_snapshot_is_refused(
    bad: Lake, shell: StrictShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a shell, a cell and Python: the table, the snapshot, and what would have kept it; no job is begun."""
    here = Local(LocalDesk(bad.platform))
    rows = [{"id": n, "dt": DAYS[n % 3], "x": n / 2, "label": n % 2} for n in range(120)]
    columns = [("id", LongType()), ("dt", DateType()), ("x", DoubleType()), ("label", LongType())]
    table = make_table(bad.catalog, "b.old", columns, [rows], bucket=("id", 4), by="dt")
    kept = here.training_join("b.old", name="aged", label="label", time="dt", on="id", epochs=1, hold=False)
    old = table.current_snapshot()
    table.append(table.scan().to_arrow())
    table.maintenance.expire_snapshots().by_id(old.snapshot_id).commit()
    before, jobs = bad.picture(), len(bad.platform.store.jobs())
    assert 2 == main(["training", "replay", kept.run])
    said = capsys.readouterr().err
    assert re.search(
        rf"snapshot\.expired: .*b\.old.*{old.snapshot_id}|snapshot\.expired: .*{old.snapshot_id}.*b\.old", said
    )
    assert "fix: " in said
    with pytest.raises(NbplatError, match=r"snapshot\.expired"):
        shell.run(f"%training replay {kept.run}")
    plan = bad.platform.store.run("training", kept.run).plan["join"]
    with pytest.raises(NbplatError, match=r"snapshot\.expired"):
        list(here.training_join("b.old", plan=plan).batches(10))
    assert (before, jobs) == (bad.picture(), len(bad.platform.store.jobs()))


def _arguments(asked: str) -> dict[str, Any]:
    """The words of a line as a call of Python has them."""
    words, found = shlex.split(asked), dict[str, Any]()
    for flag, value in zip(words[::2], words[1::2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if name in ("stage", "sequence"):
            found.setdefault({"sequence": "sequences"}.get(name, name), []).append(value)
        elif name == "from":
            found["dates"] = (value, None)
        elif name == "features":
            found[name] = value.split(",")
        elif name != "table":
            found[name] = {"epochs": int, "min_coverage": float}.get(name, str)(value)
    return found
