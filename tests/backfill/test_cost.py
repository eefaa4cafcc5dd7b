"""What a plan costs at the user's own prices, and what it says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbplat.backfill.cost import Prices, check_cost, plan_cost
from nbplat.backfill.explain import bytes_by_partition, explain_plan
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import RequestError
from tests.fixtures.lakehouse import ORDERS, Lake

PRICES = Prices(
    cpu_hour=2.0, ram_gb_hour=0.5, storage_gb_month=0.1, currency="EUR", cores=4, memory_bytes=2_000_000_000
)


@pytest.fixture
def plan(lake: Lake) -> BackfillPlan:
    plan = lake.backfills.plan(BackfillSpec.build("f", ORDERS, "select id, x * 2D as f from base"))
    units = tuple(replace(unit, file_bytes=1_000_000_000) for unit in plan.units)
    return replace(plan, units=units, write_bytes=500_000_000, seconds=1800.0)


def test_a_cost_is_cores_memory_and_a_month_of_storage(plan: BackfillPlan):
    """Half an hour of four cores and two gigabytes, and a month of what is stored beside the table."""
    cost = plan_cost(plan, PRICES)

    assert cost is not None
    assert (4.0, 0.5, pytest.approx(0.65)) == (cost.cpu, cost.memory, cost.storage_month)
    assert pytest.approx(5.15) == cost.total
    [line] = cost.lines()
    assert line.startswith("5.15 EUR: 4.00 for cores, 0.5000 for memory (sampled), 0.6500 EUR a month for the copy")


def test_without_prices_there_is_no_cost_and_the_plan_says_how_to_set_them(plan: BackfillPlan):
    """Nothing is assumed."""
    assert plan_cost(plan, Prices()) is None
    assert dict(explain_plan(plan, Prices()))["cost"].startswith("none shown: set prices")


def test_without_a_sample_the_time_is_not_known(plan: BackfillPlan):
    """Storage is told all the same; a price that is not set needs no time."""
    blind = replace(plan, seconds=None)
    cost = plan_cost(blind, PRICES)
    stored = plan_cost(blind, Prices(storage_gb_month=0.1))

    assert cost is not None
    assert stored is not None
    assert (None, pytest.approx(0.65)) == (cost.total, stored.total)
    assert "not known" in cost.lines()[0]


@pytest.mark.parametrize(
    ("prices", "seconds", "most", "code"),
    [
        (PRICES, 1800.0, 5.0, "cost.over"),
        (Prices(), 1800.0, 5.0, "cost.prices"),
        (PRICES, None, 5.0, "cost.unknown"),
        (PRICES, 1800.0, 0.0, "cost.over"),
    ],
)
def test_a_ceiling_refuses(plan: BackfillPlan, prices: Prices, seconds: float | None, most: float, code: str):
    """Above it, without prices, and where the cost cannot be known."""
    with pytest.raises(RequestError) as refused:
        check_cost(replace(plan, seconds=seconds), prices, most)

    assert code == refused.value.code
    check_cost(plan, PRICES, 5.2)
    check_cost(plan, Prices(), None)


def test_a_plan_says_how_files_land_what_is_held_and_what_is_audited(plan: BackfillPlan):
    """Files are grouped by strategy and reason, with their bytes."""
    mixed = replace(
        plan,
        units=(replace(plan.units[0], strategy="rewrite", reason="deletes apply"), *plan.units[1:]),
        overlaps=("other@1 (staged) lands on files of this table too",),
    )
    facts = explain_plan(mixed, PRICES)

    assert ["5 files by splice (5.0 GB)", "1 file by rewrite (1.0 GB)"] == [
        text.split(":")[0] for name, text in facts if name == "promotion"
    ]
    told = dict(facts)
    assert told["held"].startswith("6.5 GB extra until `%backfill expire`")
    assert told["overlap"].startswith("other@1")
    assert {"blocks", "warns"} == {text.split(":")[0] for name, text in facts if name == "audit"}


def test_the_window_line_says_what_becomes_of_rows_outside(plan: BackfillPlan):
    """Null for new columns, the old value for replaced ones."""
    assert "rows outside it stay null" in dict(explain_plan(plan))["window"]
    assert dict(explain_plan(replace(plan, replaced=("f",))))["window"].endswith("f keeps its old values outside it")


def test_many_partitions_are_drawn_by_their_first_field(plan: BackfillPlan):
    """Up to 24 bars are of whole partitions; more are of months."""
    assert 6 == len(bytes_by_partition(plan))
    many = tuple(
        replace(plan.units[0], partition=f"month=2024-{n % 3}, bucket={n}", read_bytes=1, file_bytes=2)
        for n in range(30)
    )

    assert [(f"month=2024-{n}", 10, 20) for n in range(3)] == bytes_by_partition(replace(plan, units=many))


def test_a_plan_for_spark_says_what_is_known_of_shuffles(plan: BackfillPlan):
    """An unpartitioned table cannot be storage-partitioned; of others Spark decides, and its log tells."""
    spark = replace(plan, engine="spark")

    assert "shuffle" not in dict(explain_plan(plan))
    assert "storage-partitioned" in dict(explain_plan(spark))["shuffle"]
    assert dict(explain_plan(replace(spark, partitioning="unpartitioned")))["shuffle"].startswith("not storage")
