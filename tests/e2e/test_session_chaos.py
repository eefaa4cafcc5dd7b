"""`kill -9` of the service at random moments while ten sessions work: nothing that they did or said is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.config import Config
from nbplat.service.discovery import read_info, service_lock
from nbplat.service.lock import holder_of
from nbplat.ui.client import ServiceClient
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

# `make chaos` sets it: twenty kills then.
KILLS = min(20, int(os.environ.get("NBPLAT_CHAOS_ROUNDS", "3")))
SESSIONS = 10
PATH = "/api/v1/sessions"

_WORK = """import os, time
n = 0
while not os.path.exists({gate!r}):
    print(n)
    n += 1
    time.sleep(0.1)
added = 0
n"""


@pytest.fixture
def ten(toy_client: ServiceClient) -> Iterator[list[int]]:
    """Ten sessions that are ended whatever happens."""
    made = [int(toy_client.post(PATH, {"name": f"chaos {n}"})["id"]) for n in range(SESSIONS)]
    yield made
    for number in made:
        toy_client.delete(f"{PATH}/{number}")


def back_after_kill(client: ServiceClient, config: Config, session: int) -> float:
    """Kill the service; seconds until it answers again."""
    lock = service_lock(config)
    before = holder_of(lock)
    assert before is not None
    began = time.monotonic()
    os.kill(int(before["pid"]), signal.SIGKILL)
    wait_until(lambda: holder_of(lock) not in (None, before), what="another service takes over")
    assert session == client.get(f"{PATH}/{session}")["id"]
    return time.monotonic() - began


def ended(client: ServiceClient, session: int, number: int) -> dict[str, Any]:
    where = f"{PATH}/{session}/statements/{number}"
    return wait_until(  # type: ignore[return-value]
        lambda: (found := client.get(where))["ended"] and found, limit_s=60, what=f"{where} ends"
    )


def printed(client: ServiceClient, session: int, number: int) -> str:
    text, after = "", 0
    while pieces := client.get(f"{PATH}/{session}/statements/{number}/output", after=after)["pieces"]:
        text += "".join(piece["text"] for piece in pieces)
        after = pieces[-1]["seq"]
    return text


def test_no_kill_of_the_service_loses_a_session_or_its_output(
    toy_client: ServiceClient, service_config: Config, ten: list[int], tmp_path: Path
) -> None:
    """Every statement ends with its right output, in its session, behind the same address and token, soon after."""
    chance = random.Random(6)  # noqa: S311 - chosen moments, no secrets
    gate = tmp_path / "gate"
    address = [(read_info(service_config) or {})[key] for key in ("url", "token")]
    drivers = {number: toy_client.get(f"{PATH}/{number}")["created_ms"] for number in ten}
    work = {
        number: toy_client.post(f"{PATH}/{number}/statements", {"code": _WORK.format(gate=str(gate))})["id"]
        for number in ten
    }
    added = dict.fromkeys(ten, 0)
    away_s = []
    for _ in range(KILLS):
        watched, more = chance.choice(ten), chance.randint(1, 10)
        before = len(printed(toy_client, watched, work[watched]))
        wait_until(
            lambda: len(printed(toy_client, watched, work[watched])) >= before + 2 * more,  # noqa: B023 - used at once
            what="it prints more lines",
        )
        away_s.append(back_after_kill(toy_client, service_config, chance.choice(ten)))
        chosen = chance.choice(ten)
        toy_client.post(f"{PATH}/{chosen}/statements", {"code": "added += 1"})
        added[chosen] += 1
    gate.touch()
    for number in ten:
        done = ended(toy_client, number, work[number])
        count = int(done["output"]["data"]["text/plain"])
        assert ("available", "ok") == (done["state"], done["output"]["status"])
        assert "".join(f"{n}\n" for n in range(count)) == printed(toy_client, number, work[number])
        last = toy_client.post(f"{PATH}/{number}/statements", {"code": "added"})
        assert str(added[number]) == ended(toy_client, number, last["id"])["output"]["data"]["text/plain"]
        assert drivers[number] == toy_client.get(f"{PATH}/{number}")["created_ms"]
    assert address == [(read_info(service_config) or {})[key] for key in ("url", "token")]
    # Three seconds are the promise on a quiet machine; a busy one takes its time to start a process.
    assert sorted(away_s)[len(away_s) // 2] < 6.0, away_s
