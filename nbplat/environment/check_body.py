"""What a Python body needs of the interpreter that it runs in."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator

from nbplat.environment.check import ERROR, WARNING, Finding, change
from nbplat.environment.floors import BODY_PACKAGES, BODY_PYTHON, compare
from nbplat.environment.sides import Side

__all__ = ["check_body", "check_driver"]

BODY = "the body"
_THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


def check_body(
    side: Side,
    *,
    certain: Collection[str] = (),
    possible: Collection[str] = (),
    notebook: Side | None = None,
    what: str = BODY,
) -> list[Finding]:
    """Hold an interpreter against a body.

    Args:
        certain: Modules that the body imports whenever it runs; `side` was asked for them.
        possible: Modules that it imports under a condition.
        notebook: The interpreter that it was written in, asked for the same modules.
        what: The body, in words.
    """
    return [*_floors(side), *_imports(side, certain, possible, notebook, what)]


def check_driver(side: Side) -> list[Finding]:
    """Hold an interpreter against what our own code in a session's driver asks of it."""
    return list(_python(side))


def _floors(side: Side) -> Iterator[Finding]:
    yield from _python(side)
    missing = [name for name in BODY_PACKAGES if side.packages and not side.version_of(name)]
    if missing:
        yield Finding(
            "floor",
            ERROR,
            f"{side.who} has no {' and no '.join(missing)}, with which rows are handed over",
            ((side.who, "none"),),
            change(side, *missing),
            missing[0],
        )


def _python(side: Side) -> Iterator[Finding]:
    if not side.python or compare(side.python, BODY_PYTHON) < 0:
        yield Finding(
            "python",
            ERROR,
            f"{side.who} has {f'Python {side.python}' if side.python else 'no Python'}, and our code runs in "
            f"{BODY_PYTHON} and newer",
            ((side.who, side.python or "none"),),
            change(side, f"python>={BODY_PYTHON}"),
        )


def _imports(
    side: Side, certain: Collection[str], possible: Collection[str], notebook: Side | None, what: str
) -> Iterator[Finding]:
    known = notebook.imports if notebook is not None else {}
    writer = notebook.who if notebook is not None else ""
    for module in sorted({*certain, *possible} & {*side.imports}):
        here, there = side.imports[module], known.get(module)
        seen = ((writer, there.version),) if there and there.version else ()
        if here is None:
            name = there.distribution if there and there.distribution else module
            # The standard library of this process has it: that of an older Python has not.
            newer = module in sys.stdlib_module_names
            mend = change(side, name)
            mend += "; or ship a module of your own with --py PATH" if what == BODY else ""
            yield Finding(
                "import",
                ERROR if module in certain else WARNING,
                f"{what} imports {module}, which {side.who} has not",
                ((side.who, "none"), *seen),
                change(side, f"python>={_THIS}") if newer else mend,
                name,
            )
        elif there is not None and there.version and here.version and here.version != there.version:
            yield Finding(
                "package",
                WARNING,
                f"{what} imports {module}: {here.version} in {side.who}, {there.version} in {writer}",
                ((side.who, here.version), *seen),
                change(side, f"{here.distribution}=={there.version}"),
                here.distribution,
            )
