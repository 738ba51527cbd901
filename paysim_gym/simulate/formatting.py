"""Formats events, days and metrics as text; money to the cent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from paysim_gym.render.money import exact
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import BankMetrics, RunMetrics

_OBSTACLES = {
    "liquidity": "insufficient liquidity",
    "multilateral_limit": "multilateral limit",
    "bilateral_limit": "bilateral limit",
    "behind": "behind other payments",
    "cycle": "until a cycle settles",
}
_MECHANISMS = {
    "gross": "gross",
    "entry_offset": "by entry offset",
    "bilateral": "by bilateral offset",
    "multilateral": "by multilateral offset",
    "net": "in a net cycle",
    "close": "with an overnight loan",
}


def event_lines(events: Iterable[Event]) -> Iterator[str]:
    """Yield one line per event; consecutive holds of a bank share a line."""
    for (event_type, _, _), group in groupby(events, _group_key):
        if event_type == "hold":
            yield _hold(list(group))
        elif event_type != "tick":
            yield from (EVENT_FORMATTERS[event_type](event) for event in group)


def _group_key(event: Event) -> tuple[str, str | None, str | None]:
    return event["type"], event.get("sender"), event.get("reason")


def _hold(events: Sequence[Event]) -> str:
    ids = " ".join(f"#{event['payment']}" for event in events)
    total = exact(sum(event["amount"] for event in events))
    reason = ", outage" if events[0]["reason"] == "outage" else ""
    return f"{events[0]['sender']} holds {ids} ({total}){reason}"


def _payment(event: Event) -> str:
    """Format a payment id, with its parent if it is a part."""
    return f"#{event['payment']}" + (f" (of #{event['parent']})" if event.get("parent") else "")


def _money(event: Event) -> str:
    """Format sender, receiver and amount."""
    return f"{event['sender'] or 'outside'} > {event['receiver'] or 'outside'} {exact(event['amount'])}"


def _arrival(event: Event) -> str:
    suffix = "" if event["divisible"] else ", indivisible"
    return (
        f"#{event['payment']} arrives: {_money(event)}, due {event['deadline_tick']}, "
        f"priority {event['priority']}, {event['rail']}{suffix}"
    )


def _opening(event: Event) -> str:
    credit = event["credit_limit"] + event["collateral_credit"]
    loan = f", repays {exact(event['loan_repaid'])}" if event["loan_repaid"] else ""
    reset = event["balance"] - event["closing_balance"] + event["loan_repaid"]
    reset_text = f", reset by {exact(reset)}" if reset else ""
    return f"{event['bank']} opens with {exact(event['balance'])}, credit {exact(credit)}{loan}{reset_text}"


def _end_of_day(event: Event) -> str:
    lent = f", borrows {exact(event['borrowed'])}" if event["borrowed"] else ""
    count, value = event["unsettled_count"], exact(event["unsettled_value"])
    return f"{event['bank']} ends the day with {count} unsettled, {value}{lent}"


def _queued(event: Event) -> str:
    position, reason = event["position"] + 1, _OBSTACLES[event["reason"]]
    return f"{_payment(event)} queues: {_money(event)}, position {position} on {event['rail']}, {reason}"


def _limit_hit(event: Event) -> str:
    reason = _OBSTACLES[event["reason"]]
    return f"{_payment(event)} waits: {_money(event)}, {reason} (available {exact(event['available'])})"


def _settlement(event: Event) -> str:
    ticks_late = event["tick"] - event["deadline_tick"]
    delay = event["tick"] - event["arrival_tick"]
    mechanism = f"{_MECHANISMS[event['mechanism']]}, {delay} ticks after arrival"
    late = f", {ticks_late} ticks late" if ticks_late > 0 else ""
    return f"{_payment(event)} settles {mechanism}: {_money(event)}{late}"


EVENT_FORMATTERS: dict[str, Callable[[Event], str]] = {
    "arrival": _arrival,
    "arrival_rate": lambda event: (
        f"the arrival rate of {event['bank'] or 'all banks'} changes to "
        f"{event['multiplier']:g} times the configured rate"
    ),
    "cancellation": lambda event: f"{_payment(event)} is dropped: {_money(event)}",
    "collateral_change": lambda event: (
        f"{event['bank']}'s collateral is {exact(event['collateral'])}, "
        f"was {exact(event['previous_collateral'])}: "
        f"credit {exact(event['collateral_credit'])}"
    ),
    "cost": lambda event: f"{event['bank']} is charged {exact(event['amount'])} for {event['component']}",
    "credit_change": lambda event: (
        f"{event['bank']}'s credit limit is {exact(event['credit_limit'])}, "
        f"was {exact(event['previous_credit_limit'])}"
    ),
    "cut": lambda event: (
        f"{event['sender']} releases {exact(event['released_amount'])} of #{event['payment']}, "
        f"{exact(event['remaining_amount'])} remain, fee {exact(event['fee'])}"
    ),
    "day": lambda event: f"day {event['day']} begins",
    "day_end": lambda event: f"day {event['day']} is over",
    "early_close": lambda event: "the day closes early, after this tick",
    "end_of_day": _end_of_day,
    "hold": lambda event: _hold([event]),
    "landing": lambda event: f"{event['bank']}'s deferred receipts are credited: {exact(event['amount'])}",
    "limit_hit": _limit_hit,
    "opening": _opening,
    "outage": lambda event: f"{event['bank']} has an outage until tick {event['until_tick']}",
    "overdue": lambda event: (
        f"#{event['payment']} is overdue: {_money(event)}, penalty {exact(event['penalty'])}"
    ),
    "payment_event": lambda event: f"the scenario orders a payment: {_money(event)}",
    "pool_commitment": lambda event: f"{event['bank']} commits {exact(event['amount'])} of its pool",
    "pool_return": lambda event: f"{event['bank']} returns {exact(event['amount'])} to its pool",
    "queued": _queued,
    "release": lambda event: f"{_payment(event)} is released: {_money(event)}",
    "settlement": _settlement,
    "split": lambda event: (
        f"{event['sender']} splits #{event['payment']} into {event['parts']}, fee {exact(event['fee'])}"
    ),
    "tick": lambda event: f"tick {event['tick']}",
    "transfer": lambda event: f"transfer: {_money(event)} (requested: {exact(event['requested_amount'])})",
    "urgency": lambda event: f"#{event['payment']} of {event['sender']} now has urgency {event['urgency']}",
}
"""Event type to the function that formats it."""

_DAY_COLUMNS = (("day", 7), ("arrivals", 9), ("settled", 9), ("dropped", 8), ("max queued", 12))
DAY_HEADER = "".join(f"{name:>{width}}" for name, width in _DAY_COLUMNS) + f"{'value':>22}{'cost':>20}"
"""Header of the day lines."""


def day_line(day: int, day_stats: Mapping[str, Any]) -> str:
    """Format the statistics of a day as one line."""
    names = ("total_arrivals", "total_settlements", "total_dropped", "max_queue_depth")
    values = (f"{day}" if day_stats["is_complete"] else f"({day})", *(day_stats[name] for name in names))
    counts = "".join(f"{value:>{width}}" for value, (_, width) in zip(values, _DAY_COLUMNS, strict=True))
    return f"{counts}{exact(day_stats['settled_value']):>22}{exact(day_stats['cost']):>20}"


def summary(final_stats: Mapping[str, Any]) -> Iterator[str]:
    """Yield the summary of a run from its `RunMetrics` as a dict."""
    metrics = RunMetrics.model_validate(final_stats)
    yield ""
    yield (
        f"{metrics.total_arrivals} payments arrived, {metrics.total_settlements} settled, "
        f"{metrics.total_dropped} dropped; "
        f"{metrics.value_settlement_rate:.2%} of the value settled before a close, "
        f"mean delay {metrics.value_weighted_delay:.2f} ticks"
    )
    rows = [_bank_row(name, bank) for name, bank in metrics.agent_metrics.items()]
    header = ["bank", "sent", "received", "mean balance", "min balance", "liquidity used", "turnover", "cost"]
    yield ""
    yield from table([header, *rows])
    yield ""
    costs = [[name, exact(cents)] for name, cents in metrics.costs.items() if cents]
    yield from table([*costs, ["cost", exact(metrics.cost)]])


def _bank_row(name: str, bank: BankMetrics) -> list[str]:
    turnover = "-" if bank.turnover is None else f"{bank.turnover:.2f}"
    mean = None if bank.avg_balance is None else round(bank.avg_balance)
    money = [bank.total_sent, bank.total_received, mean, bank.min_balance, bank.liquidity_used]
    cells = ["-" if cents is None else exact(cents) for cents in money]
    return [name, *cells, turnover, exact(bank.cost)]


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as aligned lines: the first column left, all others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([f"{first:<{widths[0]}}", *cells]).rstrip()
