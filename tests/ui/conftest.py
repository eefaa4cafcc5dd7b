"""A table of fake handlers, and a real IPython shell that uses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbplat.testing.shell import StrictShell, strict_shell
from nbplat.ui import verbs
from nbplat.ui.magics import register


@pytest.fixture
def handlers() -> dict[tuple[str, str], str]:
    """Every declared verb, each carried out by `fake_handlers.echo`."""
    return dict.fromkeys(verbs.HANDLERS, "tests.ui.fake_handlers:echo")


@pytest.fixture
def shell(handlers) -> Iterator[StrictShell]:
    """A fresh IPython shell with the magics over the fake handlers."""
    with strict_shell(load=False) as strict:
        register(strict.ipython, handlers)
        yield strict
