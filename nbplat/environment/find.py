"""From what a person says to a built environment: a name, the start of a key."""

from __future__ import annotations

import re
from contextlib import suppress

from nbplat.clock import Clock
from nbplat.environment.store import Store
from nbplat.environment.store_index import Named, StoreIndex
from nbplat.environment.virtual import this_platform
from nbplat.errors import NotFound, RequestError, SetupError, did_you_mean
from nbplat.terms import EnvironmentRef

__all__ = ["find_environment"]

_KEY_START = re.compile(r"[0-9a-f]{8,64}")


def find_environment(
    store: Store, wanted: str, *, project: str = "", platform: str = "", clock: Clock | None = None
) -> EnvironmentRef:
    """The newest environment that was built under a name, or the one whose key starts so.

    Args:
        wanted: A name, or eight or more digits of a key.
        project: Folder of the declaration; what was built there goes before what other projects call so.
        platform: Empty takes this machine's, or another one's when only that is built.
        clock: Notes that it is used now; None does not.

    Raises:
        NotFound: ``env.unknown``; with what is built, or with the command that builds it.
        RequestError: ``env.unknown`` when the digits mean several.
    """
    index = StoreIndex(store.index)
    names = [one for one in index.names() if one.name == wanted and platform in ("", one.platform)]
    names.sort(key=lambda one: (one.platform != this_platform(), one.project != project))
    found = next((ref for one in names if (ref := _ref(store, one)) is not None), None)
    if found is None and _KEY_START.fullmatch(wanted):
        found = _by_key(store, wanted)
    if found is None:
        raise _unknown(store, wanted, index)
    if clock is not None:
        # Under the lock, or a sweeper that had judged it by an older use might take it now.
        with suppress(SetupError), store.in_use():
            if store.built(found.key) is None:
                raise _unknown(store, wanted, index)
            index.use(found.key, clock.now_ms())
    return found


def _ref(store: Store, named: Named) -> EnvironmentRef | None:
    built = store.built(named.key)
    return built.ref(named.name, named.lock_digest) if built else None


def _by_key(store: Store, start: str) -> EnvironmentRef | None:
    found = [one for one in store.every() if one.key.startswith(start)]
    if len(found) > 1:
        raise RequestError(
            "env.unknown",
            f"{start!r} is the start of {len(found)} keys",
            fix="give more digits: " + ", ".join(one.key[: len(start) + 4] for one in found),
        )
    return found[0].ref() if found else None


def _unknown(store: Store, wanted: str, index: StoreIndex) -> NotFound:
    known = {one.name for one in index.names() if store.built(one.key) is not None}
    hint = did_you_mean(wanted, known)
    return NotFound(
        "env.unknown",
        f"no environment {wanted!r} is built in {store.root}",
        fix=f"build it: nbplat env build {wanted}" + (f"; {hint}" if hint else ""),
    )
