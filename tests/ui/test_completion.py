"""What is offered at the cursor of magic lines and of the bodies below them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nbplat.errors import RemoteError
from nbplat.testing.clock import FakeClock
from nbplat.testing.shell import StrictShell
from nbplat.ui.completion.known import Known
from nbplat.ui.completion.matcher import cell_offers


class FakeNames:
    """A small world of names."""

    def tables(self) -> list[str]:
        return ["retail.events", "retail.train"]

    def columns(self, table: str) -> list[str]:
        found = {"retail.events": ["customer_id", "event_ts", "amount"], "retail.train": ["example_id", "label_ts"]}
        return found.get(table, [])

    def runs(self) -> list[str]:
        return ["spend_90d", "spend_90d@2", "spend_90d@1"]

    def sequences(self) -> list[str]:
        return ["history", "history@1"]

    def environments(self) -> list[str]:
        return ["ranker"]

    def sessions(self) -> list[str]:
        return ["etl", "study"]

    def trainings(self) -> list[str]:
        return ["churn", "churn@1"]

    def jobs(self) -> list[str]:
        return ["j000002", "j000001"]

    def profiles(self) -> list[str]:
        return ["small", "large"]

    def variables(self) -> list[str]:
        return ["frame", "labels"]


def offered(cell: str) -> list[str]:
    """The texts at ``|``."""
    cursor = cell.index("|")
    return [text for text, _ in cell_offers(cell.replace("|", ""), cursor, FakeNames()).found]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%backfill pro|", ["promote"]),
        ("%backfill promote sp|", ["spend_90d", "spend_90d@2", "spend_90d@1"]),
        ("%backfill promote spend_90d spend_90d@|", ["spend_90d@2", "spend_90d@1"]),
        ("run = %backfill show spend_90d@1 --js|", ["--json"]),
        ("%backfill list --state awa|", ["awaiting_promotion"]),
        ("%backfill --lim|", ["--limit"]),
        ("%%backfill spend --tab|", ["--table"]),
        ("%%backfill spend --table retail.t|", ["retail.train"]),
        ("%%backfill spend --table=retail.t|", ["--table=retail.train"]),
        ("%%backfill pla|", ["plan"]),
        ("%%backfill plan --tab|\nSELECT 1", ["--table"]),
        ("%%backfill spend --table retail.train --key ex|", ["example_id"]),
        ("%%backfill spend --table retail.events --group-by customer_id,am|", ["customer_id,amount"]),
        ("%%backfill spend --engine r|", ["ray"]),
        ("%%backfill spend --env r|", ["ranker"]),
        ("%%backfill spend --frame l|", ["labels"]),
        ("%%training churn --stage spend_90d@|", ["spend_90d@2", "spend_90d@1"]),
        ("%sequence show his|", ["history", "history@1"]),
        ("%session attach st|", ["study"]),
        ("%session send fr|", ["frame"]),
        ("%session send frame et|", ["etl"]),
        ("%nbplat target |", ["spark", "local", "etl", "study"]),
        ("%nbplat backf|", ["backfill"]),
        ("%nbplat job lo|", ["logs"]),
        ("%nbplat env sh|", ["show"]),
        ("%environment check rank|", ["ranker"]),
        ("%%spark et|", ["etl"]),
        ("%%spark -i fr|\nx", ["frame"]),
        ("%session start x --profile l|", ["large"]),
        ("%session start x --conf spark.sql.sh|", ["spark.sql.shuffle.partitions="]),
        ("%training show ch|", ["churn", "churn@1"]),
        ("%%training m --stage re|", ["retail.events", "retail.train"]),
        ("%%sequence s --on f|", ["frame"]),
        ("%nbplat job show |", ["j000002", "j000001"]),
        ("%%backfill spend_{{ fr|", []),
        ("%unheard_of x|", []),
        ("plain = pro|", []),
    ],
)
def test_a_line_offers_what_its_declaration_takes(cell: str, expected: list[str]) -> None:
    """Verbs, options, closed sets, and the names that an option or argument stands for."""
    assert expected == offered(cell)


def test_an_option_that_was_given_is_offered_once() -> None:
    """But one that may be repeated is offered again."""
    shown = offered("%%backfill x --table retail.train --key example_id --|")
    assert ("--key" in shown, "--table" in shown, "--help" in shown) == (True, False, True)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%sql\nSELECT * FROM |", ["retail.events", "retail.train"]),
        ("%%sql\nSELECT am| FROM retail.events", ["amount"]),
        ("%%sql\nSELECT e.| FROM retail.events e", ["e.customer_id", "e.event_ts", "e.amount"]),
        ("%%sql\nSELECT retail.events.am| FROM retail.events", ["retail.events.amount"]),
        ("%%sql -o top\nSELECT array_s|", ["array_size"]),
        ("%%sql\nSELECT 1 GRO|", ["GROUP"]),
        ("%%sql\nSELECT 'x' FROM retail.train -- FROM retail.events\nWHERE cust|", []),
        ("# note\n%%backfill spend --table retail.train\nSELECT base.ex|\nFROM base", ["base.example_id"]),
        ("%%backfill spend --table retail.train\nSELECT 1 FROM ba|", ["base"]),
        ("%%backfill spend --table retail.train\nSELECT base.ex|", ["base.example_id"]),
        ("%%backfill spend --table retail.train --lang python\ndef f(): am|", []),
        ('%%backfill spend --table retail.train --lang python\ndef f(b): return b["ex|', ["example_id"]),
        ("%%backfill spend --table retail.train\nSELECT {{ fr|", []),
        ("%%sql\nSHOW TA|", ["TABLES"]),
        ("%%spark -c sql\nSELECT * FROM retail.t|", ["retail.train"]),
    ],
)
def test_a_query_offers_tables_columns_and_functions(cell: str, expected: list[str]) -> None:
    """Tables where a table stands; columns of the tables that are named, by alias as well; functions and words."""
    assert expected == offered(cell)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("WITH big AS (SELECT customer_id, amount * 2 AS twice FROM retail.events) SELECT t| FROM big", ["twice"]),
        ("WITH big AS (SELECT *, 1 AS one FROM retail.events) SELECT big.| FROM big", ["customer_id", "event_ts"]),
        ("WITH big AS (SELECT 1 AS one), more AS (SELECT * FROM big) SELECT m.| FROM more m", ["m.one"]),
        ("WITH big AS (SELECT ')' AS shut, 2 AS two) SELECT big.tw| FROM big", ["big.two"]),
        ("WITH big AS (SELECT amount) SELECT 1 FROM bi|", ["big"]),
        ("WITH big AS (SELECT am| FROM retail.events", ["amount"]),
        ("WITH big AS (SELECT FROM WHERE) SELECT big.x| FROM big", []),
    ],
)
def test_a_named_query_is_a_table(query: str, expected: list[str]) -> None:
    """With what it selects as its columns; one that cannot be read has those of its tables."""
    found = offered(f"%%sql\n{query}")
    assert [each.rpartition(".")[2] for each in expected] == [each.rpartition(".")[2] for each in found][
        : len(expected)
    ]
    assert bool(expected) == bool(found)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%sequence history\nsour|", ["source:"]),
        ("%%sequence history\nsource: retail.e|", ["retail.events"]),
        ("%%sequence history\nsource: retail.events\ntime: ev|", ["event_ts"]),
        ("%%sequence history\nsource: retail.events\nid: [customer_id, am|", ["amount"]),
        ("%%sequence history\nlayout: |", ["mixed", "per_type"]),
        ("%%sequence history\nsize:\n  ord|", ["order:"]),
        ("%%sequence history\nsize:\n  order: new|", ["newest_first"]),
        ("%%sequence history\nevents:\n  purchase:\n    la|", ["last:"]),
        ("%%environment ranker\nchan|", ["channels:"]),
        ("%%environment ranker\nnbplat:\n  pack:\n    form|", ["format:"]),
        ("%%environment ranker\nnbplat:\n  pack:\n    format: tar.z|", ["tar.zst"]),
    ],
)
def test_a_definition_offers_keys_of_its_depth_and_closed_values(cell: str, expected: list[str]) -> None:
    """Keys below those that hold the line, tables, columns of the source, and values of closed sets."""
    assert expected == offered(cell)


@pytest.mark.parametrize("jedi", [True, False])
def test_ipython_offers_them_and_nothing_beside(shell: StrictShell, jedi: bool) -> None:
    """Through IPython's completer, with and without jedi: no Python in SQL; elsewhere it is what it was."""
    from IPython.core.completer import provisionalcompleter

    shell.ipython.Completer.use_jedi = jedi
    shell.set(alphabet=1)

    def texts(code: str) -> list[str]:
        with provisionalcompleter():
            return [each.text for each in shell.ipython.Completer.completions(code, len(code))]

    assert ["--promote"] == texts("%%backfill spend --prom")
    assert ["promote"] == texts("x = 1\n%backfill prom")
    for silent in ("%%backfill spend --from ", "%%sql --out zz", "%%sequence s\nunheard:\n  ", "%%sql\nalphab"):
        assert [] == texts(silent), silent
    for theirs in ("alphab", "%%backfill {{ alphab", "%%sql\nSELECT {{ alphab", "%%local\nalphab"):
        assert "alphabet" in texts(theirs), theirs
    assert "%backfill" in texts("%backf")


class SlowClient:
    """A service whose answers wait for a gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[str] = []

    def get(self, path: str, **_: Any) -> Any:
        self.asked.append(path)
        if not self.gate.wait(30):
            raise RemoteError("toy.slow", "slow", fix="")
        return {"tables": ["a.b", "nb_frames.x"]}


def test_names_that_come_late_are_there_for_the_next_key() -> None:
    """A slow answer offers nothing and is asked for once; then it is remembered for a moment."""
    client, clock = SlowClient(), FakeClock()
    known = Known(client=lambda: client, clock=clock, limit_s=0.01)
    assert ([], []) == (known.tables(), known.tables())
    client.gate.set()
    known._asked["/api/v1/tables"].result(30)
    assert ["a.b"] == known.tables()
    assert 1 == len(client.asked)
    clock.advance(60)
    assert ["a.b"] == known.tables()
    known._asked["/api/v1/tables"].result(30)
    assert 2 == len(client.asked)


def test_a_key_press_starts_no_service(shell: StrictShell, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a running service no names are known, and the state folder stays as it was: not there."""
    monkeypatch.setenv("NBPLAT_HOME", str(tmp_path / "home"))
    known = Known()
    assert [[], [], [], [], []] == [
        known.tables(), known.columns("a.b"), known.runs(), known.sequences(), known.sessions()
    ]  # fmt: skip
    assert not (tmp_path / "home").exists()
