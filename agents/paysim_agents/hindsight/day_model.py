"""A learner's day as a mixed-integer program: when each payment settles, and what that costs.

The program is a relaxation of the day that `paysim_agents.hindsight.recorded_day` has recorded: every way to play it is a
solution that costs no more. How tight it is, `paysim_agents.hindsight` finds out by playing its solution.

A payment is released in the tick in which it settles, or its first part does. A plan that releases it
earlier costs no less where receipts are fixed: held until then, it settles in the same tick, as all that
settles in that tick can be paid together; a part that waits in the central queue costs no less than the
same part of a payment that is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp  # type: ignore[import-untyped]
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from paysim_agents.hindsight.recorded_day import Order, RecordedDay
from paysim_gym.scenario.prices import Costs

Terms = Mapping[int, float]
"""Column to factor."""
_RATE_PARTS = 10**12
"""Prices are whole numbers of parts in the engine; see `rust_env/src/units.rs`."""


@dataclass
class Program:
    """Columns and rows of a program, as they are added."""

    costs: list[float] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    integral: list[bool] = field(default_factory=list)
    _rows: list[tuple[Terms, float, float]] = field(default_factory=list)

    def add(
        self, cost: float = 0.0, low: float = 0.0, high: float = np.inf, *, integral: bool = False
    ) -> int:
        """Add a column; returns its number."""
        self.costs.append(cost)
        self.lows.append(low)
        self.highs.append(high)
        self.integral.append(integral)
        return len(self.costs) - 1

    def add_choice(self, cost: float = 0.0) -> int:
        """Add a column that is 0 or 1."""
        return self.add(cost, high=1, integral=True)

    def require(self, terms: Terms, low: float = -np.inf, high: float = np.inf) -> None:
        """Keep a sum of columns between two numbers."""
        self._rows.append((terms, low, high))

    def solve(self, node_limit: int, relative_gap: float) -> OptimizeResult:
        """Minimise with HiGHS; nodes are a limit that is the same on every machine, seconds are not."""
        entries = [(row, *term) for row, (terms, *_) in enumerate(self._rows) for term in terms.items()]
        rows, columns, factors = zip(*entries, strict=True)
        matrix = csr_array((factors, (rows, columns)), shape=(len(self._rows), len(self.costs)))
        constraints = LinearConstraint(matrix, [row[1] for row in self._rows], [row[2] for row in self._rows])
        return milp(
            self.costs,
            integrality=np.array(self.integral, np.int64),
            bounds=Bounds(self.lows, self.highs),
            constraints=constraints,
            options={"node_limit": node_limit, "mip_rel_gap": relative_gap},
        )


@dataclass(frozen=True)
class Way:
    """A way to pay an order: whole, or split.

    Attributes:
        parts: How many; 1 is whole.
        amounts: Of the parts, in cents; the last takes the remainder.
        settled: For each part, by tick from the order's arrival, the column that is 1 if it has settled by
            the end of that tick.
    """

    parts: int
    amounts: tuple[int, ...]
    settled: tuple[tuple[int, ...], ...]


class DayModel:
    """The program of a recorded day; money is in units of `scale` cents, costs in cents.

    Attributes:
        program: Columns and rows.
        ways: For each order its ways, the whole one first.
        pool: Column of each share of the pool on offer, lowest first; empty without a pool.
        constant: Cents that are not in the program's costs.
    """

    def __init__(self, day: RecordedDay, receipts: NDArray[np.int64], split_parts: Sequence[int]) -> None:
        """Build it.

        Args:
            day: The day.
            receipts: What the learner receives, in cents by tick.
            split_parts: Numbers of parts that a payment may be split into.
        """
        self._day, self._prices = day, day.scenario.costs
        self._ticks, self._rail = len(day.credit_cents), day.scenario.rails[0]
        self.scale = float(max([1, *(order.amount for order in day.orders)]))
        self.program, self.constant = Program(), float(day.fixed_cost_cents)
        self._receipts = (receipts / self.scale).tolist()
        self._most: list[float] = []  # more than the balance at the end of each tick can be
        self.pool = self._offer_pool(2 + len(split_parts))
        self.ways = [self._offer(order, split_parts) for order in day.orders]
        self._balances = self._keep_accounts()
        self._price_overdrafts()
        self._limit_credit()
        self._close()
        if day.receipts_are_fixed and self._rail.queue_discipline != "priority":
            self._keep_parts_busy()

    def _offer_pool(self, choices: int) -> list[int]:
        bank = next(agent for agent in self._day.scenario.agents if agent.id == self._day.learner)
        self.pool_amounts: list[int] = []
        if not bank.liquidity_pool:
            return []
        for choice in range(choices):
            share = _parts_of(choice / (choices - 1))
            self.pool_amounts.append(share * bank.liquidity_pool // _RATE_PARTS)
        columns = [
            self.program.add_choice(_rate(self._prices.liquidity_rate) * amount)
            for amount in self.pool_amounts
        ]
        self.program.require(dict.fromkeys(columns, 1.0), 1, 1)
        return columns

    def _offer(self, order: Order, split_parts: Sequence[int]) -> list[Way]:
        """Columns for every way to pay an order; one of them at most is taken."""
        kinds = [1, *(parts for parts in split_parts if order.divisible and order.amount >= parts)]
        waiting = {parts: self._waiting_costs(order, parts) for parts in kinds}
        unsettled = self._unsettled_costs(order, 1)[0]
        self.constant += unsettled
        ways = []
        for parts in kinds:
            amounts = part_amounts(order.amount, parts)
            left = self._unsettled_costs(order, parts)
            fee = self._prices.split_fee * (parts - 1)
            whole, rest = waiting[1][0], range(1, parts)
            first = [
                fee + cost - unsettled + sum(left[part] - waiting[parts][part][tick] for part in rest)
                for tick, cost in enumerate(whole[:-1])
            ]
            later = [[cost - left[part] for cost in waiting[parts][part][:-1]] for part in rest]
            columns = tuple(self._settle_once(costs) for costs in (first, *later))
            ways.append(Way(parts, amounts, columns))
            for ahead, behind in pairwise(columns):  # a part settles no earlier than the one before it
                for tick in range(len(ahead)):
                    self.program.require({behind[tick]: 1.0, ahead[tick]: -1.0}, high=0)
        self.program.require({way.settled[0][-1]: 1.0 for way in ways}, high=1)
        return ways

    def _settle_once(self, costs: Sequence[float]) -> tuple[int, ...]:
        """Columns of one part: whether it has settled, by tick; `costs` are those of settling at each."""
        columns = tuple(self.program.add_choice(now - then) for now, then in pairwise((*costs, 0.0)))
        for before, after in pairwise(columns):
            self.program.require({before: 1.0, after: -1.0}, high=0)
        return columns

    def _waiting_costs(self, order: Order, parts: int) -> list[list[float]]:
        """For each part, cents of waiting from its arrival up to each tick, the end of the day included."""
        prices = self._prices
        factor = prices.priority_multipliers.get(order.priority, 1.0)
        is_lent = self._day.scenario.end_of_day == "borrow" and not prices.delay_at_close
        costs = []
        for amount in part_amounts(order.amount, parts):
            cost, by_tick, due = 0.0, [0.0], max(order.arrival, order.deadline)
            for tick in range(order.arrival, self._ticks):
                urgency = factor * (prices.overdue_multiplier if tick > due else 1.0)
                if tick < self._ticks - 1 or not is_lent:
                    cost += _rate(urgency) * prices.delay_penalty_per_tick
                    cost += _rate(urgency * prices.delay_rate) * amount
                if tick == due:
                    cost += prices.deadline_penalty
                by_tick.append(cost)
            costs.append(by_tick)
        return costs

    def _unsettled_costs(self, order: Order, parts: int) -> list[float]:
        """For each part, cents if it is unsettled when the day ends, but for what is borrowed then."""
        prices, rule = self._prices, self._day.scenario.end_of_day
        costs = []
        for amount, waiting in zip(
            part_amounts(order.amount, parts), self._waiting_costs(order, parts), strict=True
        ):
            cost = waiting[-1] + prices.eod_penalty
            if rule != "borrow":
                cost += _rate(prices.eod_rate) * amount
            if rule == "carry" and order.deadline >= self._ticks:
                cost += prices.deadline_penalty
            costs.append(cost)
        return costs

    def _settled(self, tick: int) -> dict[int, float]:
        """Columns of what may have settled by the end of a tick, with amounts."""
        return {
            columns[tick - order.arrival]: amount / self.scale
            for order, ways in zip(self._day.orders, self.ways, strict=True)
            if order.arrival <= tick
            for way in ways
            for amount, columns in zip(way.amounts, way.settled, strict=True)
        }

    def _keep_accounts(self) -> list[int]:
        """Columns of the balance at the end of each tick, all receipts landed."""
        bank = next(agent for agent in self._day.scenario.agents if agent.id == self._day.learner)
        pool = {
            column: -amount / self.scale for column, amount in zip(self.pool, self.pool_amounts, strict=True)
        }
        incoming = bank.balance / self.scale
        balances: list[int] = []
        for tick in range(self._ticks):
            incoming += self._receipts[tick] + int(self._day.transfers_cents[tick]) / self.scale
            self._most.append(incoming + max([0, *self.pool_amounts]) / self.scale)
            balance = self.program.add(low=-np.inf, high=self._most[-1])
            self.program.require({balance: 1.0, **self._settled(tick), **pool}, incoming, incoming)
            balances.append(balance)
        return balances

    def _price_overdrafts(self) -> None:
        """Slices of an overdraft, each at the price of its tier; prices rise, so the cheapest fill first."""
        for balance in self._balances:
            terms = {balance: 1.0}
            for depth, price in overdraft_slices(self._prices):
                terms[self.program.add(price * self.scale, high=depth / self.scale)] = 1.0
            self.program.require(terms, low=0)

    def _limit_credit(self) -> None:
        """Nothing is paid that would take the balance below its limit; a limit that falls does not pay."""
        deepest = 0
        for tick, balance in enumerate(self._balances):
            credit = int(self._day.credit_cents[tick])
            deepest = max(deepest, credit)
            low = -credit / self.scale + self._unusable(tick)
            terms = {balance: 1.0}
            if credit < deepest:
                pays = self.program.add_choice()
                now, before = self._settled(tick), self._settled(tick - 1)
                moves = dict.fromkeys(now, 1.0) | {pays: -len(now)}
                for ways in self.ways:
                    for columns in (part for way in ways for part in way.settled):
                        moves |= {
                            column: -1.0
                            for column, after in pairwise(columns)
                            if column in before and after in now
                        }
                self.program.require(moves, high=0)
                slack = (deepest - credit) / self.scale + self._unusable(tick)
                terms[pays] = -slack
                low -= slack
            self.program.require(terms, low=low)

    def _unusable(self, tick: int) -> float:
        """What is received in a tick and cannot pay for anything in it."""
        lsm = self._rail.lsm
        offsets = lsm.entry_offset or lsm.bilateral or lsm.multilateral
        is_deferred = self._rail.deferred_crediting and (self._day.receipts_are_fixed or not offsets)
        return self._receipts[tick] if is_deferred else 0.0

    def _close(self) -> None:
        """What is unsettled and exceeds the balance is borrowed, if that is the rule."""
        if self._day.scenario.end_of_day != "borrow" or not self._prices.eod_rate:
            return
        amounts = sum(order.amount for order in self._day.orders) / self.scale
        settled = self._settled(self._ticks - 1)
        loan = self.program.add(_rate(self._prices.eod_rate) * self.scale)
        usable, is_positive = self.program.add(), self.program.add_choice()
        self.program.require({loan: 1.0, usable: 1.0, **settled}, low=amounts)
        self.program.require({usable: 1.0, is_positive: -max(0.0, self._most[-1])}, high=0)
        unusable = self._unusable(self._ticks - 1)
        deepest = float(self._day.credit_cents.max()) / self.scale + unusable
        terms = {usable: 1.0, self._balances[-1]: -1.0, is_positive: deepest}
        self.program.require(terms, high=deepest - unusable)

    def _keep_parts_busy(self) -> None:
        """A part that waits does so because it cannot be paid; in a plain queue nothing passes it."""
        for tick, balance in enumerate(self._balances):
            blocks = self.program.add(high=1)
            for order, ways in zip(self._day.orders, self.ways, strict=True):
                for way in ways[1:] if order.arrival <= tick else ():
                    place = tick - order.arrival
                    first, final = way.settled[0], way.settled[-1]
                    credit = int(self._day.credit_cents[tick]) / self.scale
                    room = (max(way.amounts) - 1) / self.scale - credit + self._unusable(tick)
                    slack = max(0.0, self._most[tick] - room)
                    self.program.require(
                        {balance: 1.0, first[place]: slack, final[place]: -slack}, high=room + slack
                    )
                    if place:
                        self.program.require(
                            {first[place - 1]: 1.0, final[place]: -1.0, blocks: -1.0}, high=0
                        )
            if self._rail.queue_discipline == "fifo":
                self._block_behind(tick, blocks)

    def _block_behind(self, tick: int, blocks: int) -> None:
        """While a part of an earlier tick waits, nothing that is released now settles."""
        for order, ways in zip(self._day.orders, self.ways, strict=True):
            if order.arrival <= tick:
                place = tick - order.arrival
                new = {way.settled[0][place]: 1.0 for way in ways}
                if place:
                    new |= {way.settled[0][place - 1]: -1.0 for way in ways}
                self.program.require({**new, blocks: 1.0}, high=1)


def part_amounts(amount: int, parts: int) -> tuple[int, ...]:
    """Amounts of equal parts in cents; the remainder goes to the last."""
    each = amount // parts
    return (each,) * (parts - 1) + (amount - each * (parts - 1),)


def overdraft_slices(prices: Costs) -> list[tuple[float, float]]:
    """Depth in cents and price a tick of each slice of an overdraft, shallowest first."""
    starts = [0, *(tier.above for tier in prices.overdraft_tiers), np.inf]
    rates = [prices.overdraft_rate, *(tier.rate for tier in prices.overdraft_tiers)]
    depths = [end - start for start, end in pairwise(starts)]
    return [(depth, _rate(rate)) for depth, rate in zip(depths, rates, strict=True)]


def _parts_of(fraction: float) -> int:
    return round(fraction * _RATE_PARTS)


def _rate(fraction: float) -> float:
    """A price as the engine rounds it."""
    return _parts_of(fraction) / _RATE_PARTS
