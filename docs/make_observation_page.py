"""Write `observation.md` from the engine's own table: `python docs/make_observation_page.py`."""

from __future__ import annotations

from pathlib import Path

from paysim_gym import _engine

PAGE = Path(__file__).with_name("observation.md")
_SLOT = "slot_0_"


def make_page() -> str:
    """The page as Markdown text."""
    fields = _engine.observation_fields(1)
    bank = [field for field in fields if not field[0].startswith(_SLOT)]
    slot = [(name.removeprefix(_SLOT), *rest) for name, *rest in fields if name.startswith(_SLOT)]
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
            "`paysim_gym._engine.observation_fields(slots)[i]`.",
            "",
            "**Amount scale**: the mean amount of the bank's own payments times the square root of their",
            "expected number a day, which is the size of the swing that independent payments give its",
            "balance (`env.unwrapped.amount_scale_cents`). **Reward unit**: `reward_scale` cents, by",
            "default a basis point of the amount scale (`env.unwrapped.reward_scale_cents`).",
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


def _table(fields: list[tuple[str, str, float, float, str]]) -> list[str]:
    rows = [f"| `{name}` | {unit} | {low:g} | {high:g} | {doc} |" for name, unit, low, high, doc in fields]
    return ["| column | unit | low | high | meaning |", "|---|---|---|---|---|", *rows]


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
