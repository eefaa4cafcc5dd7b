"""Clocks of other machines that a configuration works with: the ledger's database, the warehouse's object store."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nbplat.clock import to_ms
from nbplat.errors import RemoteError

if TYPE_CHECKING:
    from nbplat.compose.ground import Ground

__all__ = ["OtherClock", "other_clocks"]

_ANSWER_S = 8.0
# Amazon refuses a request whose time is further off (RequestTimeTooSkewed), and others do as it does.
_S3_REFUSES_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class OtherClock:
    """A clock that is not this machine's.

    Attributes:
        name: Whose it is.
        now_ms: Asks it; milliseconds since the epoch.
        most_ms: How far it may be from ours before something goes wrong.
        then: What goes wrong.
    """

    name: str
    now_ms: Callable[[], int]
    most_ms: int
    then: str


def other_clocks(ground: Ground) -> list[OtherClock]:
    """Those that can be asked; none where everything is on this machine.

    Raises:
        NbplatError: the catalog cannot be opened.
    """
    found = []
    if not ground.config.sqlite_store:
        # Every service of a ledger writes down by its own clock how long its rights hold.
        then = "services of one ledger take each other's rights while they are held"
        most_ms = int(ground.config.lease_seconds * 1000)
        found.append(OtherClock("the ledger's database", ground.database_now_ms, most_ms, then))
    if (address := _object_store(ground)) is not None:
        then = "the object store refuses what we sign"
        found.append(OtherClock(f"the object store at {address}", lambda: _date_ms(address), _S3_REFUSES_MS, then))
    return found


def _object_store(ground: Ground) -> str | None:
    """Address of the warehouse's S3; None when it lies elsewhere."""
    warehouse = str(ground.catalog.properties.get("warehouse", ""))
    if not warehouse.startswith(("s3://", "s3a://", "s3n://")):
        return None
    options = ground.storage(warehouse)
    return options.get("s3.endpoint") or f"https://s3.{options.get('s3.region', 'us-east-1')}.amazonaws.com"


def _date_ms(address: str) -> int:
    """The time that an HTTP server writes on a reply; whether it knows us does not matter.

    Raises:
        RemoteError: ``clock.unknown``: no reply, or one without a time.
    """
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_ANSWER_S)
    try:
        connection.request("HEAD", "/")
        written = connection.getresponse().getheader("Date")
        # It leaves out the part of a second, of which a half is the best guess.
        return to_ms(parsedate_to_datetime(written or "")) + 500
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise RemoteError(
            "clock.unknown", f"{address} tells no time: {exc}", fix="check the address and the network"
        ) from exc
    finally:
        connection.close()
