"""Random valid scenarios, and changes that may make them invalid."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

Location = tuple[str | int, ...]
Strategy = st.SearchStrategy[Any]

RTGS_PRIORITIES = st.sampled_from([None, "normal", "urgent", "highly_urgent"])
SHARES = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
RATES = st.integers(0, 1000).map(lambda millionths: millionths / 1_000_000)
FACTORS = st.sampled_from([0, 0.5, 1, 1.5, 3])
MONEY = st.integers(0, 1_000_000)
AMOUNTS = st.integers(1000, 1_000_000)
PRIORITIES = st.integers(0, 10)
WEIGHTS = st.sampled_from([0.5, 1, 9])
FLAGS = st.booleans()
INVALID_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "5", "BANK_X", "07:00", "\ud800"),
    *([], [1, 2], {}, {"x": 1}, {"5": 1}, {"type": "learner"}, {"type": "x"}),
    *(0, -1, 11, 2**63, 2**64, 10**400, 0.5, 1.0, -0.5, 1e300, math.nan, math.inf, -math.inf),
)
"""Values that most fields refuse."""


class Names(NamedTuple):
    """The ids that a scenario uses, and its clock."""

    banks: list[str]
    rails: list[str]
    ticks_per_day: int
    num_days: int

    @property
    def ticks(self) -> Strategy:
        """Ticks of the episode."""
        return st.integers(0, self.ticks_per_day * self.num_days - 1)

    def others(self, bank: str) -> list[str]:
        """The other banks."""
        return [other for other in self.banks if other != bank]


NAMES = (
    Names(["A", "BANK_B"], ["RTGS"], 1, 1),
    Names(["0", "_9", "LEARNER"], ["RTGS", "DNS"], 12, 2),
    Names(["A", "BANK_B", "X" * 64, "7"], ["A", "T2", "DNS"], 48, 3),
)


def mapping(required: dict[str, Any], **optional: Strategy) -> Strategy:
    """A mapping with some of the optional keys; other values are constants."""
    strategies = {
        key: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for key, value in required.items()
    }
    return st.fixed_dictionaries(strategies, optional=optional)


def joined(*parts: Strategy) -> Strategy:
    """The union of several mappings."""
    return st.tuples(*parts).map(lambda drawn: {key: value for part in drawn for key, value in part.items()})


def weights(keys: list[str]) -> Strategy:
    return st.dictionaries(st.sampled_from(keys), WEIGHTS, min_size=1, max_size=3)


def ascending(numbers: Strategy, most: int = 4) -> Strategy:
    return st.lists(numbers, max_size=most, unique=True).map(sorted)


def pair(numbers: Strategy, first: str, second: str) -> Strategy:
    """Two keys with ascending values."""
    return st.tuples(numbers, numbers).map(lambda drawn: {first: min(drawn), second: max(drawn)})


def parties(names: Names) -> Strategy:
    pairs = [{"sender": bank, "receiver": other} for bank in names.banks for other in names.others(bank)]
    return st.sampled_from(pairs)


def routes(names: Names) -> Strategy:
    """The optional keys of payments."""
    rails = st.sampled_from([None, *names.rails])
    return mapping({}, divisible=FLAGS, rail=rails, rtgs_priority=RTGS_PRIORITIES)


def policies() -> Strategy:
    return st.one_of(
        st.sampled_from(["learner", "release_all", "myopic"]).map(lambda kind: {"type": kind}),
        mapping({"type": "hold_until_deadline"}, margin=st.integers(0, 9)),
        mapping({"type": "liquidity_aware"}, buffer=MONEY),
        mapping({"type": "split_large"}, parts=st.integers(2, 100), threshold=MONEY),
        mapping({"type": "random"}, release_probability=SHARES),
        mapping({"type": "network", "weights": "networks/\u00e9.safetensors"}, deterministic=FLAGS),
    )


def windows(names: Names) -> Strategy:
    def between(cuts: list[int]) -> list[dict[str, Any]]:
        bounds = zip(cuts[::2], cuts[1::2], strict=False)
        return [{"start_tick": start, "end_tick": end, "multiplier": 2} for start, end in bounds]

    return ascending(st.integers(0, names.ticks_per_day)).map(between)


def arrivals(names: Names, bank: str) -> Strategy:
    kinds = st.sampled_from(["normal", "lognormal", "uniform", "exponential"])
    spread = mapping({"distribution_type": kinds, "amount_std_dev": st.integers(1, 500)})
    required = {"rate_per_tick": st.sampled_from([0.001, 0.5, 1, 5]), "amount_mean": AMOUNTS}
    optional = {
        "agent_id": st.just(bank),
        "counterparty_weights": weights(names.others(bank)),
        "time_windows": windows(names),
        "deadline_range": st.lists(st.integers(0, 99), min_size=2, max_size=2).map(sorted),
        "priority": PRIORITIES | weights([str(priority) for priority in range(11)]),
    }
    shape = spread | st.sampled_from([{"distribution_type": kind} for kind in ("exponential", "uniform")])
    return joined(mapping(required, **optional), shape, routes(names))


def agent(names: Names, bank: str) -> Strategy:
    bilateral = st.dictionaries(st.sampled_from(names.others(bank)), MONEY, max_size=2)
    return mapping(
        {"id": bank, "balance": MONEY},
        credit_limit=MONEY,
        collateral=MONEY,
        collateral_haircut=SHARES,
        liquidity_pool=MONEY,
        liquidity_share=SHARES,
        limits=mapping({}, bilateral=bilateral, multilateral=st.none() | MONEY),
        arrival_config=st.none() | arrivals(names, bank),
        policy=policies(),
    )


def rail(names: Names, name: str) -> Strategy:
    lsm = mapping({}, entry_offset=FLAGS, bilateral=FLAGS, multilateral=FLAGS)
    disciplines = st.sampled_from(["fifo", "fifo_bypass", "priority"])
    gross = mapping({}, lsm=lsm, queue_discipline=disciplines)
    net = mapping({"settlement_type": "deferred_net", "cycle_ticks": st.integers(1, names.ticks_per_day)})
    return joined(mapping({"id": name}, incoming_queue_visible=FLAGS, deferred_crediting=FLAGS), gross | net)


def costs() -> Strategy:
    fees = st.integers(0, 99)
    return mapping(
        {},
        overdraft_rate=RATES,
        overdraft_tiers=ascending(AMOUNTS).map(
            lambda steps: [{"above": step, "rate": 0.001} for step in steps]
        ),
        delay_penalty_per_tick=fees,
        delay_rate=RATES,
        priority_multipliers=st.dictionaries(PRIORITIES.map(str), FACTORS, max_size=3),
        overdue_multiplier=st.sampled_from([1, 1.5, 3]),
        deadline_penalty=fees,
        split_fee=fees,
        eod_penalty=fees,
        eod_rate=RATES,
        collateral_rate=RATES,
        collateral_charged=st.sampled_from(["posted", "used"]),
        liquidity_rate=RATES,
        delay_in_central_queue=FLAGS,
        delay_at_close=FLAGS,
    )


def transactions(names: Names) -> Strategy:
    times = pair(names.ticks, "arrival_tick", "deadline_tick")
    return joined(parties(names), times, mapping({"amount": AMOUNTS}, priority=PRIORITIES), routes(names))


def events(names: Names) -> Strategy:
    banks, anyone = st.sampled_from(names.banks), st.sampled_from([None, *names.banks])
    payment = mapping(
        {"type": "payment", "amount": AMOUNTS},
        deadline_ticks=st.none() | st.integers(0, 99),
        priority=PRIORITIES,
    )
    transfer = mapping({"type": "transfer", "amount": AMOUNTS})
    kinds = [
        joined(payment, parties(names), routes(names)),
        joined(transfer, parties(names) | mapping({"sender": banks}) | mapping({"receiver": banks})),
        mapping({"type": "arrival_rate", "multiplier": FACTORS}, bank=anyone),
        mapping({"type": "credit", "bank": banks, "credit_limit": MONEY}),
        mapping({"type": "collateral", "bank": banks, "collateral": MONEY}),
        mapping({"type": "outage", "bank": banks, "ticks": st.integers(1, 99)}),
        mapping({"type": "early_close"}),
    ]
    period = mapping({"every_ticks": st.integers(1, 99)})
    times = [
        mapping({"tick": names.ticks}),
        mapping({"tick": names.ticks, "every_ticks": None, "until_tick": None}),
        joined(mapping({"tick": names.ticks}), period),
        joined(pair(names.ticks, "tick", "until_tick"), period),
    ]
    return joined(st.one_of(kinds), st.one_of(times))


def scenario(names: Names) -> Strategy:
    rails = st.tuples(*(rail(names, name) for name in names.rails)).map(list)
    hours = st.sampled_from([("00:00", "24:00"), ("07:00", "18:30"), ("09:59", "10:00")])
    required = {
        "ticks_per_day": names.ticks_per_day,
        "num_days": names.num_days,
        "agents": st.tuples(*(agent(names, bank) for bank in names.banks)).map(list),
    }
    optional = mapping(
        required if names.rails == ["RTGS"] else required | {"rails": rails},
        description=st.text(st.characters(codec="utf-8"), max_size=5),
        seed=st.sampled_from([0, 1, 2**63, 2**64 - 1]),
        costs=costs(),
        initial_transactions=st.lists(transactions(names), max_size=2),
        events=st.lists(events(names), max_size=4),
        payments_file=st.sampled_from([None, "payments.csv", "\u00e9/\U0001f4b6.parquet"]),
        priority_escalation=st.none() | mapping({"ticks": st.integers(1, 99), "boost": st.integers(1, 10)}),
        end_of_day=st.sampled_from(["carry", "drop", "borrow"]),
        overnight=st.sampled_from(["carry", "reset"]),
    )
    day = hours.map(lambda ends: {"opening_time": ends[0], "closing_time": ends[1]})
    return joined(optional, st.just({}) | day)


SCENARIOS = st.one_of([scenario(names) for names in NAMES])
"""Valid scenarios with any of the keys."""


@st.composite
def changed_scenarios(draw: st.DrawFn) -> list[Any]:
    """Variants of one scenario with one change each, and one with all changes."""
    text = json.dumps(draw(SCENARIOS))
    all_locations = list(locations(json.loads(text)))
    variants, all_changes = [], json.loads(text)
    for _ in range(draw(st.integers(1, 5))):
        location, other = draw(st.sampled_from(all_locations)), draw(st.sampled_from(all_locations))
        value = draw(st.sampled_from([*INVALID_VALUES, at(json.loads(text), other)]))
        how = draw(st.sampled_from([put, remove, add_key, repeat]))
        variants.append(json.loads(text))
        change(variants[-1], location, how, value)
        if has_location(all_changes, location):
            change(all_changes, location, how, value)
    return [*variants, all_changes]


def locations(value: Any, location: Location = ()) -> Iterator[Location]:
    """The locations of all nested values, outer values first."""
    if location:
        yield location
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from locations(part, (*location, key))


def at(data: Any, location: Location) -> Any:
    """The value at a location."""
    for key in location:
        data = data[key]
    return data


def has_location(data: Any, location: Location) -> bool:
    """Whether the location exists."""
    try:
        at(data, location)
    except (LookupError, TypeError):
        return False
    return isinstance(at(data, location[:-1]), dict | list)


def change(data: Any, location: Location, how: Any, value: Any) -> None:
    """Change the value at a location."""
    *owner, key = location
    how(at(data, tuple(owner)), key, copy.deepcopy(value))


def put(owner: Any, key: Any, value: Any) -> None:
    """Replace a value."""
    owner[key] = value


def remove(owner: Any, key: Any, _: Any) -> None:
    """Remove a key of a mapping or an item of a list."""
    del owner[key]


def add_key(owner: Any, key: Any, value: Any) -> None:
    """Add a key to a mapping, or replace an item of a list."""
    if isinstance(owner, dict):
        owner[f"{key}_"] = value
    else:
        put(owner, key, value)


def repeat(owner: Any, key: Any, value: Any) -> None:
    """Repeat an item of a list."""
    if isinstance(owner, list):
        owner.append(copy.deepcopy(owner[key]))
    else:
        put(owner, key, value)
