"""What a cluster's manager is asked about an application: on which command, and what its answer means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ["Kubernetes", "Manager", "Standing", "Yarn", "manager_of"]

_APPLICATION = re.compile(r"\bapplication_\d+_\d+\b")
_EXIT = re.compile(r"\bexit ?[cC]ode:? (-?\d+)")
_YARN_CLI = "org.apache.hadoop.yarn.client.cli.ApplicationCLI"
_UNKNOWN = ("ApplicationNotFoundException", "doesn't exist in RM")
# Spark says the one of a name and the other of a pattern.
_NO_POD = ("Application not found.", "No applications found")


class Standing(NamedTuple):
    """How an application stands.

    Attributes:
        ended: It has, whichever way.
        code: Exit code, where it is known.
        said: What the manager says of it.
    """

    ended: bool
    code: int | None
    said: str


class Manager(Protocol):
    """Commands are words for a program of Spark's ``bin``; an answer of None says that it has not answered."""

    def application(self, log: str, driver: Mapping[str, str]) -> str:
        """Id of the application that a submission made; empty when it has not."""

    def status(self, application: str) -> Sequence[str]:
        """The command that asks how it stands."""

    def kill(self, application: str) -> Sequence[str]:
        """The command that ends it."""

    def standing(self, answer: str) -> Standing | None:
        """What the answer to `status` means."""


class Yarn:
    """Spark's jars hold YARN's own command line."""

    def application(self, log: str, driver: Mapping[str, str]) -> str:
        found = _APPLICATION.search(log)
        return found[0] if found else ""

    def status(self, application: str) -> Sequence[str]:
        return ["spark-class", _YARN_CLI, "application", "-status", application]

    def kill(self, application: str) -> Sequence[str]:
        return ["spark-class", _YARN_CLI, "application", "-kill", application]

    def standing(self, answer: str) -> Standing | None:
        if any(mark in answer for mark in _UNKNOWN):
            return Standing(True, None, "YARN does not know the application any more")
        values = dict(_pair(line) for line in answer.splitlines() if " : " in line)
        state = values.get("State", "")
        if not state:
            return None
        final, said = values.get("Final-State", ""), values.get("Diagnostics", "")
        found = _EXIT.search(answer)
        code = int(found[1]) if found else 0 if final == "SUCCEEDED" else None
        words = f"YARN: the application is {state.lower()}, {final.lower()}"
        return Standing(state in ("FINISHED", "FAILED", "KILLED"), code, f"{words}: {said}" if said else words)


class Kubernetes:
    """spark-submit speaks to the API server.

    Args:
        master: ``k8s://…``.
        conf: Name of a file of settings: what reaches the server.
    """

    def __init__(self, master: str, conf: str) -> None:
        self._head = ["spark-submit", "--master", master, "--properties-file", conf]

    def application(self, log: str, driver: Mapping[str, str]) -> str:
        return driver["pod"]

    def status(self, application: str) -> Sequence[str]:
        return [*self._head, "--status", application]

    def kill(self, application: str) -> Sequence[str]:
        return [*self._head, "--kill", application]

    def standing(self, answer: str) -> Standing | None:
        if any(mark in answer for mark in _NO_POD):
            return Standing(True, None, "Kubernetes does not know the driver's pod any more")
        phase = re.search(r"phase: (\w+)", answer)
        if phase is None:
            return None
        found = re.search(r"exit code: (-?\d+)", answer)
        code = int(found[1]) if found else 0 if phase[1] == "Succeeded" else None
        return Standing(phase[1] in ("Succeeded", "Failed"), code, f"Kubernetes: the driver's pod is {phase[1]}")


def manager_of(master: str, conf: str) -> Manager:
    """The manager behind a master."""
    return Kubernetes(master, conf) if master.startswith("k8s://") else Yarn()


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" : ")
    return name.strip(), value.strip()
