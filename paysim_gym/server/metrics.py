"""What a run has come to: the engine's own totals, and what is tallied from tick to tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.server.schemas import BankMetrics, Metrics


class Tally(BaseModel):
    """What the engine does not keep. Lists have one entry a bank, in the order of the scenario."""

    ticks: int = 0
    arrivals: int = 0
    settlements: int = 0
    dropped: int = 0
    settled_value: int = 0
    max_queue_depth: int = 0
    costs: dict[str, int]
    balance_sums: list[int]
    least_balances: list[int]
    received_counts: list[int]
    received_values: list[int]

    @classmethod
    def opening(cls, balances: Sequence[int]) -> Tally:
        """The tally before the first tick."""
        zeros = [0] * len(balances)
        return cls(
            costs=dict.fromkeys(COST_COMPONENTS, 0),
            balance_sums=zeros,
            least_balances=[*balances],
            received_counts=[*zeros],
            received_values=[*zeros],
        )

    def add(self, outcome: Mapping[str, Any], balances: Sequence[int]) -> None:
        """Count one tick: what `Orchestrator.tick` returned, and the balances after it."""
        self.ticks += 1
        self.arrivals += outcome["arrivals"]
        self.settlements += outcome["settlements"]
        self.dropped += outcome["dropped"]
        self.settled_value += outcome["settled_value"]
        self.max_queue_depth = max(self.max_queue_depth, outcome["queue_depth"])
        for component, cents in outcome["costs"].items():
            self.costs[component] += cents
        is_first = self.ticks == 1
        for bank, balance in enumerate(balances):
            self.balance_sums[bank] += balance
            self.least_balances[bank] = balance if is_first else min(self.least_balances[bank], balance)

    def receive(self, bank: int, amount: int) -> None:
        """Count one payment that a bank has received."""
        self.received_counts[bank] += 1
        self.received_values[bank] += amount


def report(banks: Sequence[str], totals: Sequence[Mapping[str, Any]], tally: Tally) -> Metrics:
    """The metrics of a run.

    Args:
        banks: Ids of the banks, in the order of the scenario.
        totals: What `Orchestrator.totals` returned.
        tally: What was counted from tick to tick.
    """
    arrived_value = sum(bank["arrived_value"] for bank in totals)
    liquidity_used = sum(bank["liquidity_used"] for bank in totals)
    return Metrics(
        ticks=tally.ticks,
        arrivals=tally.arrivals,
        settlements=tally.settlements,
        dropped=tally.dropped,
        settled_value=tally.settled_value,
        settlement_rate=_by_value(totals, "settlement_rate") if arrived_value else 1.0,
        mean_delay=_by_value(totals, "mean_delay") if arrived_value else 0.0,
        max_queue_depth=tally.max_queue_depth,
        liquidity_used=liquidity_used,
        turnover=_ratio(tally.settled_value, liquidity_used),
        costs=tally.costs,
        cost=sum(tally.costs.values()),
        agents=[_bank(bank, index, totals[index], tally) for index, bank in enumerate(banks)],
    )


def _bank(bank: str, index: int, totals: Mapping[str, Any], tally: Tally) -> BankMetrics:
    return BankMetrics(
        id=bank,
        mean_balance=_ratio(tally.balance_sums[index], tally.ticks),
        min_balance=tally.least_balances[index],
        sent_count=totals["settled_count"],
        sent_value=totals["settled_value"],
        received_count=tally.received_counts[index],
        received_value=tally.received_values[index],
        liquidity_used=totals["liquidity_used"],
        turnover=_ratio(totals["settled_value"], totals["liquidity_used"]),
        settlement_rate=totals["settlement_rate"],
        mean_delay=totals["mean_delay"],
        cost=totals["cost"],
    )


def _by_value(totals: Sequence[Mapping[str, Any]], ratio: str) -> float:
    """The mean of the banks' ratios, each weighted by the value of its payments."""
    weighted = sum(bank[ratio] * bank["arrived_value"] for bank in totals)
    return float(weighted / sum(bank["arrived_value"] for bank in totals))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
