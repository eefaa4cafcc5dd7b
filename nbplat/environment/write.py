"""A definition as the text that reads as it."""

from __future__ import annotations

from collections.abc import Sequence

from nbplat.environment.definition import Definition, LocalPackage, PackRules, Targets
from nbplat.environment.edit_text import scalar

__all__ = ["to_yaml"]


def to_yaml(definition: Definition) -> str:
    """YAML in the order of the page; only what is not the default is written."""
    lines = [f"name: {scalar(definition.name)}", "channels:", *(f"  - {scalar(each)}" for each in definition.channels)]
    lines += ["dependencies:", *(f"  - {scalar(each)}" for each in definition.dependencies)]
    if definition.pip:
        lines += ["  - pip:", *(f"      - {scalar(each)}" for each in definition.pip)]
    ours = _ours(definition)
    return "\n".join([*lines, *(["nbplat:", *(f"  {line}" for line in ours)] if ours else [])]) + "\n"


def _ours(definition: Definition) -> list[str]:
    lines = []
    if definition.platforms:
        lines.append(f"platforms: {_flow(definition.platforms)}")
    if definition.virtual:
        lines.append("virtual:")
        for platform, found in definition.virtual.items():
            inside = ", ".join(f"{name}: {scalar(version, flow=True)}" for name, version in found.items())
            lines.append(f"  {scalar(platform)}: {{{inside}}}")
    if definition.local:
        lines += ["local:", *(f"  - {_local(each)}" for each in definition.local)]
    if definition.targets != Targets():
        found = {"spark": definition.targets.spark, "ray": definition.targets.ray}
        inside = ", ".join(f"{name}: {scalar(version, flow=True)}" for name, version in found.items() if version)
        lines.append(f"targets: {{{inside}}}")
    if definition.pack != PackRules():
        pack = definition.pack
        lines += [
            "pack:",
            f"  format: {pack.format}",
            f"  slim: {str(pack.slim).lower()}",
            f"  pyc: {str(pack.pyc).lower()}",
        ]
        lines += [f"  {name}: {_flow(globs)}" for name, globs in (("keep", pack.keep), ("drop", pack.drop)) if globs]
    return lines


def _local(package: LocalPackage) -> str:
    return (
        f"{{path: {scalar(package.path, flow=True)}, extras: {_flow(package.extras)}}}"
        if package.extras
        else scalar(package.path)
    )


def _flow(texts: Sequence[str]) -> str:
    return f"[{', '.join(scalar(each, flow=True) for each in texts)}]"
