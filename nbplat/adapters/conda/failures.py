"""What the conda library says when it fails, as errors that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.environment.nearest import nearest_packages
from nbplat.errors import NbplatError, RemoteError, RequestError

__all__ = ["bad_spec", "missed", "unreachable", "unsatisfiable"]

_TREE_LINES = 14
_LINE_CHARS = 140
_CAUSE_CHARS = 200
_START = "Cannot solve the request because of: "
_LEAF = re.compile(r"(?P<name>[\w.-]+)(?P<limits>[^,\n]*(?:,[^,\n ][^,\n]*)*), for which no candidates were found")
_HIDDEN = re.compile(
    r"(?P<name>[\w.-]+) \S+ is excluded because due to strict channel priority[^']*'(?P<channel>[^']+)'"
)
_ROOT = re.compile(r"No candidates were found for (?P<name>[\w.-]+)(?P<limits>[^\n]*)\.")


def bad_spec(text: str, why: str) -> RequestError:
    """A dependency that is no match spec."""
    return RequestError(
        "env.spec",
        f"{text!r} is no match spec: {why}",
        fix="write NAME, NAME=1.2, or 'NAME >=1.2,<2'",
    )


def unreachable(failed: Mapping[str, Sequence[tuple[str, str]]], platform: str, *, offline: bool) -> RemoteError:
    """Channels that gave no repodata.

    Args:
        failed: Channel -> each address that was tried, with what the library said.
    """
    told = [
        f"{name} ({url}): {_cause(said)}" if url != name else f"{name}: {_cause(said)}"
        for name, tries in failed.items()
        for url, said in tries
    ]
    names = " and ".join(failed)
    said = [said for tries in failed.values() for _, said in tries]
    addresses = [url for tries in failed.values() for url, _ in tries]
    if offline:
        message = f"offline, and nothing is known of the channel {names} for {platform}"
        fix = "run it once without --offline, or use a channel in a folder (nbplat env channel)"
    elif all(url.startswith("file:") for url in addresses):
        message = f"the channel {names} has no repodata for {platform} and noarch"
        fix = "check the folder, or make and index one: nbplat env channel"
    elif any(re.search(r"\b(401|403)\b", text) for text in said):
        message = f"the channel {names} refused us"
        fix = (
            'give its login by reference: [login."HOST"] in the channels file (docs/environments.md, private channels)'
        )
    else:
        message = f"the channel {names} cannot be reached"
        fix = (
            "check its address and the network; name a mirror in the channels file; or work from what is known here "
            "with --offline"
        )
    return RemoteError("env.channel", f"{message}: {'; '.join(told)}", fix=fix)


def unsatisfiable(
    said: str,
    request: Mapping[str, Any],
    urls: Mapping[str, str],
    known: frozenset[str],
    versions: Mapping[str, Sequence[str]],
) -> NbplatError:
    """What the solver could not do: a name that nobody has, a machine that lacks something, or the short tree.

    Args:
        said: The solver's text.
        urls: Address of each channel.
        known: Names of all packages of all channels.
        versions: Of packages that are there, but not as they were asked for (see `missed`); the newest first.
    """
    for name, url in sorted(urls.items(), key=lambda pair: -len(pair[1])):
        said = said.replace(f"{url.rstrip('/')}/", name).replace(url, name)
    leaves = [found.groupdict() for found in (*_LEAF.finditer(said), *_ROOT.finditer(said))]
    for leaf in leaves:
        if leaf["name"] not in known and not leaf["name"].startswith("__"):
            return _unknown(leaf["name"], said, request, known)
    # Where anything else is in conflict too, the tree tells more than the one thing that the machine lacks.
    lacking = [leaf for leaf in leaves if leaf["name"].startswith("__")]
    if lacking and len(lacking) == len(leaves):
        return _lacking(lacking[0], said, request)
    there = "".join(f"\n{name} is there as {', '.join(each)}" for name, each in versions.items() if each)
    return RequestError(
        "env.unsatisfiable",
        f"no packages of {_channels(request)} fit together for {request['platform']}:\n{_tree(said)}{there}",
        fix=_loosen(said, request),
    )


def missed(said: str, known: frozenset[str]) -> list[str]:
    """Names of packages that are there, but in no version or build that was asked for."""
    names = [found["name"] for found in (*_LEAF.finditer(said), *_ROOT.finditer(said))]
    return [name for name in dict.fromkeys(names) if name in known]


def _unknown(name: str, said: str, request: Mapping[str, Any], known: frozenset[str]) -> RequestError:
    asked = any(_name(spec) == name for spec in request["specs"])
    whose = "" if asked else f", which is needed:\n{_tree(said)}"
    near = nearest_packages(name, known)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Check its spelling."
    return RequestError(
        "env.package",
        f"no channel has a package {name!r} for {request['platform']} (asked: {_channels(request)}){whose}",
        fix=f"{hint} Add the channel that has it, or put it under pip: when it is only on the Python index",
    )


def _lacking(leaf: Mapping[str, str], said: str, request: Mapping[str, Any]) -> RequestError:
    name, limits = leaf["name"], leaf["limits"].strip()
    platform = request["platform"]
    offered = request["virtual"].get(name, "")
    has = f"offers {name} {offered}" if offered else f"is not known to offer {name}"
    wanted = re.search(r"\d[\w.]*", limits)
    value = wanted[0] if wanted else "1"
    return RequestError(
        "env.virtual",
        f"{platform} {has}, and {name} {limits} is needed:\n{_tree(said)}".replace(f"{name} , ", f"{name}, "),
        fix=f"if the machines have it, declare it: nbplat: {{virtual: {{{platform}: {{{name}: '{value}'}}}}}}; "
        "otherwise ask for another build or version",
    )


def _loosen(said: str, request: Mapping[str, Any]) -> str:
    """Name the declared demands that stand against what the tree asks for."""
    declared = {_name(spec): spec for spec in request["specs"]}
    if (hidden := _HIDDEN.search(said)) is not None:
        return (
            f"a channel before {hidden['channel']} has {hidden['name']} too and comes first: put {hidden['channel']} "
            f"before it, or write '{hidden['channel']}::{declared.get(hidden['name'], hidden['name'])}'"
        )
    named = {
        name: spec for name, spec in declared.items() if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", said)
    }
    limited = [spec for spec in named.values() if " " in spec.rpartition("::")[2].strip()]
    if limited:
        return f"loosen {' or '.join(repr(spec) for spec in limited)}, or what asks for another version"
    if len(named) > 1:
        return f"{' and '.join(named)} want what cannot be together: take one out, or ask for other versions of them"
    return "ask for another version of what the tree names, or add a channel that has one that fits"


def _tree(said: str) -> str:
    """The solver's tree, cut to a screen."""
    said = said.removeprefix(_START).replace("because due to strict", "due to strict")
    lines = [line.rstrip() for line in said.strip().splitlines() if line.strip()]
    shown = [line if len(line) <= _LINE_CHARS else f"{line[: _LINE_CHARS - 1]}…" for line in lines[:_TREE_LINES]]
    more = len(lines) - len(shown)
    return "\n".join([*shown, *([f"… and {more} more lines"] if more else [])])


def _cause(said: str) -> str:
    """The last cause of the library's chain says it best; before it stands what was asked."""
    lines = [line.removeprefix("Caused by: ").strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:_CAUSE_CHARS] if lines else "no answer"


def _channels(request: Mapping[str, Any]) -> str:
    return ", ".join(one["name"] for one in request["channels"])


def _name(spec: str) -> str:
    """The package that a match spec names."""
    found = re.match(r"[\w.-]+", spec.rpartition("::")[2].strip())
    return found[0].lower() if found else spec
