"""Levels and thresholds from the cell and the configuration, and the closed set of rules."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import nbplat.backfill.audit.rules as rules_folder
from nbplat.backfill.audit import RULES, Level, Rule, read_checks
from nbplat.config import load_config
from nbplat.errors import RequestError

NULLS = next(rule for rule in RULES if rule.code == "nulls")
RANGE = next(rule for rule in RULES if rule.code == "range")


def checks(spec: dict[str, str], config: dict[str, str] | None = None) -> Any:
    return read_checks(spec, config or {}, RULES, ["spend", "visits"])


def test_the_rules_are_a_closed_set() -> None:
    """One class a file, each registered once, under a code of one lower-case word."""
    files = [path for path in Path(rules_folder.__file__).parent.glob("*.py") if path.stem != "__init__"]
    classes = [
        node.name
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Rule" for base in node.bases)
    ]
    assert sorted(classes) == sorted(rule.__name__ for rule in RULES)
    assert len(files) == len(RULES) == len({rule.code for rule in RULES})
    expected = {
        *("rows", "keys", "alignment", "type", "nulls", "coverage", "range", "constant"),
        *("drift", "neighbours", "determinism", "leak", "unchanged"),
    }
    assert expected == {rule.code for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_explains_itself(rule: type[Rule]) -> None:
    """Title, reason, example and mend are there, and defaults lie within their own bounds."""
    assert rule.code.isalpha()
    assert rule.code.islower()
    for text in (rule.title, rule.why, rule.example, rule.fix):
        assert len(text.split()) > 3
    assert Level.OFF is not rule.level
    assert not rule.fixed or rule.level is Level.BLOCK
    for threshold in rule.thresholds:
        assert threshold.help
        if threshold.default is not None:
            assert (threshold.least or 0) <= threshold.default <= (threshold.most or threshold.default)


def test_the_cell_wins_over_the_configuration_and_both_over_the_rule() -> None:
    """Each layer beats the one behind it; within a layer a column beats the rule."""
    assert Level.BLOCK is checks({}).level(NULLS, "spend")
    config = {"nulls": "warn", "nulls.max_share": "0.5", "nulls@visits": "off"}
    assert Level.WARN is checks({}, config).level(NULLS, "spend")
    assert Level.OFF is checks({}, config).level(NULLS, "visits")
    assert 0.5 == checks({}, config).limits(NULLS).get("max_share", "spend")
    cell = checks({"nulls": "block", "nulls.max_share@spend": "0.1"}, config)
    assert Level.BLOCK is cell.level(NULLS, "visits")
    assert (0.1, 0.5) == tuple(cell.limits(NULLS).get("max_share", name) for name in ("spend", "visits"))


def test_a_nested_measure_has_the_settings_of_its_column() -> None:
    """`emb.norm` is judged by what is set for `emb`."""
    assert Level.OFF is read_checks({"range@emb": "off"}, {}, RULES, ["emb"]).level(RANGE, "emb.norm")


def test_a_limit_can_be_set_and_taken_away() -> None:
    """The range has no limits until one is given; `none` takes the configuration's away; negative limits are fine."""
    assert None is checks({}).limits(RANGE).get("min", "spend")
    assert -5.0 == checks({"range.min": "-5"}).limits(RANGE).get("min", "spend")
    assert None is checks({"range.min@spend": "none"}, {"range.min": "0"}).limits(RANGE).get("min", "spend")


@pytest.mark.parametrize(
    ("key", "value", "code", "says"),
    [
        ("null", "warn", "audit.rule", "did you mean nulls"),
        ("nothing_like_it", "warn", "audit.rule", "known: alignment"),
        ("nulls", "wran", "audit.level", "did you mean warn"),
        ("nulls.max_shar", "0.1", "audit.threshold", "did you mean max_share"),
        ("alignment.tolerance", "0.1", "audit.threshold", "set its level only"),
        ("nulls@spent", "warn", "audit.column", "did you mean spend"),
        ("nulls.max_share", "lots", "audit.value", "a number from 0 to 1"),
        ("nulls.max_share", "1.5", "audit.value", "from 0 to 1"),
        ("nulls.max_share", "nan", "audit.value", "from 0 to 1"),
        ("leak.rows", "1.5", "audit.value", "a whole number from 1"),
        ("nulls.max_share", "none", "audit.value", "a number"),
        ("alignment", "warn", "audit.level", "leave --check alignment out"),
        ("unchanged", "off", "audit.level", "leave --check unchanged out"),
    ],
)
def test_a_wrong_check_is_refused(key: str, value: str, code: str, says: str) -> None:
    """Unknown rules, thresholds and columns, values out of bounds, and rules that promotion relies on."""
    with pytest.raises(RequestError) as caught:
        checks({key: value})
    assert code == caught.value.code
    assert says in caught.value.fix
    assert f"--check {key}" in caught.value.message


def test_a_wrong_setting_names_its_key_and_foreign_columns_are_passed_over() -> None:
    """The configuration is for all runs: it may name columns of others, but no unknown rule."""
    assert Level.BLOCK is checks({}, {"nulls@other": "off"}).level(NULLS, "spend")
    with pytest.raises(RequestError) as caught:
        checks({}, {"nuls": "warn"})
    assert "audit.nuls" in caught.value.message


def test_the_audit_table_of_a_file_and_its_variables_are_read(tmp_path: Path) -> None:
    """`[audit]` in nbplat.toml and NBPLAT_AUDIT_* give rule and threshold; each knows where it came from."""
    (tmp_path / "nbplat.toml").write_text('[audit]\nnulls = "warn"\n"range.min@spend" = 0\n[audit.drift]\npsi = 0.5\n')
    environ = {"NBPLAT_AUDIT_NULLS_MAX_SHARE": "0.2", "NBPLAT_AUDIT_LEAK": "warn"}
    config = load_config({"audit.constant": "off"}, environ=environ, cwd=tmp_path, user_file=tmp_path / "none")
    expected = {
        "nulls": "warn",
        "range.min@spend": "0",
        "drift.psi": "0.5",
        "nulls.max_share": "0.2",
        "leak": "warn",
        "constant": "off",
    }
    assert expected == config.audit
    assert Level.WARN is checks({}, dict(config.audit)).level(NULLS, "spend")
    shown = {setting.key: (setting.value, setting.source) for setting in config.settings()}
    assert ("warn", str(tmp_path / "nbplat.toml")) == shown["audit.nulls"]
    assert ("0.2", "NBPLAT_AUDIT_NULLS_MAX_SHARE") == shown["audit.nulls.max_share"]
    assert ("off", "option") == shown["audit.constant"]
