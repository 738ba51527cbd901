"""What a run has come to: the engine's own totals, and what is tallied from tick to tick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.server.schemas import BankMetrics, CostComponents, Metrics


@dataclass(slots=True)
class Tally:
    """What the engine does not keep; the lists of money have one entry a bank."""

    banks: list[str]
    balance_sums: list[int]
    least_balances: list[int]
    received: list[int]
    ticks: int = 0
    arrivals: int = 0
    settlements: int = 0
    settled_value: int = 0
    dropped: int = 0
    max_queue_depth: int = 0

    @classmethod
    def opening(cls, banks: Sequence[str], balances: Sequence[int]) -> Tally:
        """The tally before the first tick."""
        zeros = [0] * len(banks)
        return cls([*banks], zeros, [*balances], [*zeros])

    def add(
        self, outcome: Mapping[str, Any], balances: Sequence[int], events: Iterable[Mapping[str, Any]]
    ) -> None:
        """Count one tick.

        Args:
            outcome: What `Orchestrator.tick` returned.
            balances: What `Orchestrator.balances` returns after it.
            events: What `Orchestrator.events` returns after it.
        """
        self.ticks += 1
        self.arrivals += outcome["arrivals"]
        self.settlements += outcome["settlements"]
        self.settled_value += outcome["settled_value"]
        self.dropped += outcome["dropped"]
        self.max_queue_depth = max(self.max_queue_depth, outcome["queue_depth"])
        places = {bank: place for place, bank in enumerate(self.banks)}
        before_close = [*balances]
        for event in events:
            if event["type"] == "settlement":
                self.received[places[event["receiver"]]] += event["amount"]
            for bank, cents in _moved_by_close(event):
                before_close[places[bank]] -= cents
        for place, balance in enumerate(before_close):
            self.balance_sums[place] += balance
            least = self.least_balances[place]
            self.least_balances[place] = balance if self.ticks == 1 else min(least, balance)


def report(totals: Sequence[Mapping[str, Any]], tally: Tally) -> Metrics:
    """The metrics of a run.

    Args:
        totals: What `Orchestrator.totals` returned.
        tally: What was counted from tick to tick.
    """
    costs = summed_costs(totals)
    return Metrics(
        ticks=tally.ticks,
        arrivals=tally.arrivals,
        arrived_value=sum(bank["arrived_value"] for bank in totals),
        settlements=tally.settlements,
        settled_value=tally.settled_value,
        dropped=tally.dropped,
        settlement_rate=_by_value(totals, "settlement_rate", 1.0),
        mean_delay=_by_value(totals, "mean_delay", 0.0),
        max_queue_depth=tally.max_queue_depth,
        cost=sum(costs.values()),
        costs=CostComponents(**costs),
        banks=[_bank(place, bank, tally) for place, bank in enumerate(totals)],
    )


def summed_costs(parts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Component to cents of all parts, each of which has `costs`."""
    sums = dict.fromkeys(COST_COMPONENTS, 0)
    for part in parts:
        for name, cents in part["costs"].items():
            sums[name] += cents
    return sums


def _bank(place: int, totals: Mapping[str, Any], tally: Tally) -> BankMetrics:
    return BankMetrics(
        bank=tally.banks[place],
        arrivals=totals["arrived_count"],
        settlements=totals["settled_count"],
        dropped=totals["dropped_count"],
        settlement_rate=totals["settlement_rate"],
        mean_delay=totals["mean_delay"],
        mean_balance=_ratio(tally.balance_sums[place], tally.ticks),
        min_balance=tally.least_balances[place],
        sent=totals["settled_value"],
        received=tally.received[place],
        liquidity_used=totals["liquidity_used"],
        turnover=_ratio(totals["settled_value"], totals["liquidity_used"]),
        cost=totals["cost"],
        costs=CostComponents(**totals["costs"]),
    )


def _moved_by_close(event: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Banks whose balance a day's close has changed by this event, and by how many cents."""
    match event["type"]:
        case "pool_return":
            return [(event["bank"], -event["amount"])]
        case "end_of_day":
            return [(event["bank"], event["borrowed"])]
        case "settlement" if event["mechanism"] == "close":
            return [(event["sender"], -event["amount"]), (event["receiver"], event["amount"])]
        case _:
            return []


def _by_value(totals: Sequence[Mapping[str, Any]], ratio: str, if_none_came: float) -> float:
    """The mean of the banks' ratios, each weighted by the value of its payments."""
    arrived_value = sum(bank["arrived_value"] for bank in totals)
    weighted = sum(bank[ratio] * bank["arrived_value"] for bank in totals)
    return float(weighted / arrived_value) if arrived_value else if_none_came


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
