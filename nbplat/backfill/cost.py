"""What a plan costs at a person's own prices; nothing is assumed, and without prices there is no cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbplat.errors import RequestError

if TYPE_CHECKING:
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.config import Config

__all__ = ["HOW_TO_SET", "Cost", "Prices", "check_cost", "plan_cost", "prices_of"]

HOW_TO_SET = "none shown: set prices.cpu_hour, prices.ram_gb_hour and prices.storage_gb_month in nbplat.toml"

_GB = 1e9
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of the machine that stages; 0 is no price.

    Attributes:
        cpu_hour: Of one core for an hour.
        ram_gb_hour: Of a gigabyte (1e9 bytes) of memory for an hour.
        storage_gb_month: Of a gigabyte stored for a month.
        cores: How many cores a run keeps busy.
        memory_bytes: How much memory it may use.
    """

    cpu_hour: float = 0.0
    ram_gb_hour: float = 0.0
    storage_gb_month: float = 0.0
    currency: str = "USD"
    cores: int = 1
    memory_bytes: int = 0

    @property
    def any(self) -> bool:
        """True when at least one price is set."""
        return bool(self.cpu_hour or self.ram_gb_hour or self.storage_gb_month)


@dataclass(frozen=True, slots=True)
class Cost:
    """A plan's cost, in `currency`.

    Attributes:
        cpu, memory: Of staging; None when nothing was sampled, so that its time is not known.
        storage_month: Of a month of the staged files and of the copy that promotion makes.
    """

    cpu: float | None
    memory: float | None
    storage_month: float
    currency: str

    @property
    def total(self) -> float | None:
        """Staging and one month of storage; None when the staging time is not known."""
        return None if self.cpu is None or self.memory is None else self.cpu + self.memory + self.storage_month

    def lines(self) -> list[str]:
        """One clause a part, most telling first."""
        storage = f"{_amount(self.storage_month)} {self.currency} a month for the copy and the staged files"
        if self.total is None or self.cpu is None or self.memory is None:
            return [f"{storage}; the time to stage is not known (nothing was sampled)"]
        parts = f"{_amount(self.cpu)} for cores, {_amount(self.memory)} for memory (sampled), {storage}"
        return [f"{_amount(self.total)} {self.currency}: {parts}"]


def prices_of(config: Config) -> Prices:
    """The prices of a configuration, for the cores and the memory that it lets a step use."""
    return Prices(
        cpu_hour=config.cpu_price_hour,
        ram_gb_hour=config.ram_price_gb_hour,
        storage_gb_month=config.storage_price_gb_month,
        currency=config.currency,
        cores=config.cores,
        memory_bytes=config.memory_bytes,
    )


def plan_cost(plan: BackfillPlan, prices: Prices) -> Cost | None:
    """What the plan costs; None without any price."""
    if not prices.any:
        return None
    held = (plan.copy_bytes + plan.write_bytes) / _GB
    hours = None if plan.seconds is None else plan.seconds / _HOUR_S
    # A part without a price costs nothing, however long it takes.
    return Cost(
        cpu=hours * prices.cores * prices.cpu_hour if hours is not None else None if prices.cpu_hour else 0.0,
        memory=hours * prices.memory_bytes / _GB * prices.ram_gb_hour
        if hours is not None
        else None
        if prices.ram_gb_hour
        else 0.0,
        storage_month=held * prices.storage_gb_month,
        currency=prices.currency,
    )


def check_cost(plan: BackfillPlan, prices: Prices, most: float | None) -> None:
    """Return when the plan costs at most `most`; None allows any cost.

    Raises:
        RequestError: ``cost.over``, ``cost.prices`` (there are none) or ``cost.unknown`` (nothing was sampled).
    """
    if most is None:
        return
    cost = plan_cost(plan, prices)
    if cost is None:
        raise RequestError(
            "cost.prices", "--max-cost needs prices, and none are set", fix="set prices.cpu_hour in nbplat.toml"
        )
    if cost.total is None:
        raise RequestError(
            "cost.unknown",
            "the time to stage is not known, because nothing was sampled",
            fix="look at the plan, and leave --max-cost out",
        )
    if cost.total > most:
        raise RequestError(
            "cost.over",
            f"the run would cost {cost.lines()[0]}; --max-cost is {_amount(most)} {cost.currency}",
            fix="narrow the window (--from, --to), or raise --max-cost",
        )


def _amount(value: float) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}" if value >= 0.0001 else f"{value:.2g}"
