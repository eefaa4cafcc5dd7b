"""IPython's side of completion: which offers there are for a cell at the cursor."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from nbplat.ui.completion.magic_line import MagicLine, line_offers, read_line, table_of
from nbplat.ui.completion.offer import NOTHING, Names, Offers, offers
from nbplat.ui.completion.sql_body import sql_offers
from nbplat.ui.completion.yaml_body import yaml_offers

__all__ = ["as_matcher_result", "cell_offers", "session_offers"]

# The name of a column that a Python body is about to read: batch["am
_SUBSCRIPT = re.compile(r"\[\s*[\"'](\w*)\Z")


class _Silence(list[Any]):
    """No completion, said in a way that keeps others from speaking: IPython hushes them only for one that has some."""

    def __len__(self) -> int:
        return 1


def cell_offers(code: str, cursor: int, names: Names) -> Offers:
    """What may stand at a character of a cell: in a magic's line, or in the body below a cell magic."""
    lines = code[:cursor].split("\n")
    if _in_template(code[:cursor]):
        return NOTHING
    if (line := read_line(lines[-1])) is not None and (len(lines) == 1 or not line.cell or _first_line(lines[:-1])):
        return line_offers(line, names)
    start = next((n for n, each in enumerate(lines) if each.strip() and not each.lstrip().startswith("#")), None)
    if start is None or start == len(lines) - 1:
        return NOTHING
    magic = read_line(lines[start] + " ")
    if magic is None or not magic.cell:
        return NOTHING
    head = sum(len(each) + 1 for each in lines[: start + 1])
    return _body_offers(magic, code[head:], cursor - head, names)


def session_offers(code: str, cursor: int) -> Offers:
    """Names of the notebook's session, where the cell at the cursor is its Python."""
    from nbplat.ui.kernel.asking import asked_session

    asked = asked_session()
    if asked is None:
        return NOTHING
    found = asked.complete(code, cursor)
    return Offers(code[found["start"] : cursor], tuple((text, "session") for text in found["matches"]))


def _body_offers(magic: MagicLine, body: str, cursor: int, names: Names) -> Offers:
    language = _language(magic)
    if language == "sql":
        return sql_offers(body, cursor, names, base=table_of(magic) if magic.noun.name == "backfill" else "")
    if language == "yaml":
        return yaml_offers(magic.noun.name, body, cursor, names)
    if language == "python" and magic.noun.name == "backfill" and (name := _SUBSCRIPT.search(body[:cursor])):
        columns = names.columns(table_of(magic))
        return offers(name[1], ("column", columns)) if columns else NOTHING
    return NOTHING


def _language(magic: MagicLine) -> str:
    for word, after in pairwise((*magic.rest, "")):
        if word in ("--lang", "-l", "--context", "-c") and after in ("sql", "python", "scala"):
            return after
        if word.startswith("--lang="):
            return word.partition("=")[2]
    return magic.verb.body if magic.verb is not None else "none"


def _in_template(before: str) -> bool:
    """Whether a Jinja expression is open: its names are the notebook's."""
    return before.rfind("{{") > before.rfind("}}")


def _first_line(above: list[str]) -> bool:
    return not any(each.strip() and not each.lstrip().startswith("#") for each in above)


def as_matcher_result(offered: Offers, *, limit: int | None = None) -> dict[str, Any]:
    """Offers as IPython's matchers give them; what others would say is left out."""
    from IPython.core.completer import SimpleCompletion

    found = offered.found[:limit]
    completions = [SimpleCompletion(text, type=kind) for text, kind in found]
    return {
        "completions": _Silence() if offered.only and not completions else completions,
        "suppress": bool(found) or offered.only,
        "matched_fragment": offered.fragment,
        "ordered": True,
    }
