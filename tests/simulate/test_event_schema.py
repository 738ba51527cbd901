"""The event schema: its page, and what the package does with every type."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from paysim_gym import Orchestrator
from paysim_gym._engine import event_types
from paysim_gym.simulate.formatting import EVENT_FORMATTERS

ROOT = Path(__file__).parents[2]
KEYS = {name: {key for key, _, _ in keys} for name, _, keys in event_types()}


def page_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_events_page", ROOT / "docs" / "make_events_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_events_is_current() -> None:
    page = page_module()
    assert page.PAGE.read_text(encoding="utf-8") == page.make_page()


def test_every_event_type_has_a_sentence() -> None:
    assert sorted(EVENT_FORMATTERS) == sorted(KEYS)


@pytest.mark.parametrize(
    "name", ["five_bank", "liquidity_squeeze", "participant_outage", "castro_two_period"]
)
def test_events_have_the_keys_of_the_schema(name: str) -> None:
    run = Orchestrator(name, record_events=True)
    while not run.is_over:
        run.tick()
    for event in run.events():
        assert event.keys() - {"type"} == KEYS[event["type"]] | {"tick"}, event["type"]


def test_the_paying_bank_is_the_sender_of_every_payment_event() -> None:
    for name, keys in KEYS.items():
        assert ("sender" in keys) == bool({"payment", "receiver"} & keys), name
        assert not {"sender", "bank"} <= keys, name
