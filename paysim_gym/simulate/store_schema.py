"""Tables of a store, derived from the records they hold, and migrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.simulate.metrics import BankDayMetrics, DayMetrics, TickResult
from paysim_gym.simulate.payment_outcomes import PaymentRecord


class StoreError(ValueError):
    """A store that cannot be used as requested."""


COSTS = tuple(f"cost_{name}" for name in COST_COMPONENTS)
"""One column per cost component."""

DECIMALS = frozenset({"balance_sum", "delay_value", "waiting_value"})
"""Columns of sums that can exceed 64 bits."""

_SQL_TYPES = {
    int: "BIGINT NOT NULL",
    int | None: "BIGINT",
    str: "VARCHAR NOT NULL",
    str | None: "VARCHAR",
    bool: "BOOLEAN NOT NULL",
}


_ADDED = {"settled_orders", "settled_orders_delay", "agents"}
"""Fields whose columns later migrations add."""


def _create_table(name: str, types: Mapping[str, Any]) -> str:
    """Return the SQL for the first version of a table."""
    columns = {"run": "BIGINT NOT NULL"}
    for field, python_type in types.items():
        if field in _ADDED:
            continue
        if field == "costs":
            columns |= dict.fromkeys(COSTS, "BIGINT NOT NULL")
        elif field in DECIMALS:
            columns[field] = "DECIMAL(38, 0) NOT NULL"
        else:
            columns[field] = _SQL_TYPES[python_type]
    return f"CREATE TABLE {name} ({', '.join(f'{column} {sql}' for column, sql in columns.items())})"


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            run BIGINT NOT NULL, scenario VARCHAR NOT NULL, seed UBIGINT NOT NULL, mode VARCHAR NOT NULL,
            filter VARCHAR NOT NULL, ticks_per_day BIGINT NOT NULL, num_days BIGINT NOT NULL,
            max_ticks BIGINT, banks VARCHAR[] NOT NULL, rails VARCHAR[] NOT NULL,
            is_full_replay BOOLEAN NOT NULL, status VARCHAR NOT NULL, started_at TIMESTAMP NOT NULL,
            ended_at TIMESTAMP, version VARCHAR NOT NULL, definition VARCHAR NOT NULL,
            event_schema_version BIGINT NOT NULL)""",
        _create_table("days", get_type_hints(DayMetrics)),
        _create_table("bank_days", get_type_hints(BankDayMetrics)),
        _create_table("payments", get_type_hints(PaymentRecord)),
        _create_table("ticks", {name: field.annotation for name, field in TickResult.model_fields.items()}),
        """CREATE TABLE events (
            run BIGINT NOT NULL, day BIGINT NOT NULL, tick BIGINT NOT NULL, sequence BIGINT NOT NULL,
            type VARCHAR NOT NULL, payment BIGINT, bank VARCHAR, sender VARCHAR, receiver VARCHAR,
            amount BIGINT, details VARCHAR NOT NULL)""",
    ),
    (
        "ALTER TABLE runs ADD COLUMN simulation_id VARCHAR",
        "ALTER TABLE days ADD COLUMN settled_orders BIGINT",
        "ALTER TABLE days ADD COLUMN settled_orders_delay BIGINT",
        "ALTER TABLE ticks ADD COLUMN settled_orders BIGINT",
        "ALTER TABLE ticks ADD COLUMN settled_orders_delay BIGINT",
        "ALTER TABLE ticks ADD COLUMN agents VARCHAR",
        "UPDATE runs SET simulation_id = uuid()",
        """CREATE TEMP TABLE settled_orders AS
            SELECT run, max(end_tick) AS end_tick, max(end_tick) - min(arrival_tick) AS delay
            FROM payments WHERE status <> 'split' GROUP BY run, coalesce(parent, payment)
            HAVING bool_and(status = 'settled')""",
        """UPDATE days SET
            settled_orders = (SELECT count(*) FROM settled_orders JOIN runs USING (run)
                WHERE run = days.run AND end_tick // ticks_per_day = days.day),
            settled_orders_delay = (SELECT coalesce(sum(delay), 0) FROM settled_orders JOIN runs USING (run)
                WHERE run = days.run AND end_tick // ticks_per_day = days.day)""",
        "DROP TABLE settled_orders",
    ),
)
"""Statements that upgrade a store by one version each; the first ones create a store of `FIRST_VERSION`.

A new field of a record needs a migration that adds its column to existing stores.
"""

FIRST_VERSION = 3
"""Oldest store version that can be read; earlier ones hold events of another schema."""

VERSION = FIRST_VERSION - 1 + len(MIGRATIONS)
"""Store version that this package writes."""

TABLES = ("runs", "days", "bank_days", "payments", "ticks", "events")
"""All tables, each with a column `run`; only runs with full replay fill the last two."""
