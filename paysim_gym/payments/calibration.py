"""Calibration of a scenario to a payments file."""

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
from scipy.special import log_ndtr, ndtr

from paysim_gym._engine import ScenarioError
from paysim_gym.scenario import load_scenario
from paysim_gym.scenario.payments_file import Column, PaymentTable, load_payments

MAX_NORMAL_CV = 0.755
"""Maximum standard deviation over mean of normal amounts, which the engine truncates at zero."""
MIN_AMOUNTS = 30
"""With fewer payments, the distribution of a bank's amounts is assumed to be lognormal."""
TEMPLATE = "two_bank"
"""The bundled scenario whose rail, costs and end of day are used."""

Floats = NDArray[np.float64]

_HEADER = """\
# A payment system calibrated to a payments file by `paysim calibrate`.
#
# Fitted to each bank's payments: arrival rate by part of the day (rate_per_tick x time_windows), amounts
# (mean and standard deviation of the sample, and the distribution with the smallest Kolmogorov distance),
# receivers (counterparty_weights), priorities, deadlines, divisibility.
#
# Assumed, because a payments file does not have it; replace it by what you know:
# * balance: the mean over days of the bank's largest net outflow if everything is paid at once;
#   credit_limit: what the worst day needs in addition. Rounded up to two digits.
# * policy: the bank that sends the largest value learns, all others release at once.
# * rails, costs, end_of_day: those of the bundled scenario {template}, costs per tick scaled to this clock.
"""


@dataclass(frozen=True)
class _Bank:
    """The calibrated parameters of a bank, in cents; without `arrival_config` it sends nothing."""

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
        path: The file; see docs/payments_file.md.
        ticks_per_day: Ticks in a day.
        opening_time: Start of the first tick, as "07:00", if the file has times; by default the day is the
            whole hours around them.
        closing_time: End of the last tick.
        windows: Number of time windows of equal length; by default one per hour, or 12 if the file has
            ticks.

    Returns:
        A mapping that `load_scenario` takes.

    Raises:
        ScenarioError: If an argument or the file is invalid, or the fit is not a valid scenario.
    """
    payments = load_payments(
        path,
        ticks_per_day=ticks_per_day,
        opening_time=opening_time,
        closing_time=closing_time,
        whole_hours=True,
    )
    edges = _window_edges(ticks_per_day, windows, payments.hours)
    sent, received = (
        _by_bank(owners, len(payments.banks)) for owners in (payments.sender, payments.receiver)
    )
    banks = [_bank(payments, index, sent[index], received[index], edges) for index in range(len(sent))]
    banks.sort(key=lambda bank: (-bank.sent, bank.id))
    scenario = {
        "description": _description(Path(path).name, payments),
        "ticks_per_day": ticks_per_day,
        "agents": [_agent(bank, is_learner=bank is banks[0]) for bank in banks],
        **_template_rules(ticks_per_day),
    }
    try:
        load_scenario(scenario)
    except ScenarioError as error:
        raise ScenarioError(f"{os.fspath(path)}: the calibrated scenario is invalid: {error}") from None
    return scenario


def calibrated_yaml(scenario: dict[str, Any]) -> str:
    """Return the YAML of a calibrated scenario, with a header on its assumptions."""
    body = yaml.safe_dump(scenario, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    return f"{_HEADER.format(template=TEMPLATE)}{body}"


def _description(name: str, payments: PaymentTable) -> str:
    days = f"{len(payments.days):,} days ({payments.days[0]} to {payments.days[-1]})"
    hours = f", {payments.hours[0]} to {payments.hours[1]}" if payments.hours else ""
    found = f"{len(payments):,} payments between {len(payments.banks)} banks"
    return f"Calibrated from {name}: {found} on {days}{hours}."


def _window_edges(ticks_per_day: int, windows: int | None, hours: tuple[str, str] | None) -> list[int]:
    """Return the first tick of each window, and the end of the day."""
    if windows is None:
        windows = min(ticks_per_day, max(1, int(hours[1][:2]) - int(hours[0][:2])) if hours else 12)
    if not 1 <= windows <= ticks_per_day:
        allowed = f"must be an integer between 1 and {ticks_per_day}, the ticks of a day"
        raise ScenarioError(f"windows = {windows}: {allowed}")
    return [index * ticks_per_day // windows for index in range(windows + 1)]


def _by_bank(owners: Column, banks: int) -> list[Column]:
    """Group the indices of payments by their owner, in file order."""
    order = np.argsort(owners, kind="stable")
    return np.split(order, np.searchsorted(owners[order], np.arange(1, banks)))


def _bank(payments: PaymentTable, index: int, sends: Column, receives: Column, edges: list[int]) -> _Bank:
    peaks = _peak_outflows(payments, sends, receives, edges[-1])
    balance = _round_up(peaks.mean())
    credit_limit = _round_up(max(0.0, peaks.max() - balance))
    sent = float(payments.amount[sends].sum(dtype=np.float64))
    demand = _demand(payments, sends, edges) if len(sends) else None
    return _Bank(payments.banks[index], sent, balance, credit_limit, demand)


def _peak_outflows(payments: PaymentTable, sends: Column, receives: Column, ticks_per_day: int) -> Floats:
    """Return the largest net outflow of each day in cents: float64 of shape (days,)."""
    size = len(payments.days) * ticks_per_day
    sent, received = (
        np.bincount(
            payments.day[indices] * ticks_per_day + payments.tick[indices], payments.amount[indices], size
        )
        for indices in (sends, receives)
    )
    outflow = (sent - received).reshape(-1, ticks_per_day).cumsum(axis=1)
    peaks: Floats = np.maximum(outflow.max(axis=1), 0)
    return peaks


def _demand(payments: PaymentTable, sends: Column, edges: list[int]) -> dict[str, Any]:
    """Fit the `arrival_config` of the bank that sends the payments with these indices."""
    rate, windows = _rates(payments.tick[sends], len(payments.days), edges)
    receivers = np.bincount(payments.receiver[sends], minlength=len(payments.banks))
    weights = {
        payments.banks[bank]: _six_digits(receivers[bank] / len(sends)) for bank in np.flatnonzero(receivers)
    }
    config = {"rate_per_tick": rate, **_amounts(payments.amount[sends]), "counterparty_weights": weights}
    if len(windows) > 1:
        config["time_windows"] = windows
    deadlines = _deadline_range(payments.tick[sends], payments.deadline[sends], edges[-1] - 1)
    if deadlines is not None:
        config["deadline_range"] = deadlines
    levels, counts = np.unique(payments.priority[sends], return_counts=True)
    shares = {
        int(level): _six_digits(count / len(sends)) for level, count in zip(levels, counts, strict=True)
    }
    config["priority"] = shares if len(shares) > 1 else int(levels[0])
    config["divisible"] = bool(2 * payments.divisible[sends].sum() >= len(sends))
    return config


def _rates(ticks: Column, days: int, edges: list[int]) -> tuple[float, list[dict[str, Any]]]:
    """Return the mean number of payments per tick, and its multiplier in each window."""
    rate = _six_digits(len(ticks) / (days * edges[-1]))
    counts, _ = np.histogram(ticks, edges)
    windows = [
        {
            "start_tick": start,
            "end_tick": end,
            "multiplier": _six_digits(count / (days * (end - start)) / rate),
        }
        for (start, end), count in zip(pairwise(edges), counts, strict=True)
    ]
    return rate, windows


def _amounts(amounts: Column) -> dict[str, Any]:
    """Fit the distribution with the sample's moments and the smallest distance to it."""
    mean, deviation = max(1, round(amounts.mean())), round(amounts.std())
    ordered = np.sort(amounts).astype(np.float64)
    distances = {
        name: _distance(ordered, cdf) for name, cdf in _candidates(len(amounts), mean, deviation).items()
    }
    distribution = min(distances, key=lambda name: distances[name], default="lognormal")
    config: dict[str, Any] = {"distribution_type": distribution, "amount_mean": mean}
    if distribution == "uniform":
        deviation = min(deviation, _max_uniform_deviation(mean))
    return config if distribution == "exponential" else {**config, "amount_std_dev": max(1, deviation)}


def _max_uniform_deviation(mean: int) -> int:
    """Return the standard deviation of uniform amounts between 1 cent and twice the mean."""
    return math.floor((mean - 1) / math.sqrt(3))


def _candidates(count: int, mean: int, deviation: int) -> dict[str, Callable[[Floats], Floats]]:
    """Return the engine's cumulative distributions with this mean and standard deviation."""
    if count < MIN_AMOUNTS or deviation == 0:
        return {}
    log_deviation = math.sqrt(math.log1p((deviation / mean) ** 2))
    log_mean = math.log(mean) - log_deviation**2 / 2
    found: dict[str, Callable[[Floats], Floats]] = {
        "lognormal": lambda amount: ndtr((np.log(amount) - log_mean) / log_deviation)
    }
    if deviation <= MAX_NORMAL_CV * mean:
        location, scale = _untruncated_params(mean, deviation)
        below_zero = ndtr(-location / scale)
        found["normal"] = lambda amount: (ndtr((amount - location) / scale) - below_zero) / (1 - below_zero)
    # The sample's ratio of deviation to mean has a standard error of at most 1/sqrt(n) around the ratio of
    # an exponential distribution (1), or of the widest uniform one.
    tolerance = 3 / math.sqrt(count)
    max_deviation = _max_uniform_deviation(mean)
    if deviation <= max_deviation * (1 + tolerance):
        half = math.sqrt(3) * min(deviation, max_deviation)
        found["uniform"] = lambda amount: np.clip((amount - mean + half) / (2 * half), 0, 1)
    if abs(deviation / mean - 1) <= tolerance:
        found["exponential"] = lambda amount: -np.expm1(-amount / mean)
    return found


def _untruncated_params(mean: float, deviation: float) -> tuple[float, float]:
    """Return location and scale of the normal distribution whose truncation has these moments.

    The same as in the engine's amounts.rs, which cites the source of the formula.
    """

    def moments(bound: float) -> tuple[float, float]:
        hazard = math.exp(-(bound**2) / 2 - log_ndtr(-bound)) / math.sqrt(2 * math.pi)
        return hazard - bound, math.sqrt(max(0.0, 1 + bound * hazard - hazard**2))

    if deviation / mean <= 1 / 38:
        return mean, deviation
    low, high = -38.0, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        unit_mean, unit_deviation = moments(middle)
        low, high = (middle, high) if unit_deviation / unit_mean < deviation / mean else (low, middle)
    scale = mean / moments(low)[0]
    return -low * scale, scale


def _distance(ordered: Floats, cdf: Callable[[Floats], Floats]) -> float:
    """Return the Kolmogorov distance between a sample and a distribution (Kolmogorov 1933)."""
    steps = np.arange(len(ordered) + 1) / len(ordered)
    expected = cdf(ordered)
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


def _deadline_range(ticks: Column, deadlines: Column, last: int) -> list[int] | None:
    """Fit a uniform range to the 5th and 95th percentile of the spans.

    The engine caps deadlines at the day's last tick, so payments due then are censored (Kaplan and Meier
    1958). None if all are.
    """
    due = np.where(deadlines < 0, last, deadlines)
    spans, is_capped = due - ticks, due >= last
    if is_capped.all():
        return None
    low, high = (_quantile(spans, is_capped, share) for share in (0.05, 0.95))
    # The 5th and 95th percentile of a uniform distribution exclude 5% of its range on either side.
    margin = (high - low) / 18
    return [
        max(int(spans[~is_capped].min()), round(low - margin)),
        min(int(spans.max()), round(high + margin)),
    ]


def _quantile(spans: Column, is_censored: NDArray[np.bool_], share: float) -> int:
    """Return the Kaplan-Meier quantile of the spans."""
    ends = np.unique(spans[~is_censored])
    at_risk = len(spans) - np.searchsorted(np.sort(spans), ends)
    ended = np.bincount(np.searchsorted(ends, spans[~is_censored]))
    reached = 1 - np.cumprod(1 - ended / at_risk)
    index = int(np.searchsorted(reached, share))
    return int(ends[index]) if index < len(ends) else int(spans.max())


def _agent(bank: _Bank, *, is_learner: bool) -> dict[str, Any]:
    agent: dict[str, Any] = {"id": bank.id, "balance": bank.balance, "credit_limit": bank.credit_limit}
    agent["policy"] = {"type": "learner" if is_learner else "release_all"}
    if bank.arrival_config is not None:
        agent["arrival_config"] = bank.arrival_config
    return agent


def _template_rules(ticks_per_day: int) -> dict[str, Any]:
    """Return rails, costs and end of day of `TEMPLATE`, scaled to the day's ticks."""
    template = load_scenario(TEMPLATE)
    costs = template.costs.model_dump(exclude_unset=True)
    factor = template.ticks_per_day / ticks_per_day
    for rate in ("overdraft_rate", "delay_rate"):
        costs[rate] = _six_digits(min(1.0, costs[rate] * factor))
    costs["delay_penalty_per_tick"] = round(costs["delay_penalty_per_tick"] * factor)
    rails = [rail.model_dump(exclude_unset=True) for rail in template.rails]
    return {"rails": rails, "costs": costs, "end_of_day": template.end_of_day}


def _six_digits(number: float) -> float:
    return float(f"{number:.6g}")


def _round_up(cents: float) -> int:
    """Round up to two digits."""
    ceiling = math.ceil(cents)
    unit = 10 ** max(0, len(str(ceiling)) - 2)
    return int(-(-ceiling // unit) * unit)
