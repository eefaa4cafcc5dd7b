"""Checks of the catalog: it answers, and what we make there can be taken away again."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from nbplat.config import Config
from nbplat.errors import NbplatError
from nbplat.ui.doctor.finding import Said, Verdict

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["check_catalog", "check_catalog_writable"]


def check_catalog(config: Config, catalog: Catalog) -> Said:
    """The catalog answers.

    Raises:
        NbplatError: it does not.
    """
    found = catalog.list_namespaces()
    which = config.catalog or f"the embedded catalog of {config.home}"
    return Said(Verdict.OK, f"{which} answers, {len(found)} namespaces")


def check_catalog_writable(config: Config, catalog: Catalog) -> Said:
    """A namespace can be made; it is dropped at once."""
    name = f"nbplat_doctor_{secrets.token_hex(4)}"
    try:
        catalog.create_namespace(name)
    except Exception as exc:  # noqa: BLE001 - each catalog refuses in a way of its own
        return _refused(config, exc)
    catalog.drop_namespace(name)
    return Said(Verdict.OK, "a namespace was made and dropped")


def _refused(config: Config, exc: Any) -> Said:
    message = exc.message if isinstance(exc, NbplatError) else f"{type(exc).__name__}: {exc}"
    if config.catalog:
        # Many may write tables and make no namespaces.
        return Said(
            Verdict.WARNING,
            f"no namespace can be made: {message}",
            "ask for the right to create, or make tables in namespaces that are there",
        )
    return Said(Verdict.FAULT, f"the embedded catalog cannot be written: {message}", f"chmod -R u+w {config.home}")
