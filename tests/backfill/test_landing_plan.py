"""What becomes of each live file, decided from records alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.backfill.landing import Action, Change, FileAction, Match, Source, plan_landing, root_of
from nbplat.backfill.ports import TableFile

A, B = "file:///w/t/a.parquet", "file:///w/t/b.parquet"
A_SPLICED = "file:///w/t/a--nb-g-1-0123456789ab-1.parquet"
MERGED = "file:///w/t/00000-merged.parquet"


def source(path: str, rows: int = 10, *, dense: bool = True) -> Source:
    return Source(path, path.replace("/w/t/", "/staged/"), rows, dense, "digest")


RUN = Change("f@1", {"f": 9}, sources={path: source(path) for path in (A, B)})


def landed(*files: TableFile, changes: tuple[Change, ...] = (RUN,), **options: dict[str, str]) -> list[FileAction]:
    return list(plan_landing(files, changes, **options))


def file(path: str, rows: int = 10, **facts: object) -> TableFile:
    return replace(TableFile(path, rows, columns=frozenset({1, 2})), **facts)


@pytest.mark.parametrize(
    ("live", "action", "match"),
    [
        (file(A), Action.SPLICE, Match.SAME),
        (file(A_SPLICED), Action.SPLICE, Match.DIGEST),
        (file(A_SPLICED, 9), Action.SPLICE, Match.KEY),
        (file(A, deletes=("d",)), Action.REWRITE, Match.KEY),
        (file(A_SPLICED, deletes=("d",)), Action.REWRITE, Match.KEY),
        (file(A, 9), Action.SPLICE, Match.KEY),
    ],
)
def test_a_planned_file_is_found_again(live: TableFile, action: Action, match: Match) -> None:
    """Under its own path, as our splice of it, with fewer rows, with deletes."""
    [got, _] = landed(live, file(B))
    assert (action, match) == (got.action, got.parts[0].match)
    assert (A,) == got.parts[0].sources


def test_new_files_are_left_alone() -> None:
    """While every planned file is there, a file that is not planned holds no row of the run."""
    assert [Action.SPLICE, Action.SPLICE, Action.KEEP] == [
        each.action for each in landed(file(A), file(B), file(MERGED))
    ]


def test_rows_of_files_that_are_gone_are_looked_for_by_key() -> None:
    """In every file that is neither planned nor ours; planned files that are there are taken as they are."""
    [here, merged] = landed(file(A), file(MERGED, 12))
    assert (Match.SAME, Match.KEY, (B,)) == (here.parts[0].match, merged.parts[0].match, merged.parts[0].sources)


def test_a_staged_file_that_is_not_dense_is_never_taken_by_position() -> None:
    """Its base had deletes when it was staged; with other rows live, rows are found by key."""
    change = replace(RUN, sources={A: source(A, 8, dense=False)})
    assert Match.KEY is landed(file(A), changes=(change,))[0].parts[0].match
    assert Match.DIGEST is landed(file(A_SPLICED, 8), changes=(change,))[0].parts[0].match


def test_several_runs_share_one_pass() -> None:
    """A file gets every run's columns in one action; a column that it holds already is left out first."""
    other = Change("x2@1", {"x": 2}, sources={A: source(A)})
    [both, one] = landed(file(A), file(B), changes=(RUN, other))
    assert ["f@1", "x2@1"] == [part.run_id for part in both.parts]
    assert frozenset({2}) == both.drop
    assert ["f@1"] == [part.run_id for part in one.parts]


def test_a_roll_back_touches_only_its_own_files() -> None:
    """Files with nothing else in them go back; from others the chunks are left out; other writers' files stay."""
    undo = Change("f@1", {}, frozenset({9}), roots=frozenset({root_of(A), root_of(B)}))
    ours, shared, theirs = (file(path, columns=frozenset({1, 2, 9})) for path in (A_SPLICED, B, MERGED))
    actions = landed(ours, shared, theirs, changes=(undo,), restore={A_SPLICED: A})
    assert [Action.RESTORE, Action.SPLICE, Action.KEEP] == [each.action for each in actions]
    assert (A, frozenset({9})) == (actions[0].old_path, actions[1].drop)


def test_a_file_that_deletes_apply_to_is_not_put_back() -> None:
    """The old file would bring the rows to life again."""
    undo = Change("f@1", {}, frozenset({9}))
    [got] = landed(file(A_SPLICED, columns=frozenset({1, 9}), deletes=("d",)), changes=(undo,), restore={A_SPLICED: A})
    assert Action.REWRITE is got.action


@given(
    st.lists(
        st.builds(
            TableFile,
            st.sampled_from([A, B, A_SPLICED, MERGED]),
            st.integers(8, 12),
            st.sampled_from([(), ("d1",), ("d1", "d2")]),
            st.frozensets(st.integers(1, 10)),
        ),
        unique_by=lambda each: each.path,
        max_size=4,
    )
)
def test_every_file_has_one_action_and_equal_work_has_one_name(files: list[TableFile]) -> None:
    """Actions come in file order, ids tell work apart and do not depend on what else is there to do."""
    actions = landed(*files)
    assert files == [each.file for each in actions]
    work = [each.id for each in actions if each.action is not Action.KEEP]
    assert len(work) == len(set(work))
    assert all(work)
    assert actions == landed(*files)
    for each in actions:
        assert not (each.action is Action.SPLICE and each.file.deletes)
        more = replace(each.file, deletes=(*each.file.deletes, "later"))
        [again] = [other for other in landed(*(more if f is each.file else f for f in files)) if other.file is more]
        assert each.action is Action.KEEP or again.id != each.id
