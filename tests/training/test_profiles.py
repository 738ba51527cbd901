"""Strategy profiles: metrics of the system, best responses and fingerprints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from paysim_training.studies.strategic import profiles
from paysim_training.studies.strategic.profiles import RULES, fingerprint, play, summarise_profile

from paysim_gym import load_scenario

TWO_TICKS = {"ticks_per_day": 2, "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 100_000_00}]}


def test_what_never_settles_counts_in_the_figures_of_the_system() -> None:
    payments = [
        {"sender": "A", "receiver": "B", "amount": 300_000_00, "arrival_tick": 0, "deadline_tick": 1},
        {"sender": "B", "receiver": "A", "amount": 100_000_00, "arrival_tick": 1, "deadline_tick": 1},
    ]
    scenario = load_scenario({**TWO_TICKS, "initial_transactions": payments})
    tables = play(scenario, dict.fromkeys("AB", RULES["release_all"]), [1, 2])
    system = summarise_profile(tables)["system"]
    # A's 300,000.00 wait for both ticks and never settle, B's 100,000.00 settle at once.
    assert (system["settlement_rate"]["mean"], system["mean_delay_ticks"]["mean"]) == (0.25, 1.5)


def test_a_response_is_chosen_on_the_tuning_days_and_compared_on_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tuning, days = [2**41, 2**41 + 1], [2**42, 2**42 + 1, 2**42 + 2]
    # Each policy has a fixed cost on tuning days and ten times that on the others, except for the policy that
    # is cheapest on tuning days, which is more expensive there.
    own, learned, others = {"type": "own", "pays": 9}, {"type": "learned", "pays": 4}, {"type": "other"}
    rules = {"release_all": {"type": "a", "pays": 5}, "hold_until_deadline": {"type": "b", "pays": 6}}
    asked = []

    def paid(_: Any, policies: Any, seeds: Any) -> Any:
        assert policies["B"] is others
        asked.append((policies["A"]["type"], list(seeds)))
        pays = policies["A"]["pays"]
        cost = [pays] * 2 if seeds == tuning else [70 if pays == 4 else 10 * pays] * 3
        return {"A": SimpleNamespace(cost=np.array(cost)), "B": SimpleNamespace(cost=np.array([0]))}

    monkeypatch.setattr(profiles, "play", paid)
    monkeypatch.setattr(profiles, "RULES", rules)
    found = profiles.exploitability(
        load_scenario("two_bank"), {"A": own, "B": others}, "A", learned, tuning, days
    )
    assert (found["response"], found["own_cents"], found["response_cents"]) == ("learned", 90, 70)
    assert found["saves_cents"] == {"mean": 20, "ci95": [20, 20]} == found["learned_saves_cents"]
    assert found["saves_share"] == 20 / 90
    assert sorted(asked) == sorted(
        [(k, tuning) for k in ("own", "learned", "a", "b")] + [("own", days), ("learned", days)]
    )


def test_a_fingerprint_depends_on_file_contents_and_not_on_paths(tmp_path: Path) -> None:
    prints = []
    for folder, amount in (("one", 5), ("two", 5), ("three", 6)):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "payments.csv"
        file.write_text(f"day,tick,sender,receiver,amount\n0,0,A,B,{amount}\n")
        prints.append(fingerprint(load_scenario({**TWO_TICKS, "payments_file": str(file)})))
    assert prints[0] == prints[1] != prints[2]


def test_the_learned_response_has_its_own_saving_where_a_rule_is_cheaper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pays = {"own": 100, "learned": 130, "release_all": 80, "hold_until_deadline": 90}

    def play(_: Any, policies: Any, seeds: Any) -> Any:
        return {"A": SimpleNamespace(cost=np.full(len(seeds), pays[policies["A"]["type"]]))}

    monkeypatch.setattr(profiles, "play", play)
    found = profiles.exploitability(
        load_scenario("two_bank"), {"A": {"type": "own"}}, "A", {"type": "learned"}, [1, 2], [3, 4, 5]
    )
    assert (found["response"], found["own_cents"], found["response_cents"]) == ("release_all", 100, 80)
    assert found["saves_cents"] == {"mean": 20, "ci95": [20, 20]}
    assert found["learned_saves_cents"] == {"mean": -30, "ci95": [-30, -30]}
    assert found["saves_share"] == 0.2
