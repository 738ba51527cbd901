"""Write `observation.md` from the engine's own table: `python docs/make_observation_page.py`."""

from __future__ import annotations

from pathlib import Path

from paysim_gym import ObservationField, observation_fields

PAGE = Path(__file__).with_name("observation.md")
_SLOT = "slot_0_"


def make_page() -> str:
    """The page as Markdown text."""
    fields = observation_fields(1)
    bank = [field for field in fields if not field.name.startswith(_SLOT)]
    slot = [
        field._replace(name=field.name.removeprefix(_SLOT))
        for field in fields
        if field.name.startswith(_SLOT)
    ]
    return "\n".join(
        [
            "# What a bank sees",
            "",
            "<!-- Made by docs/make_observation_page.py from the engine's table: edit the table. -->",
            "",
            f"A flat `float32` vector: {len(bank)} columns about the bank, then {len(slot)} for each slot,",
            "one slot for each of the first payments of the internal queue (by priority, with what",
            "`priority_escalation` adds to it, deadline and arrival). Values are clipped to the bounds",
            "below, which are the bounds of the `Box`. Column i is",
            "`paysim_gym.observation_fields(slots)[i]`; `env.unwrapped.observation_names` has the names.",
            "",
            "**Amount scale**: `sqrt(n x E[a^2])`, where n is the expected number of payments that the bank",
            "sends and receives in a day and a their amount (`env.unwrapped.amount_scale_cents`). It is the",
            "standard deviation of a day's change of the balance under independent payments. Sampled",
            "demand counts with `E[a^2] = mean^2 + deviation^2`; initial transactions, scheduled payments",
            "and transfers, and the rows of a payments file count with their amounts. A bank without",
            "payments has its opening liquidity as scale. All money of an observation has this unit.",
            "",
            "No column depends on `reward_scale`, which is by default a basis point of the amount scale",
            "(`env.unwrapped.reward_scale_cents`).",
            "",
            "**Time**: shares of a day give whole ticks exactly: `round(time_of_day * ticks_per_day)` is",
            "the tick of the day, and `round(ticks_to_deadline * ticks_per_day)` the ticks to a deadline",
            "that is at most ten days away. A network can hardly tell neighbouring ticks apart by such a",
            "share; hence the flags `is_overdue`, `is_due`, `is_due_next` and `is_due_soon`, of which at",
            "most one is 1.",
            "",
            "## The bank",
            "",
            *_table(bank),
            "",
            "## Each slot",
            "",
            "In `slot_<i>_<name>`, i counts from 0.",
            "",
            *_table(slot),
            "",
        ]
    )


def _table(fields: list[ObservationField]) -> list[str]:
    rows = [f"| `{name}` | {unit} | {low:g} | {high:g} | {doc} |" for name, unit, low, high, doc in fields]
    return ["| column | unit | low | high | meaning |", "|---|---|---|---|---|", *rows]


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
