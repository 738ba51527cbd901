"""A second implementation of costs and deadlines, simple rather than fast.

It reads from the event log what banks and customers did and what settled within a day: arrivals, releases,
splits, settlements, transfers, commitments and changes of credit. Everything else follows from the rules:
which payments are overdue, what a close settles, cancels and lends, every balance, and every cost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from paysim_gym import Scenario

Event = dict[str, Any]
_OF_THE_CLOSE = {"end_of_day", "cancellation", "pool_return", "day_end"}


def rate(fraction: float) -> Fraction:
    """A price, rounded to parts per 10^12."""
    return Fraction(math.floor(fraction * 10**12 + 0.5), 10**12)


@dataclass(frozen=True)
class Payment:
    """An unsettled payment."""

    sender: str
    receiver: str
    amount: int
    deadline: int
    priority: int
    is_overdue: bool = False
    is_released: bool = False


class ReferenceCosts:
    """Accounts and exact costs of all banks."""

    def __init__(self, scenario: Scenario) -> None:
        """Open the accounts of the first day."""
        self._scenario, self._prices = scenario, scenario.costs
        banks = {agent.id: agent for agent in scenario.agents}
        self.balances = {bank: agent.balance for bank, agent in banks.items()}
        self._opening = dict(self.balances)
        self._credit = {bank: agent.credit_limit for bank, agent in banks.items()}
        self._collateral = {bank: agent.collateral for bank, agent in banks.items()}
        self._credit_share = {bank: 1 - rate(agent.collateral_haircut) for bank, agent in banks.items()}
        self._payments: dict[int, Payment] = {}
        self._parents: dict[int, Payment] = {}
        self._pools: dict[str, int] = defaultdict(int)
        self._loans: dict[str, int] = defaultdict(int)
        self._exact: dict[tuple[str, str], Fraction] = defaultdict(Fraction)

    def cents(self, bank: str, component: str) -> int:
        """Whole cents charged so far; the fraction of a cent is carried."""
        return math.floor(self._exact[bank, component])

    def play_tick(self, tick: int, events: Iterable[Event]) -> None:
        """Apply the events of a tick, then charge for it."""
        landed: dict[str, int] = defaultdict(int)
        ends_day = False
        for event in events:
            if event["type"] == "day":
                self._open_day(is_first=event["day"] == 0)
            elif event["type"] in _OF_THE_CLOSE or event.get("mechanism") == "close":
                ends_day = True
            elif event["type"] == "landing" and not ends_day:
                landed[event["bank"]] += event["amount"]
            else:
                self._apply(event)
        self._accrue(tick, is_delay_free=ends_day and self._is_close_free())
        if ends_day:
            self._close(landed)

    def _is_close_free(self) -> bool:
        return self._scenario.end_of_day == "borrow" and not self._prices.delay_at_close

    def _charge(self, bank: str, component: str, amount: Fraction | int) -> None:
        assert amount >= 0
        self._exact[bank, component] += amount

    def _open_day(self, *, is_first: bool) -> None:
        if is_first:
            return
        for bank, opening in self._opening.items():
            if self._scenario.overnight == "reset":
                self.balances[bank] = opening
            else:
                self.balances[bank] -= self._loans[bank]
        self._loans.clear()

    def _apply(self, event: Event) -> None:
        match event["type"]:
            case "transfer":
                for party, amount in (
                    (event["sender"], -event["amount"]),
                    (event["receiver"], event["amount"]),
                ):
                    if party is not None:
                        self.balances[party] += amount
            case "credit_change":
                self._credit[event["bank"]] = event["credit_limit"]
            case "collateral_change":
                self._collateral[event["bank"]] = event["collateral"]
            case "pool_commitment":
                self._pools[event["bank"]] += event["amount"]
                self.balances[event["bank"]] += event["amount"]
                self._charge(event["bank"], "liquidity", rate(self._prices.liquidity_rate) * event["amount"])
            case _:
                self._apply_to_payment(event)

    def _apply_to_payment(self, event: Event) -> None:
        match event["type"]:
            case "arrival":
                self._payments[event["payment"]] = Payment(
                    event["sender"],
                    event["receiver"],
                    event["amount"],
                    event["deadline_tick"],
                    event["priority"],
                )
            case "split":
                self._parents[event["payment"]] = self._payments.pop(event["payment"])
                self._charge(event["sender"], "split", self._prices.split_fee * (event["parts"] - 1))
            case "cut":
                payment = self._payments[event["payment"]]
                assert payment.amount == event["released_amount"] + event["remaining_amount"]
                self._payments[event["payment"]] = replace(payment, amount=event["remaining_amount"])
                self._parents[event["payment"]] = payment
                self._charge(event["sender"], "split", self._prices.split_fee)
            case "release":
                parent = event["parent"]
                payment = self._payments[event["payment"]] if parent is None else self._parents[parent]
                self._payments[event["payment"]] = replace(payment, amount=event["amount"], is_released=True)
            case "settlement":
                self._settle(event["payment"])

    def _settle(self, number: int) -> None:
        payment = self._payments.pop(number)
        self.balances[payment.sender] -= payment.amount
        self.balances[payment.receiver] += payment.amount

    def _accrue(self, tick: int, *, is_delay_free: bool) -> None:
        for bank, balance in self.balances.items():
            self._charge(bank, "overdraft", self._overdraft(balance))
            self._charge(
                bank, "collateral", rate(self._prices.collateral_rate) * self._charged_collateral(bank)
            )
        for number, payment in self._payments.items():
            if not is_delay_free:
                self._charge(payment.sender, "delay", self._delay(payment))
            if payment.deadline <= tick and not payment.is_overdue:
                self._charge(payment.sender, "deadline", self._prices.deadline_penalty)
                self._payments[number] = replace(payment, is_overdue=True)

    def _overdraft(self, balance: int) -> Fraction:
        tiers = [(0, self._prices.overdraft_rate)]
        tiers += [(tier.above, tier.rate) for tier in self._prices.overdraft_tiers]
        ends = [above for above, _ in tiers[1:]] + [max(-balance, tiers[-1][0])]
        depths = [max(0, min(-balance, end) - above) for (above, _), end in zip(tiers, ends, strict=True)]
        return sum((rate(price) * depth for (_, price), depth in zip(tiers, depths, strict=True)), Fraction())

    def _charged_collateral(self, bank: str) -> int:
        posted, share = self._collateral[bank], self._credit_share[bank]
        if self._prices.collateral_charged == "posted":
            return posted
        backed = max(0, -self.balances[bank] - self._credit[bank])
        return min(posted, math.ceil(backed / share)) if share else 0

    def _delay(self, payment: Payment) -> Fraction:
        if payment.is_released and not self._prices.delay_in_central_queue:
            return Fraction()
        overdue = self._prices.overdue_multiplier if payment.is_overdue else 1.0
        factor = overdue * self._prices.priority_multipliers.get(payment.priority, 1.0)
        flat = rate(factor) * self._prices.delay_penalty_per_tick
        return flat + rate(factor * self._prices.delay_rate) * payment.amount

    def _close(self, landed: dict[str, int]) -> None:
        """Charge unsettled payments, apply the end-of-day rule and return the pools."""
        is_lent = self._scenario.end_of_day == "borrow"
        for bank, balance in self.balances.items():
            amounts = [payment.amount for payment in self._payments.values() if payment.sender == bank]
            base = sum(amounts)
            if is_lent:
                # Receipts that landed in this tick can be used from the next one on.
                base = max(0, base - max(0, balance - landed[bank]))
                self._loans[bank] = base
            penalty = self._prices.eod_penalty * len(amounts)
            self._charge(bank, "end_of_day", penalty + rate(self._prices.eod_rate) * base)
        if is_lent:
            for bank, loan in self._loans.items():
                self.balances[bank] += loan
            for number in list(self._payments):
                self._settle(number)
        elif self._scenario.end_of_day == "drop":
            self._payments.clear()
        for bank, amount in self._pools.items():
            self.balances[bank] -= amount
        self._pools.clear()
