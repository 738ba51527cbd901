"""The tables of a store, and how an older one becomes a newer one."""

from __future__ import annotations

from paysim_gym._engine import COST_COMPONENTS


class StoreError(ValueError):
    """A store that cannot be used as asked."""


COSTS = tuple(f"cost_{name}" for name in COST_COMPONENTS)
"""A column for each component of costs."""

_COST_COLUMNS = ", ".join(f"{name} BIGINT NOT NULL" for name in COSTS)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            run BIGINT NOT NULL, scenario VARCHAR NOT NULL, seed UBIGINT NOT NULL, mode VARCHAR NOT NULL,
            filter VARCHAR NOT NULL, ticks_per_day BIGINT NOT NULL, num_days BIGINT NOT NULL,
            max_ticks BIGINT, banks VARCHAR[] NOT NULL, rails VARCHAR[] NOT NULL,
            is_full_replay BOOLEAN NOT NULL, status VARCHAR NOT NULL, started_at TIMESTAMP NOT NULL,
            ended_at TIMESTAMP, version VARCHAR NOT NULL, definition VARCHAR NOT NULL,
            event_schema_version BIGINT NOT NULL)""",
        """CREATE TABLE days (
            run BIGINT NOT NULL, day BIGINT NOT NULL, is_whole BOOLEAN NOT NULL, first_tick BIGINT NOT NULL,
            ticks BIGINT NOT NULL, arrivals BIGINT NOT NULL, settlements BIGINT NOT NULL,
            dropped BIGINT NOT NULL, settled_value BIGINT NOT NULL, max_queue_depth BIGINT NOT NULL)""",
        f"""CREATE TABLE bank_days (
            run BIGINT NOT NULL, day BIGINT NOT NULL, bank VARCHAR NOT NULL, ticks BIGINT NOT NULL,
            opening_balance BIGINT NOT NULL, closing_balance BIGINT NOT NULL,
            balance_sum DECIMAL(38, 0) NOT NULL, min_balance BIGINT NOT NULL, liquidity_used BIGINT NOT NULL,
            arrived_count BIGINT NOT NULL, arrived_value BIGINT NOT NULL, sent_count BIGINT NOT NULL,
            sent_value BIGINT NOT NULL, lent_value BIGINT NOT NULL, received_count BIGINT NOT NULL,
            received_value BIGINT NOT NULL, dropped_count BIGINT NOT NULL, dropped_value BIGINT NOT NULL,
            split_count BIGINT NOT NULL, delay_value DECIMAL(38, 0) NOT NULL, unsettled_count BIGINT NOT NULL,
            unsettled_value BIGINT NOT NULL, waiting_value DECIMAL(38, 0) NOT NULL, {_COST_COLUMNS})""",
        """CREATE TABLE payments (
            run BIGINT NOT NULL, payment BIGINT NOT NULL, parent BIGINT, sender VARCHAR NOT NULL,
            receiver VARCHAR NOT NULL, ordered_amount BIGINT NOT NULL, amount BIGINT NOT NULL,
            arrival_tick BIGINT NOT NULL, deadline_tick BIGINT NOT NULL, priority BIGINT NOT NULL,
            divisible BOOLEAN NOT NULL, rail VARCHAR NOT NULL, released_tick BIGINT, end_tick BIGINT,
            status VARCHAR NOT NULL, mechanism VARCHAR)""",
        f"""CREATE TABLE ticks (
            run BIGINT NOT NULL, day BIGINT NOT NULL, tick BIGINT NOT NULL, arrivals BIGINT NOT NULL,
            settlements BIGINT NOT NULL, dropped BIGINT NOT NULL, queue_depth BIGINT NOT NULL,
            settled_value BIGINT NOT NULL, {_COST_COLUMNS})""",
        """CREATE TABLE events (
            run BIGINT NOT NULL, day BIGINT NOT NULL, tick BIGINT NOT NULL, sequence BIGINT NOT NULL,
            type VARCHAR NOT NULL, payment BIGINT, bank VARCHAR, sender VARCHAR, receiver VARCHAR,
            amount BIGINT, details VARCHAR NOT NULL)""",
    ),
)
"""Statements that upgrade a store by one version each; the first ones create a store of `FIRST_VERSION`."""

FIRST_VERSION = 3
"""Oldest store version that can be read; earlier ones hold events of another schema."""

VERSION = FIRST_VERSION - 1 + len(MIGRATIONS)
"""Store version that this package writes."""

TABLES = ("runs", "days", "bank_days", "payments", "ticks", "events")
"""All tables, each with a column `run`; the last two are filled only by runs with full replay."""

DECIMALS = frozenset({"balance_sum", "delay_value", "waiting_value"})
"""Columns of sums that can exceed 64 bits."""
