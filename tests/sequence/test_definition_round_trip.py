"""Random definitions through YAML, JSON and Python keys, in any order of their keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.sequence.definition_diff import diff_definitions
from nbplat.sequence.definition_json import from_json, from_record, to_json, to_record
from nbplat.sequence.parse import from_keys, parse_definition
from nbplat.sequence.write import to_keys, to_yaml
from tests.sequence.definitions import definition_keys

MANY = settings(max_examples=80, deadline=None)


@MANY
@given(keys=definition_keys())
def test_yaml_reads_back_as_the_same_definition(keys: dict[str, Any]) -> None:
    """What `to_yaml` writes is the same definition with the same version, whatever its names are."""
    made = from_keys("s", **keys)
    again = parse_definition(to_yaml(made), "s")
    assert made == again
    assert made.version == again.version
    assert to_yaml(made) == to_yaml(again)


@MANY
@given(keys=definition_keys())
def test_json_and_python_keys_read_back_as_the_same_definition(keys: dict[str, Any]) -> None:
    """JSON, the short keys, the structured ones and those with every default lead to the same version."""
    made = from_keys("s", **keys)
    assert made == from_json(to_json(made))
    assert made.version == from_record(json.loads(json.dumps(to_record(made), sort_keys=True))).version
    for full in (False, True):
        for structured in (False, True):
            assert made == from_keys("s", **to_keys(made, full=full, structured=structured))


@MANY
@given(keys=definition_keys(), order=st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_the_version(keys: dict[str, Any], order: Any) -> None:
    """Types, features, enrichments and keys may be written in any order."""
    made, other = from_keys("s", **keys), from_keys("other", **_shuffled(keys, order))
    assert made.version == other.version
    assert () == diff_definitions(made, other)


@settings(max_examples=80, deadline=None)
@given(one=definition_keys(), two=definition_keys(), data=st.data())
def test_definitions_differ_exactly_when_their_versions_do(one: dict[str, Any], two: dict[str, Any], data: Any) -> None:
    """The diff is empty for one version and names a key for two, even when only one key was changed."""
    made = from_keys("s", **one)
    name = data.draw(st.sampled_from(sorted({"time_unit", "show", "as_of"} & {*one, *two}) or ["show"]))
    changed = from_keys(
        "s", **{**{k: v for k, v in one.items() if k != name}, **({name: two[name]} if name in two else {})}
    )
    for other in (from_keys("s", **two), changed):
        assert (made.version == other.version) == (() == diff_definitions(made, other))


def _shuffled(value: Any, order: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    items = [(name, _shuffled(each, order)) for name, each in value.items()]
    order.shuffle(items)
    return dict(items)
