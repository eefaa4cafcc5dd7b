"""Hold what an environment asks of a machine against one: platform, glibc, CPU level, CUDA."""

from __future__ import annotations

from nbplat.environment.check import ERROR, WARNING, Finding
from nbplat.environment.host import Machine, shortfalls
from nbplat.environment.sides import Side

__all__ = ["check_machine"]


def check_machine(side: Side, machine: Machine | None = None) -> list[Finding]:
    """Hold what an environment asks of a machine against one.

    Args:
        machine: None takes the one that the side itself runs on.
    """
    machine = machine or side.machine
    if machine is None:
        return []
    here = f"the machine {machine.node}".rstrip()
    if side.platform and machine.platform and side.platform != machine.platform:
        return [
            Finding(
                "platform",
                ERROR,
                f"{side.who} is built for {side.platform}, and {here} is {machine.platform}",
                ((side.who, side.platform), (here, machine.platform)),
                f"add {machine.platform} to `platforms` of its `nbplat:` block, `nbplat env lock`, and build it there",
            )
        ]
    findings = []
    for lack in shortfalls(side.demands, side.limits, side.assumed, machine):
        name, found = lack.asked.split()[0], lack.found or "none"
        who = f"{lack.package} of {side.who}" if lack.package else f"the lock of {side.who}"
        asks = "needs" if lack.sure else "was solved for"
        findings.append(
            Finding(
                "machine",
                ERROR if lack.sure else WARNING,
                f"{who} {asks} {lack.asked}, and {here} has {found}",
                ((side.who, lack.asked), (here, found)),
                f'declare what the machines offer (nbplat: {{virtual: {{{name}: "{lack.found or "…"}"}}}}), then '
                "`nbplat env lock` and build again"
                if lack.found
                else f"run it on a machine that has {name}, or take {lack.package or 'what needs it'} out",
                lack.package,
            )
        )
    return findings
