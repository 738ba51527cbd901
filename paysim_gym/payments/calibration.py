"""A scenario that looks like a payments file: its banks, their demand and what they need to pay it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr  # type: ignore[import-untyped]

from paysim_gym._engine import ScenarioError
from paysim_gym.scenario import load_scenario
from paysim_gym.scenario.payments_file import Column, PaymentTable, load_payments

WIDEST_NORMAL = 0.755
"""Largest standard deviation, in means, of normal amounts: the engine cuts them off at zero."""
FEWEST_AMOUNTS = 30
"""With fewer payments of a bank, their distribution is taken to be lognormal."""
PRICES = "two_bank"
"""The bundled scenario whose rail, prices and end of day a calibrated one has."""

Floats = NDArray[np.float64]

_HEADER = """\
# A payment system calibrated from payments: made by `paysim calibrate`, to be read and changed.
#
# Fitted to each bank's payments: how many a tick and in which part of the day (rate_per_tick x time_windows),
# their amounts (mean and standard deviation are the sample's, the distribution is the one whose cumulative
# distribution lies closest), to whom (counterparty_weights), priorities, deadlines, divisibility.
#
# Not in a payments file, so chosen; replace it by what you know:
# * balance: what the bank would have needed to pay everything at once, its largest net outflow of a day,
#   as a mean over the days; credit_limit: what the worst day needed more. Rounded up to two digits.
# * policy: the bank that sends most learns, all others release at once.
# * rails, costs, end_of_day: those of the bundled scenario {prices}, prices per tick scaled to this clock.
"""


@dataclass(frozen=True)
class _Bank:
    """One bank's side of a payments file.

    Attributes:
        id: Its name.
        sent: Value sent, in cents.
        balance: Opening balance in cents.
        credit_limit: In cents.
        arrival_config: Its demand, or None if it never sends.
    """

    id: str
    sent: float
    balance: int
    credit_limit: int
    arrival_config: dict[str, Any] | None


def calibrate(
    path: str | os.PathLike[str],
    *,
    ticks_per_day: int = 48,
    opening_time: str | None = None,
    closing_time: str | None = None,
    windows: int | None = None,
) -> dict[str, Any]:
    """Fit a scenario to a payments file.

    Args:
        path: The file, see docs/payments_file.md.
        ticks_per_day: Ticks in a day.
        opening_time: When the first tick starts, as "07:00". Used if the file gives times; without it and
            `closing_time`, the day is the whole hours around the file's times.
        closing_time: When the last tick ends.
        windows: Into how many parts of equal length the day is divided, each with a rate of its own;
            without it one for each hour of the day, or 12 if the file gives ticks.

    Returns:
        A mapping that `load_scenario` takes.

    Raises:
        ScenarioError: If an argument or the file is wrong, or no scenario could look like it.
    """
    payments = load_payments(
        path,
        ticks_per_day=ticks_per_day,
        opening_time=opening_time,
        closing_time=closing_time,
        whole_hours=True,
    )
    bounds = _window_bounds(ticks_per_day, windows, payments.hours)
    sent, received = (_by_bank(side, len(payments.banks)) for side in (payments.sender, payments.receiver))
    banks = [_bank(payments, index, sent[index], received[index], bounds) for index in range(len(sent))]
    banks.sort(key=lambda bank: (-bank.sent, bank.id))
    scenario = {
        "description": _description(Path(path).name, payments),
        "ticks_per_day": ticks_per_day,
        "agents": [_agent(bank, is_learner=bank is banks[0]) for bank in banks],
        **_prices(ticks_per_day),
    }
    try:
        load_scenario(scenario)
    except ScenarioError as error:
        raise ScenarioError(f"{os.fspath(path)}: does not fit into a scenario: {error}") from None
    return scenario


def calibrated_yaml(scenario: dict[str, Any]) -> str:
    """The text of a calibrated scenario's file, which says what was fitted and what was chosen."""
    body = yaml.safe_dump(scenario, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    return f"{_HEADER.format(prices=PRICES)}{body}"


def _description(name: str, payments: PaymentTable) -> str:
    days = f"{len(payments.days):,} days ({payments.days[0]} to {payments.days[-1]})"
    hours = f", {payments.hours[0]} to {payments.hours[1]}" if payments.hours else ""
    found = f"{len(payments):,} payments between {len(payments.banks)} banks"
    return f"Calibrated from {name}: {found} on {days}{hours}."


def _window_bounds(ticks_per_day: int, windows: int | None, hours: tuple[str, str] | None) -> list[int]:
    """The first tick of each window, and the end of the day."""
    if windows is None:
        windows = min(ticks_per_day, max(1, int(hours[1][:2]) - int(hours[0][:2])) if hours else 12)
    if not 1 <= windows <= ticks_per_day:
        allowed = f"must be an integer between 1 and {ticks_per_day}, the ticks of a day"
        raise ScenarioError(f"windows = {windows}: {allowed}")
    return [index * ticks_per_day // windows for index in range(windows + 1)]


def _by_bank(side: Column, banks: int) -> list[Column]:
    """The indices of each bank's payments, in the order of the file; `side` says whose each of them is."""
    order = np.argsort(side, kind="stable")
    return np.split(order, np.searchsorted(side[order], np.arange(1, banks)))


def _bank(payments: PaymentTable, index: int, sends: Column, receives: Column, bounds: list[int]) -> _Bank:
    """A bank that sends and receives the payments with these indices."""
    peaks = _peak_outflows(payments, sends, receives, bounds[-1])
    balance = _rounded_up(peaks.mean())
    credit_limit = _rounded_up(max(0.0, peaks.max() - balance))
    sent = float(payments.amount[sends].sum(dtype=np.float64))
    demand = _demand(payments, sends, bounds) if len(sends) else None
    return _Bank(payments.banks[index], sent, balance, credit_limit, demand)


def _peak_outflows(payments: PaymentTable, sends: Column, receives: Column, ticks_per_day: int) -> Floats:
    """What a bank needs on each day if everybody pays at once, in cents: float64 of shape (days,)."""
    size = len(payments.days) * ticks_per_day
    sent, received = (
        np.bincount(payments.day[mine] * ticks_per_day + payments.tick[mine], payments.amount[mine], size)
        for mine in (sends, receives)
    )
    outflow = (sent - received).reshape(-1, ticks_per_day).cumsum(axis=1)
    peaks: Floats = np.maximum(outflow.max(axis=1), 0)
    return peaks


def _demand(payments: PaymentTable, mine: Column, bounds: list[int]) -> dict[str, Any]:
    """The `arrival_config` of the bank that sends the payments with the indices `mine`."""
    rate, windows = _rates(payments.tick[mine], len(payments.days), bounds)
    receivers = np.bincount(payments.receiver[mine], minlength=len(payments.banks))
    weights = {
        payments.banks[place]: _short(receivers[place] / len(mine)) for place in np.flatnonzero(receivers)
    }
    config = {"rate_per_tick": rate, **_amounts(payments.amount[mine]), "counterparty_weights": weights}
    if len(windows) > 1:
        config["time_windows"] = windows
    deadlines = _deadline_range(payments.tick[mine], payments.deadline[mine], bounds[-1] - 1)
    if deadlines is not None:
        config["deadline_range"] = deadlines
    levels, counts = np.unique(payments.priority[mine], return_counts=True)
    shares = {int(level): _short(count / len(mine)) for level, count in zip(levels, counts, strict=True)}
    config["priority"] = shares if len(shares) > 1 else int(levels[0])
    config["divisible"] = bool(2 * payments.divisible[mine].sum() >= len(mine))
    return config


def _rates(ticks: Column, days: int, bounds: list[int]) -> tuple[float, list[dict[str, Any]]]:
    """Payments a tick over the whole day, and the factor on it in each window."""
    rate = _short(len(ticks) / (days * bounds[-1]))
    counts, _ = np.histogram(ticks, bounds)
    windows = [
        {"start_tick": start, "end_tick": end, "multiplier": _short(count / (days * (end - start)) / rate)}
        for (start, end), count in zip(pairwise(bounds), counts, strict=True)
    ]
    return rate, windows


def _amounts(amounts: Column) -> dict[str, Any]:
    """The distribution whose mean and standard deviation are the sample's and which lies closest to it."""
    mean, deviation = max(1, round(amounts.mean())), round(amounts.std())
    ordered = np.sort(amounts).astype(np.float64)
    distances = {
        kind: _distance(ordered, cdf) for kind, cdf in _candidates(len(amounts), mean, deviation).items()
    }
    kind = min(distances, key=lambda name: distances[name], default="lognormal")
    config: dict[str, Any] = {"distribution_type": kind, "amount_mean": mean}
    if kind == "uniform":
        deviation = min(deviation, _widest_uniform(mean))
    return config if kind == "exponential" else {**config, "amount_std_dev": deviation}


def _widest_uniform(mean: int) -> int:
    """Largest standard deviation of uniform amounts: that between one cent and twice the mean."""
    return math.floor((mean - 1) / math.sqrt(3))


def _candidates(count: int, mean: int, deviation: int) -> dict[str, Callable[[Floats], Floats]]:
    """Cumulative distributions with this mean and standard deviation, as the engine draws from them."""
    if count < FEWEST_AMOUNTS or deviation == 0:
        return {}
    width = math.sqrt(math.log1p((deviation / mean) ** 2))
    middle = math.log(mean) - width**2 / 2
    found: dict[str, Callable[[Floats], Floats]] = {
        "lognormal": lambda amount: ndtr((np.log(amount) - middle) / width)
    }
    if deviation <= WIDEST_NORMAL * mean:
        peak, spread = _before_the_cut(mean, deviation)
        below_zero = ndtr(-peak / spread)
        found["normal"] = lambda amount: (ndtr((amount - peak) / spread) - below_zero) / (1 - below_zero)
    # An exponential's deviation is its mean, a uniform's by default the widest; a sample's strays from that,
    # relative to its mean, by a standard error of at most 1/sqrt(n).
    tolerance = 3 / math.sqrt(count)
    widest = _widest_uniform(mean)
    if deviation <= widest * (1 + tolerance):
        half = math.sqrt(3) * min(deviation, widest)
        found["uniform"] = lambda amount: np.clip((amount - mean + half) / (2 * half), 0, 1)
    if abs(deviation / mean - 1) <= tolerance:
        found["exponential"] = lambda amount: -np.expm1(-amount / mean)
    return found


def _before_the_cut(mean: float, deviation: float) -> tuple[float, float]:
    """Peak and width of the normal that has this mean and deviation once it is cut off at zero.

    The counterpart of the engine's own (amounts.rs), which names the formula's source.
    """

    def moments(cut: float) -> tuple[float, float]:
        hazard = math.exp(-(cut**2) / 2 - log_ndtr(-cut)) / math.sqrt(2 * math.pi)
        return hazard - cut, math.sqrt(max(0.0, 1 + cut * hazard - hazard**2))

    if deviation / mean <= 1 / 38:
        return mean, deviation
    low, high = -38.0, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        rest, width = moments(middle)
        low, high = (middle, high) if width / rest < deviation / mean else (low, middle)
    width = mean / moments(low)[0]
    return -low * width, width


def _distance(ordered: Floats, cdf: Callable[[Floats], Floats]) -> float:
    """Largest distance between a sample's and a given cumulative distribution (Kolmogorov 1933)."""
    steps = np.arange(len(ordered) + 1) / len(ordered)
    expected = cdf(ordered)
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


def _deadline_range(ticks: Column, deadlines: Column, last: int) -> list[int] | None:
    """The uniform range of ticks to the deadline with the sample's 5th and 95th percentile, or None.

    A payment due on the day's last tick may have been due later, had the day been longer: the engine caps
    deadlines there. Such spans count as censored (Kaplan and Meier 1958).
    """
    due = np.where(deadlines < 0, last, deadlines)
    spans, is_capped = due - ticks, due >= last
    if is_capped.all():
        return None
    low, high = (_quantile(spans, is_capped, share) for share in (0.05, 0.95))
    # A uniform distribution's 5th and 95th percentile leave out 5% of its range on either side.
    margin = (high - low) / 18
    return [
        max(int(spans[~is_capped].min()), round(low - margin)),
        min(int(spans.max()), round(high + margin)),
    ]


def _quantile(spans: Column, is_censored: NDArray[np.bool_], share: float) -> int:
    """The span that this share stays below or at: of those censored it is only known that they are longer."""
    ends = np.unique(spans[~is_censored])
    at_risk = len(spans) - np.searchsorted(np.sort(spans), ends)
    ended = np.bincount(np.searchsorted(ends, spans[~is_censored]))
    reached = 1 - np.cumprod(1 - ended / at_risk)
    place = int(np.searchsorted(reached, share))
    return int(ends[place]) if place < len(ends) else int(spans.max())


def _agent(bank: _Bank, *, is_learner: bool) -> dict[str, Any]:
    agent: dict[str, Any] = {"id": bank.id, "balance": bank.balance, "credit_limit": bank.credit_limit}
    agent["policy"] = {"type": "learner" if is_learner else "release_all"}
    if bank.arrival_config is not None:
        agent["arrival_config"] = bank.arrival_config
    return agent


def _prices(ticks_per_day: int) -> dict[str, Any]:
    """Rail, prices and end of day of `PRICES`, prices per tick scaled so that a day costs the same."""
    model = load_scenario(PRICES)
    costs = model.costs.model_dump(exclude_unset=True)
    factor = model.ticks_per_day / ticks_per_day
    for rate in ("overdraft_rate", "delay_rate"):
        costs[rate] = _short(min(1.0, costs[rate] * factor))
    costs["delay_penalty_per_tick"] = round(costs["delay_penalty_per_tick"] * factor)
    rails = [rail.model_dump(exclude_unset=True) for rail in model.rails]
    return {"rails": rails, "costs": costs, "end_of_day": model.end_of_day}


def _short(number: float) -> float:
    """Six digits: more than any sample knows."""
    return float(f"{number:.6g}")


def _rounded_up(cents: float) -> int:
    """To two digits."""
    whole = math.ceil(cents)
    unit = 10 ** max(0, len(str(whole)) - 2)
    return int(-(-whole // unit) * unit)
