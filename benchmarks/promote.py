"""What a column costs: splicing it in, against copying the files and against every way of writing them again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backfill import do_job
from benchmarks.measure import Cost, Figure, cost_of, medians
from benchmarks.start import state_folder
from benchmarks.wide_files import (
    FIELD_ID,
    Pair,
    copy_files,
    decode_join_encode,
    duckdb_join_copy,
    make_pairs,
    wide_table,
)

__all__ = ["measure"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Files of about 500 MB together.

    Attributes:
        goal: Of wall and CPU over copying; None where nothing was promised.
        embedding: Length of the new column's vectors; 0 is one double.
    """

    files: int
    rows: int
    columns: int
    goal: float | None = None
    embedding: int = 0

    @property
    def what(self) -> str:
        files = f"{self.files} file{'s' if self.files > 1 else ''}"
        new = f", list<float>[{self.embedding}] added" if self.embedding else ""
        return f"{self.columns} columns in {files}{new}"


_LAYOUTS = (
    _Layout(1, 3_000_000, 100, goal=1.2),
    _Layout(8, 370_000, 100, goal=1.2),
    _Layout(1, 14_000_000, 20),
    _Layout(1, 290_000, 1000),
    _Layout(1, 2_000_000, 20, embedding=64),
)
_TABLE_FILES, _TABLE_ROWS, _TABLE_COLUMNS = 8, 360_000, 100


def measure() -> list[Figure]:
    figures: list[Figure] = []
    for layout in _LAYOUTS:
        with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
            figures += _splice(Path(folder), layout)
    for part in (_footers, _whole_promotion):
        with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
            figures += part(Path(folder))
    return figures


def _splice(folder: Path, layout: _Layout) -> list[Figure]:
    out = folder / "out"
    out.mkdir()
    pairs = make_pairs(folder, files=layout.files, rows=layout.rows, columns=layout.columns, embedding=layout.embedding)
    # The staged bytes are copied as well; they count only where they are not a rounding error.
    floor = pairs + ([Pair(pair.staged, pair.staged) for pair in pairs] if layout.embedding else [])
    copied, spliced = medians(lambda: copy_files(floor, out), lambda: _splice_all(pairs, out))
    encoded, by_duckdb = medians(
        lambda: decode_join_encode(pairs, out), lambda: duckdb_join_copy(pairs, out), runs=2, warm_up=0
    )
    size = sum(pair.base.stat().st_size for pair in floor) / 1e6
    what = f"splice of {size:.0f} MB, {layout.what}"
    copy_text = f"copy_file_range and fsync of the same bytes ({copied})"
    arrow_text = f"Arrow decode, join and encode of the same files ({encoded}, median of 2)"
    duckdb_text = f"DuckDB join and COPY of the same files ({by_duckdb}, median of 2)"
    cost = (spliced.cpu_s, spliced.wall_s)
    saved_goal = 20.0 if layout.goal else None
    shutil.rmtree(out)
    return [
        Figure(
            f"{what}: wall over copying", spliced.wall_s / copied.wall_s, "x", layout.goal, "lower", copy_text, *cost
        ),
        Figure(f"{what}: CPU over copying", spliced.cpu_s / copied.cpu_s, "x", layout.goal, "lower", copy_text, *cost),
        Figure(
            f"{what}: CPU saved, Arrow", encoded.cpu_s / spliced.cpu_s, "x", saved_goal, "higher", arrow_text, *cost
        ),
        Figure(f"{what}: CPU saved, DuckDB", by_duckdb.cpu_s / spliced.cpu_s, "x", None, "higher", duckdb_text, *cost),
    ]


def _splice_all(pairs: list[Pair], out: Path) -> None:
    from nbplat.adapters.files.local import LocalFiles
    from nbplat.adapters.parquet.splice import splice
    from nbplat.backfill.ports import Addition

    ids = {"feature": FIELD_ID}
    if pairs[0].embedding:
        ids["feature.element"] = FIELD_ID + 1
    for pair in pairs:
        target = out / pair.base.name
        target.unlink(missing_ok=True)
        splice(LocalFiles(), str(pair.base), [Addition(str(pair.staged), ids)], str(target))


def _footers(folder: Path) -> list[Figure]:
    import pyarrow.parquet as pq

    from nbplat.adapters.parquet.footer import encode, read_footer

    figures = []
    for columns in (100, 1000):
        place = folder / str(columns)
        place.mkdir()
        [pair] = make_pairs(place, files=1, rows=100, columns=columns)

        def there_and_back(pair: Pair = pair) -> None:
            for _ in range(10):
                with pair.base.open("rb") as file:
                    encode(read_footer(file, "").metadata)

        def by_arrow(pair: Pair = pair) -> None:
            for _ in range(10):
                pq.read_metadata(pair.base).to_dict()

        ours, arrow = medians(there_and_back, by_arrow)
        figures.append(
            Figure(
                f"footer of {columns} columns, read and written again",
                ours.wall_s / 10 * 1000,
                "ms",
                None,
                "lower",
                f"Arrow reading it into a dict ({Cost(arrow.wall_s / 10, arrow.cpu_s / 10)})",
                ours.cpu_s / 10,
                ours.wall_s / 10,
            )
        )
    return figures


def _whole_promotion(folder: Path) -> list[Figure]:
    """Whole jobs on a real table, everything counted: listing, splices, branch, byte check, main; and roll back."""
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.backfill.states import Step
    from nbplat.compose import open_platform

    platform = open_platform(state_folder(str(folder)))
    try:
        table = wide_table(platform.catalog, files=_TABLE_FILES, rows=_TABLE_ROWS, columns=_TABLE_COLUMNS)
        files = [task.file for task in table.scan().plan_files()]
        size = sum(file.file_size_in_bytes for file in files)
        pairs = [Pair(Path(file.file_path.removeprefix("file://")), Path()) for file in files]
        out = folder / "floor"
        out.mkdir()

        def copy() -> None:
            copy_files(pairs, out)

        sql = "SELECT id, CAST(f000 AS double) * 2 AS twice FROM base"
        spec = BackfillSpec.build("twice", "wide.train", sql, keys=("id",))
        planned = cost_of(lambda: platform.backfills.plan(spec))
        run = platform.backfills.submit(spec, owner="bench").run
        assert run is not None
        costs: dict[str, Cost] = {}
        steps = ("stage", "audit")
        for step in steps:
            _, costs[step] = do_job(platform)
        promotions, rollbacks = [], []
        [copied] = medians(copy, runs=3)
        for _ in range(3):
            platform.backfills.step(run.id, Step.PROMOTE, owner="bench")
            promotions.append(do_job(platform)[1])
            platform.backfills.step(run.id, Step.ROLLBACK, owner="bench")
            rollbacks.append(do_job(platform)[1])
            run = platform.backfills.submit(spec, owner="bench", force_new=True).run
            assert run is not None
            for _ in steps:
                do_job(platform)
        promoted = sorted(promotions, key=lambda cost: cost.wall_s)[1]
        undone = sorted(rollbacks, key=lambda cost: cost.wall_s)[1]
    finally:
        platform.close()
    name = f"{size / 1e6:.0f} MB in {len(files)} files of {_TABLE_COLUMNS} columns"
    floor = f"copy_file_range and fsync of the table's files ({copied})"
    rows = [
        ("plan, its sample included", planned),
        ("stage", costs["stage"]),
        ("audit", costs["audit"]),
        ("whole promote job", promoted),
        ("whole roll-back job", undone),
    ]
    return [
        Figure(
            f"{what} of {name}, wall over copying",
            cost.wall_s / copied.wall_s,
            "x",
            None,
            "lower",
            floor,
            cost.cpu_s,
            cost.wall_s,
        )
        for what, cost in rows
    ]
