"""Sequences as a person meets them: every verb by command line, magic and Python, with the service and its worker."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator

import nbformat
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.fixtures.product import Product, product_folder

pytestmark = [pytest.mark.process, pytest.mark.kernel]

HISTORY = """source: retail.events
entity: customer_id
time: event_ts
id: event_id
arrival: ingest_ts
events:
  purchase: {last: 20, within: 90d}
  cancel: {last: 5, where: "amount < -1"}
size: {length: 24}
features: {stock_code: vocab(min_count=2), event_ts: age_log, amount: float32}
as_of: {time: label_ts, gap: 5m}
variants:
  short: {size.length: 8}
"""
LEAKING = HISTORY.replace("gap: 5m", "strict: false").replace("arrival: ingest_ts\n", "")


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The demo tables, with the memory of an ordinary machine."""
    settings = {"limits.threads": 2, "limits.lease_seconds": 5}
    with product_folder(tmp_path_factory.mktemp("sequences"), settings) as product:
        product.run("demo", "init")
        yield product


def cells(*sources: str) -> nbformat.NotebookNode:
    """A notebook of these cells, the extension loaded."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in ("%load_ext nbplat", *sources)])


def shown(notebook: nbformat.NotebookNode) -> str:
    """All text of a notebook's outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_the_life_of_a_sequence_by_the_command_line(retail: Product) -> None:
    """Preview, list, show, plan, build, diff and export say what is; a plan does nothing, a second build neither."""
    (retail.folder / "sequences").mkdir(exist_ok=True)
    (retail.folder / "sequences" / "life.yaml").write_text(HISTORY)
    seen = retail.run("sequence", "preview", "--file", "sequences/life.yaml", "--on", "retail.train", "--preview", "3")
    assert seen.out.startswith("sequence life ")
    assert "no leak: 0 of" in seen.out.splitlines()[0]
    assert "life@1" in retail.run("sequence", "list").out
    record = retail.json("sequence", "show", "life")
    assert ("life@1", "kept", None, "retail.train") == tuple(record[k] for k in ("id", "state", "index", "on"))
    compared = retail.run("sequence", "preview", "life", "--compare", "short", "--preview", "2")
    assert "tokens shared" in compared.out.splitlines()[0]

    retail.run("status")
    before = retail.picture()
    plan = retail.json("sequence", "build", "life", "--dry-run")
    assert ("build", 47_673) == (plan["kind"], plan["plan"]["rows"])
    assert before == retail.picture()

    assert re.search(
        r"^life@1 built 47,673 events 576 entities$", retail.run("sequence", "build", "life").out, re.MULTILINE
    )
    assert "nothing to do" in retail.run("sequence", "build", "life", "--dry-run").out
    assert "present source" in retail.run("sequence", "build", "life").out
    jobs = retail.json("job", "list", "--run", "life@1")
    assert [("sequence.build", "succeeded")] == [(job["kind"], job["state"]) for job in jobs]
    assert "sequence.build" in retail.run("job", "show", jobs[0]["id"]).out
    assert "life@1" in (alone := retail.run("sequence", "diff", "life").out)
    assert "is the first version of its name; its index was built from it" in alone
    assert "1 key differs" in retail.run("sequence", "diff", "life", "life.short").out

    done = retail.run("sequence", "export", "life", "--file", "out/life.yaml")
    assert record["version"][:12] in done.out
    again = retail.run("sequence", "preview", "--file", "out/life.yaml", "--on", "retail.train", "--preview", "1")
    assert seen.out.split()[2] == again.out.split()[2]
    wrote = retail.run("sequence", "export", "life", "--variant", "short", "--to", "retail.train_life").out
    assert "exported 1,943 rows to retail.train_life" in wrote
    rows = retail.rows("retail.train_life", "label_ts")
    assert 1943 == rows.num_rows
    assert {8} == {len(each) for each in rows["stock_code"].to_pylist() if len(each) > 7}


def test_late_events_are_corrected_with_the_difference_first(retail: Product) -> None:
    """Days that came late change the index of their users only; the difference is shown, then published on demand."""
    with retail.platform() as platform:
        table = platform.catalog.load_table("retail.events")
        events = table.scan().to_arrow()
        day = pa.scalar(dt.datetime(2011, 11, 7, tzinfo=dt.UTC), pa.timestamp("us", tz="UTC"))
        end = pa.scalar(dt.datetime(2011, 11, 8, tzinfo=dt.UTC), pa.timestamp("us", tz="UTC"))
        late = pc.and_(pc.greater_equal(events["event_ts"], day), pc.less(events["event_ts"], end))
        platform.catalog.create_namespace_if_not_exists("late")
        own = platform.catalog.create_table("late.events", table.schema())
        own.append(events.filter(pc.invert(late)))
        missing = events.filter(late)
    users, rows = len(pc.unique(missing["customer_id"])), missing.num_rows
    file = retail.folder / "late.yaml"
    file.write_text(HISTORY.replace("retail.events", "late.events").replace("arrival: ingest_ts\n", ""))
    assert f"built {47_673 - rows:,} events" in retail.run("sequence", "build", "--file", str(file)).out
    with retail.platform() as platform:
        platform.catalog.load_table("late.events").append(missing)
    assert "has other rows by now" in retail.run("sequence", "preview", "late", "--on", "retail.train").out
    window = ["--from", "2011-11-07", "--to", "2011-11-08"]
    found = retail.json("sequence", "correct", "late", *window)
    assert (users, rows, 0, 0) == tuple(found["diff"][k] for k in ("users", "added", "removed", "changed"))
    assert not found["published"]
    assert f"holds       {47_673 - rows:,} events" in retail.run("sequence", "show", "late").out
    done = retail.run("sequence", "correct", "late", *window, "--yes").out
    assert f"late@1 corrected: {users:,} users, +{rows:,} -0 ~0 events" in done.splitlines()[0]
    assert "holds       47,673 events" in retail.run("sequence", "show", "late").out
    assert "no difference" in retail.run("sequence", "correct", "late").out


CELLS = (
    f"%%sequence told --on retail.train --preview 3 --out told\n{HISTORY}",
    f"%%sequence leaks --on retail.train --preview 3 --variant short --out leaks\n{LEAKING}",
    "%sequence list",
    "%sequence build told --dry-run",
    "%sequence build told",
    "%sequence show told",
    "%sequence diff told leaks",
    "%sequence correct told --from 2011-11-07 --to 2011-11-08",
    "%sequence export told --file told.yaml",
    "%sequence preview told --compare short --preview 2",
)
LOOK = """
import json
batch = told.batches(rows=100, carry=["label"], pad_to="length")[0]
print(json.dumps({
    "version": told.version, "leak": told.preview().leak.share, "leaks": leaks.preview().leak.share,
    "shape": list(batch["stock_code"].shape), "labels": int(batch["label"].sum()),
    "rows": told.features().num_rows, "again": told.build().text, "file": open("told.yaml").read(),
}))
"""


def test_the_same_by_magic(retail: Product) -> None:
    """Cells and lines do what the commands do, and `--out` binds a sequence that can be worked with."""
    notebook = cells(*CELLS, LOOK)
    retail.execute(notebook)
    found = json.loads(notebook.cells[-1].outputs[-1].text)
    text = shown(notebook)
    assert (0.0, True) == (found["leak"], found["leaks"] > 0)
    assert [100, 24] == found["shape"]
    assert 1943 == found["rows"]
    assert found["again"].startswith("told@1 built 47,673 events")
    assert retail.json("sequence", "show", "told")["version"] == found["version"]
    assert "told@1 built 47,673 events 576 entities" in text
    assert "tokens shared" in text
    first = notebook.cells[1].outputs[0]["data"]
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} == first.keys()
    assert "<script" not in first["text/html"].lower()
    assert len(first["text/html"]) < 80_000
    leak = notebook.cells[2].outputs[0]["data"]["text/plain"].splitlines()[0]
    assert re.search(r"leak: [1-9][\d,]* of", leak, re.IGNORECASE)


FRAMES = """
import json, nbplat as nb
with nb.local() as here:
    catalog = here.platform.catalog
    events = catalog.load_table("retail.events").scan().to_pandas()
    train = catalog.load_table("retail.train").scan().to_pandas()
"""
FRAMED = """%%sequence framed --on train --preview 2 --build --out framed
source: events
entity: customer_id
time: event_ts
id: event_id
events:
  purchase: {last: 20}
as_of: {time: label_ts}
"""
PYTHON = """
def listed(sequence):
    return sequence.features(carry=["example_id"]).sort_by("example_id")

tabled = nb.sequence("tabled", \"\"\"
source: retail.events
entity: customer_id
time: event_ts
id: event_id
events:
  purchase: {last: 20}
as_of: {time: label_ts}
\"\"\", on="retail.train", examples=2)
built = tabled.build()
print(json.dumps({
    "same": listed(tabled).equals(listed(framed)),
    "text": framed.build().text, "tabled": built.text,
    "versions": [framed.version == tabled.version, nb.Sequence.kept("tabled") == tabled],
}))
"""


def test_dataframes_and_python_in_a_notebook(retail: Product) -> None:
    """A DataFrame of the notebook is previewed and built by name; Python does what the cell does."""
    notebook = cells(FRAMES, FRAMED, PYTHON)
    retail.execute(notebook)
    found = json.loads(notebook.cells[-1].outputs[-1].text)
    assert found["same"]
    assert found["text"].startswith("framed@1 built 46,767 events")
    assert found["tabled"].startswith("tabled@1 built 46,767 events")
    assert [False, True] == found["versions"]
    assert "framed@1 built 46,767 events 573 entities" in shown(notebook)


def test_a_wrong_cell_is_one_short_red_block(retail: Product) -> None:
    """A cell with a mistake ends with our error, its line, column and mend, and nothing is kept."""
    wrong = cells("%%sequence wrong --on retail.train\n" + HISTORY.replace("within", "withn"))
    with pytest.raises(Exception, match=r"sequence\.key"):
        retail.execute(wrong)
    (output,) = [each for each in wrong.cells[-1].outputs if each.output_type == "error"]
    plain = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback)).splitlines()
    assert 2 == len(plain)
    assert plain[0].startswith("sequence.key: events.purchase has no key 'withn' (line 7, column 24)")
    assert "fix: did you mean within?" == plain[1]
    assert "wrong@1" not in retail.run("sequence", "list").out


def test_the_routes_say_the_same(retail: Product) -> None:
    """List, show, plan and diff over HTTP are what the commands print as JSON."""
    (retail.folder / "routed.yaml").write_text(HISTORY)
    retail.run("sequence", "preview", "--file", "routed.yaml", "--on", "retail.train", "--preview", "1")
    retail.run("status")
    client = retail.client()
    listed = client.get("/api/v1/sequences")["sequences"]
    assert "routed@1" in [each["id"] for each in listed]
    assert retail.json("sequence", "show", "routed") == client.get("/api/v1/sequences/routed")
    assert retail.json("sequence", "build", "routed", "--dry-run") == client.post(
        "/api/v1/sequences/plan", {"name": "routed"}
    )
    assert [] != client.get("/api/v1/sequences/routed/diff", other="routed.short")["changes"]
