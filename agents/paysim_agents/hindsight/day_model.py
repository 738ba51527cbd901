"""A mixed-integer program for the minimum cost of a learner's day.

It decides when, and in how many parts, each payment settles. The program is a relaxation of a recorded day
(`paysim_agents.hindsight.recorded_day`): every sequence of actions corresponds to a feasible solution that
costs no more, so the optimum is a lower bound.

Sets and indices
    t in {0, ..., T-1}  ticks of the day
    i in I              orders, with amount A_i, arrival tick a_i, deadline d_i
    k in K_i            numbers of parts in which order i can be paid; 1 (unsplit) is in K_i
    p in {1, ..., k}    parts, with amounts q_ikp that sum to A_i
    s in S              shares of the liquidity pool, with amounts P_s; empty without a pool
    l in L              overdraft tiers, with depth D_l and price g_l per tick, g_1 <= g_2 <= ...

Parameters
    R_t, E_t   receipts from banks and transfers from outside the system in tick t; B is the opening balance
    C_t        credit limit in tick t; Cmax_t = max of C_u over u <= t
    N_t        receipts of tick t that cannot be used in tick t: R_t with deferred crediting, else 0
    w_ikp(t)   delay and deadline costs of a part from a_i to its settlement in tick t
    U_ikp      all costs of a part that is unsettled at the close, except for overnight borrowing
    F, h, e    split fee, price of committed liquidity, overnight rate

Variables
    x_ikpt in {0, 1}   1 if order i is paid in k parts and part p has settled by the end of tick t >= a_i
    y_s in {0, 1}      1 if share s of the pool is committed
    b_t <= M_t         balance at the end of tick t
    o_tl in [0, D_l]   overdraft in tier l at the end of tick t
    z_t in {0, 1}      1 if a payment settles in tick t; only for ticks with C_t < Cmax_t
    v in {0, 1}        1 if the closing balance can repay part of the overnight loan
    f, u >= 0          overnight loan, and the part of the closing balance that reduces it
    n_t in [0, 1]      1 if a part released before tick t is still unsettled at its end

Objective. Settling part p in tick t changes the cost by c_ikp(t), relative to never settling. An order waits
unsplit until the release of its first part, which is the tick of its settlement; the other parts wait as
parts from then on:
    c_ik1(t) = F (k - 1) + w_i11(t) - U_i11 + sum over p > 1 of (U_ikp - w_ikp(t))
    c_ikp(t) = w_ikp(t) - U_ikp                                        for p > 1
Since x is cumulative in t, with c_ikp(T) = 0 the program is
    min  constant + sum_ikpt (c_ikp(t) - c_ikp(t+1)) x_ikpt + sum_s h P_s y_s + sum_tl g_l o_tl + e f
where constant is the sum of U_i11 over all orders and the cost of posted collateral. Subject to
     (1) x_ikpt <= x_ikp,t+1                                           settlement is final
     (2) x_ik,p+1,t <= x_ikpt                                          parts settle in order
     (3) sum_k x_ik1,T-1 <= 1                                          one settlement option per order
     (4) sum_s y_s = 1
     (5) b_t + sum_ikp q_ikp x_ikpt - sum_s P_s y_s = B + sum_{u<=t} (R_u + E_u)
     (6) b_t + sum_l o_tl >= 0                   prices ascend, so that cheaper tiers are filled first
     (7) b_t >= N_t - C_t - (Cmax_t - C_t + N_t) (1 - z_t);  sum_ikp (x_ikpt - x_ikp,t-1) <= X_t z_t
     (8) f + u + sum_ikp q_ikp x_ikp,T-1 >= sum_i A_i
         u <= M_{T-1} v;  u <= b_{T-1} - N_{T-1} + (max_t C_t + N_{T-1}) (1 - v)
     (9) b_t <= m_ikt + max(0, M_t - m_ikt) (1 - x_ik1t + x_ikkt),  m_ikt = max_p q_ikp - 1 - C_t + N_t, k > 1
    (10) x_ik1,t-1 - x_ikkt <= n_t                                     k > 1
    (11) sum_k (x_ik1t - x_ik1,t-1) <= 1 - n_t                         `fifo` only
(7) is the credit limit: a limit that has been cut forbids new payments, but forces no repayment. (8) applies
if the day ends with borrowing: f is at least what is unsettled less the usable closing balance. (9) to (11)
apply if receipts are fixed and the queue has no priorities: a released part stays unsettled only if the
liquidity is below the amount of the largest part, and under `fifo` it blocks later releases.

Big-M values are the smallest that make a constraint redundant. M_t is the balance if nothing is paid and the
largest share is committed, an upper bound on b_t. In (7), z_t = 0 leaves b_t >= -Cmax_t, which always holds;
X_t is the number of variables in the sum. In (8), v = 0 leaves b_{T-1} >= -max_t C_t. In (9), the bound is
M_t unless the order is partly settled.

The release tick equals the settlement tick of the first part. With fixed receipts an earlier release costs
no less: held until then, the payment settles in the same tick, since all payments that settle in a tick are
affordable together, and a part in the central queue costs no less than the same part of a held payment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from paysim_agents.hindsight.mixed_integer_program import MixedIntegerProgram
from paysim_agents.hindsight.recorded_day import Order, RecordedDay
from paysim_gym.scenario.prices import Costs

_RATE_PARTS = 10**12
"""The engine stores prices as integers in parts per 10^12; see `rust_env/src/units.rs`."""


@dataclass(frozen=True)
class SettlementOption:
    """One number of parts in which an order can be paid.

    Attributes:
        parts: Number of parts; 1 is unsplit.
        amounts: Amounts of the parts in cents.
        settled: For each part and each tick from the order's arrival, the index of the binary variable that
            is 1 if the part has settled by the end of the tick: x in the formulation.
    """

    parts: int
    amounts: tuple[int, ...]
    settled: tuple[tuple[int, ...], ...]


class DayModel:
    """The program of a recorded day.

    Money is in units of `scale` cents, costs are in cents.

    Attributes:
        program: Variables and constraints.
        options: For each order its settlement options, the unsplit one first.
        pool_choices: Indices of the variables y, by ascending share; empty without a pool.
        pool_amounts: The amounts P of the shares in cents.
        constant_cents: Constant term of the objective.
        scale: Amount of the largest order in cents.
    """

    def __init__(
        self, day: RecordedDay, receipts: NDArray[np.int64], split_parts: Sequence[int], pool_shares: int
    ) -> None:
        """Builds the program.

        Args:
            day: The day.
            receipts: Receipts of the learner in cents by tick.
            split_parts: Numbers of parts that a payment may be split into.
            pool_shares: Number of shares of the pool to choose from.
        """
        self._day, self._prices = day, day.scenario.costs
        self._ticks, self._rail = len(day.credit_cents), day.scenario.rails[0]
        self.scale = float(max([1, *(order.amount for order in day.orders)]))
        self.program, self.constant_cents = MixedIntegerProgram(), float(day.fixed_cost_cents)
        self._receipts: list[float] = (receipts / self.scale).tolist()
        self._max_balances: list[float] = []
        self.pool_amounts: list[int] = []
        self.pool_choices = self._add_pool_choices(pool_shares)
        self.options = [self._add_options(order, split_parts) for order in day.orders]
        self._balances = self._add_balances()
        self._add_overdraft_tiers()
        self._add_credit_limits()
        self._add_overnight_loan()
        if day.receipts_are_fixed and self._rail.queue_discipline != "priority":
            self._add_queue_of_parts()

    def _add_pool_choices(self, choices: int) -> list[int]:
        """Adds y and constraint (4)."""
        pool = self._day.bank.liquidity_pool
        if not pool:
            return []
        self.pool_amounts = [
            _to_parts(choice / (choices - 1)) * pool // _RATE_PARTS for choice in range(choices)
        ]
        price = _round_rate(self._prices.liquidity_rate)
        variables = [self.program.add_binary(price * amount) for amount in self.pool_amounts]
        self.program.add_constraint(dict.fromkeys(variables, 1.0), 1, 1)
        return variables

    def _add_options(self, order: Order, split_parts: Sequence[int]) -> list[SettlementOption]:
        """Adds x of an order with its costs, and constraints (1) to (3)."""
        counts = [1, *(parts for parts in split_parts if order.divisible and order.amount >= parts)]
        delay = {parts: self._delay_costs(order, parts) for parts in counts}
        unsettled = self._unsettled_costs(order, 1)[0]
        self.constant_cents += unsettled
        options = []
        for parts in counts:
            part_delay, part_unsettled = delay[parts], self._unsettled_costs(order, parts)
            fee, rest = self._prices.split_fee * (parts - 1), range(1, parts)
            first = [
                fee + cost - unsettled + sum(part_unsettled[part] - part_delay[part][tick] for part in rest)
                for tick, cost in enumerate(delay[1][0][:-1])
            ]
            later = [[cost - part_unsettled[part] for cost in part_delay[part][:-1]] for part in rest]
            settled = tuple(self._add_settlement(costs) for costs in (first, *later))
            options.append(SettlementOption(parts, part_amounts(order.amount, parts), settled))
            for earlier_part, later_part in pairwise(settled):
                for before, after in zip(earlier_part, later_part, strict=True):
                    self.program.add_constraint({after: 1.0, before: -1.0}, high=0)
        self.program.add_constraint({option.settled[0][-1]: 1.0 for option in options}, high=1)
        return options

    def _add_settlement(self, costs: Sequence[float]) -> tuple[int, ...]:
        """Adds x of one part and constraint (1); `costs` holds c by tick."""
        variables = tuple(self.program.add_binary(now - then) for now, then in pairwise((*costs, 0.0)))
        for before, after in pairwise(variables):
            self.program.add_constraint({before: 1.0, after: -1.0}, high=0)
        return variables

    def _delay_costs(self, order: Order, parts: int) -> list[list[float]]:
        """Returns w in cents by part and tick, from the arrival to T."""
        prices = self._prices
        priority = prices.priority_multipliers.get(order.priority, 1.0)
        is_borrowed = self._day.scenario.end_of_day == "borrow" and not prices.delay_at_close
        costs = []
        for amount in part_amounts(order.amount, parts):
            cost, by_tick, due = 0.0, [0.0], max(order.arrival, order.deadline)
            for tick in range(order.arrival, self._ticks):
                factor = priority * (prices.overdue_multiplier if tick > due else 1.0)
                if tick < self._ticks - 1 or not is_borrowed:
                    cost += _round_rate(factor) * prices.delay_penalty_per_tick
                    cost += _round_rate(factor * prices.delay_rate) * amount
                if tick == due:
                    cost += prices.deadline_penalty
                by_tick.append(cost)
            costs.append(by_tick)
        return costs

    def _unsettled_costs(self, order: Order, parts: int) -> list[float]:
        """Returns U for each part, in cents."""
        prices, rule = self._prices, self._day.scenario.end_of_day
        costs = []
        for amount, delay in zip(
            part_amounts(order.amount, parts), self._delay_costs(order, parts), strict=True
        ):
            cost = delay[-1] + prices.eod_penalty
            if rule != "borrow":
                cost += _round_rate(prices.eod_rate) * amount
            costs.append(cost)
        return costs

    def _settled_amounts(self, tick: int) -> dict[int, float]:
        """Returns the amount settled by the end of a tick as linear expression."""
        return {
            settled[tick - order.arrival]: amount / self.scale
            for order, options in zip(self._day.orders, self.options, strict=True)
            if order.arrival <= tick
            for option in options
            for amount, settled in zip(option.amounts, option.settled, strict=True)
        }

    def _add_balances(self) -> list[int]:
        """Adds b and constraint (5)."""
        committed = {
            variable: -amount / self.scale
            for variable, amount in zip(self.pool_choices, self.pool_amounts, strict=True)
        }
        incoming = self._day.bank.balance / self.scale
        balances: list[int] = []
        for tick in range(self._ticks):
            incoming += self._receipts[tick] + int(self._day.transfers_cents[tick]) / self.scale
            self._max_balances.append(incoming + max([0, *self.pool_amounts]) / self.scale)
            balance = self.program.add_variable(low=-np.inf, high=self._max_balances[-1])
            terms = {balance: 1.0, **self._settled_amounts(tick), **committed}
            self.program.add_constraint(terms, incoming, incoming)
            balances.append(balance)
        return balances

    def _add_overdraft_tiers(self) -> None:
        """Adds o and constraint (6)."""
        for balance in self._balances:
            terms = {balance: 1.0}
            for depth, price in overdraft_tiers(self._prices):
                terms[self.program.add_variable(price * self.scale, high=depth / self.scale)] = 1.0
            self.program.add_constraint(terms, low=0)

    def _add_credit_limits(self) -> None:
        """Adds z and constraint (7)."""
        max_credit = 0
        for tick, balance in enumerate(self._balances):
            credit = int(self._day.credit_cents[tick])
            max_credit = max(max_credit, credit)
            low = -credit / self.scale + self._unusable_receipts(tick)
            terms = {balance: 1.0}
            if credit < max_credit:
                pays = self.program.add_binary()
                self.program.add_constraint(self._settlements_in(tick, pays), high=0)
                slack = (max_credit - credit) / self.scale + self._unusable_receipts(tick)
                terms[pays] = -slack
                low -= slack
            self.program.add_constraint(terms, low=low)

    def _settlements_in(self, tick: int, pays: int) -> dict[int, float]:
        """Returns the left side of the second part of (7)."""
        now, before = self._settled_amounts(tick), self._settled_amounts(tick - 1)
        terms = dict.fromkeys(now, 1.0) | {pays: -len(now)}
        for options in self.options:
            for settled in (part for option in options for part in option.settled):
                terms |= {
                    earlier: -1.0
                    for earlier, later in pairwise(settled)
                    if earlier in before and later in now
                }
        return terms

    def _unusable_receipts(self, tick: int) -> float:
        """Returns N, the receipts that cannot be used in their tick."""
        lsm = self._rail.lsm
        has_offsets = lsm.entry_offset or lsm.bilateral or lsm.multilateral
        is_deferred = self._rail.deferred_crediting and (self._day.receipts_are_fixed or not has_offsets)
        return self._receipts[tick] if is_deferred else 0.0

    def _add_overnight_loan(self) -> None:
        """Adds f, u, v and constraint (8) if overnight borrowing has a price."""
        if self._day.scenario.end_of_day != "borrow" or not self._prices.eod_rate:
            return
        total = sum(order.amount for order in self._day.orders) / self.scale
        settled = self._settled_amounts(self._ticks - 1)
        loan = self.program.add_variable(_round_rate(self._prices.eod_rate) * self.scale)
        usable, is_usable = self.program.add_variable(), self.program.add_binary()
        self.program.add_constraint({loan: 1.0, usable: 1.0, **settled}, low=total)
        self.program.add_constraint({usable: 1.0, is_usable: -max(0.0, self._max_balances[-1])}, high=0)
        unusable = self._unusable_receipts(self._ticks - 1)
        slack = float(self._day.credit_cents.max()) / self.scale + unusable
        terms = {usable: 1.0, self._balances[-1]: -1.0, is_usable: slack}
        self.program.add_constraint(terms, high=slack - unusable)

    def _add_queue_of_parts(self) -> None:
        """Adds n and constraints (9) to (11)."""
        for tick, balance in enumerate(self._balances):
            is_queued = self.program.add_variable(high=1)
            credit = int(self._day.credit_cents[tick]) / self.scale
            for order, options in zip(self._day.orders, self.options, strict=True):
                age = tick - order.arrival
                for option in options[1:] if age >= 0 else ():
                    first, last = option.settled[0], option.settled[-1]
                    limit = (max(option.amounts) - 1) / self.scale - credit + self._unusable_receipts(tick)
                    slack = max(0.0, self._max_balances[tick] - limit)
                    terms = {balance: 1.0, first[age]: slack, last[age]: -slack}
                    self.program.add_constraint(terms, high=limit + slack)
                    if age:
                        terms = {first[age - 1]: 1.0, last[age]: -1.0, is_queued: -1.0}
                        self.program.add_constraint(terms, high=0)
            if self._rail.queue_discipline == "fifo":
                self._add_fifo_blocking(tick, is_queued)

    def _add_fifo_blocking(self, tick: int, is_queued: int) -> None:
        """Adds constraint (11) of a tick."""
        for order, options in zip(self._day.orders, self.options, strict=True):
            age = tick - order.arrival
            if age >= 0:
                terms = {option.settled[0][age]: 1.0 for option in options}
                if age:
                    terms |= {option.settled[0][age - 1]: -1.0 for option in options}
                self.program.add_constraint({**terms, is_queued: 1.0}, high=1)


def part_amounts(amount: int, parts: int) -> tuple[int, ...]:
    """Splits an amount in cents into equal parts; the last part takes the remainder."""
    each = amount // parts
    return (each,) * (parts - 1) + (amount - each * (parts - 1),)


def overdraft_tiers(prices: Costs) -> list[tuple[float, float]]:
    """Returns depth in cents and price per tick of each overdraft tier, shallowest first."""
    starts = [0, *(tier.above for tier in prices.overdraft_tiers), np.inf]
    rates = [prices.overdraft_rate, *(tier.rate for tier in prices.overdraft_tiers)]
    depths = [end - start for start, end in pairwise(starts)]
    return [(depth, _round_rate(rate)) for depth, rate in zip(depths, rates, strict=True)]


def _to_parts(fraction: float) -> int:
    return round(fraction * _RATE_PARTS)


def _round_rate(rate: float) -> float:
    return _to_parts(rate) / _RATE_PARTS
