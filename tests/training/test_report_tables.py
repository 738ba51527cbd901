"""Tables of results: every number by hand, with its unit and its rounding."""

from __future__ import annotations

from typing import Any

from paysim_training.core.evaluation_table import make_table as evaluation_table
from paysim_training.core.evaluation_table import table_text
from paysim_training.studies.games.report import make_table as games_table
from paysim_training.studies.strategic import report as strategic_report
from rich.table import Table


def rows(table: Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.cells for column in table.columns), strict=True))


def summary(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"mean": mean, "ci95": [low, high]}


def evaluated(mean: float, **policy: Any) -> dict[str, Any]:
    return {
        "policy": policy,
        "cost_cents_mean": mean,
        "cost_cents_ci95": [mean - 50_100, mean + 60_200],
        "settlement_rate": 0.98765,
        "mean_delay_ticks": 2.346,
        "liquidity_used_cents_mean": 1_234_567.0,
    }


def test_evaluation_table_has_the_cheapest_first_in_units_of_100_cents() -> None:
    rule = evaluated(300_160.0, type="liquidity_aware", buffer=5_000) | {
        "minus_ppo_cents": summary(100_110.0, -40_000.0, 240_260.0)
    }
    metrics = {
        "env": "PaySim/TwoBank-v1",
        "evaluation": {"episodes": 200},
        "policies": {"liquidity_aware": rule, "ppo": evaluated(200_050.0, type="ppo")},
    }
    table = evaluation_table(metrics)
    assert rows(table) == [
        ("ppo", "2,000", "[1,500, 2,602]", "", "", "98.8%", "2.35", "12,346", ""),
        (
            *("liquidity_aware", "3,002", "[2,501, 3,604]", "1,001", "[-400, 2,403]", "98.8%", "2.35"),
            *("12,346", "buffer=5000"),
        ),
    ]
    assert [row.style for row in table.rows] == ["bold", ""]
    assert str(table.title).startswith("PaySim/TwoBank-v1: 200 unseen episodes")
    lines = table_text(table).splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert all(any(cell in line for line in lines) for row in rows(table) for cell in row)


def test_games_table_is_in_thousandths_of_the_pool() -> None:
    learned = {
        "within_one_grid_step": 9,
        "runs": 10,
        "x0": {"A": {"mean": 0.0126}, "B": {"mean": 0.1984}},
        "cost_cents": {"A": summary(126.0, 50.0, 260.0), "B": summary(2_000.0, 1_990.0, 2_010.0)},
        "system_cost_over_social_planner": 1.06315,
    }
    equilibrium = {"x0": [0.0, 0.2], "cost_cents": [100, 1_900], "social_planner_cents": 1_999.0}
    game = {"pool_cents": 10_000, "equilibrium": equilibrium, "algorithms": {"ppo": learned}}
    table = games_table({"seed": 3, "wall_seconds": 12.4, "games": {"castro_two_period": game}})
    assert rows(table) == [
        ("castro_two_period", "", "0.000 0.200", "10.0", "190.0", "1.001"),
        (" ppo", "9/10", "0.013 0.198", "12.6 [5.0, 26.0]", "200.0 [199.0, 201.0]", "1.063"),
    ]
    assert "Seed 3, 12 s" in str(table.title)


def test_strategic_tables_are_in_units_of_100_cents() -> None:
    def figures(cents: float) -> dict[str, Any]:
        return {
            "cost_cents": summary(cents, cents - 1_000, cents + 3_000),
            "settlement_rate": summary(0.9012, 0.8987, 0.9144),
            "mean_delay_ticks": summary(1.236, 1.101, 1.349),
        }

    found = {
        "response": "own",
        "own_cents": 250_060.0,
        "saves_cents": summary(12_340.0, -560.0, 25_180.0),
        "saves_share": 0.0494,
    }
    profile = {
        "system": figures(500_060.0),
        "banks": {"BANK_A": figures(250_060.0)},
        "exploitability": {
            "BANK_A": found,
            "BANK_B": found | {"response": "learned"},
            "BANK_C": found | {"response": "release_all"},
        },
    }
    results = {"config": {"evaluation": {"episodes": 77}}, "profiles": {"shared": profile}}
    costs, exploitability = strategic_report.make_tables(results)
    shared = ["90.1% [89.9%, 91.4%]", "1.24 [1.10, 1.35]"]
    assert rows(costs) == [
        ("all learn, one network", "all", "5,001 [4,991, 5,031]", *shared),
        ("", "BANK_A", "2,501 [2,491, 2,531]", *shared),
    ]
    saved = ["123 [-6, 252]", "4.9%"]
    assert [row[1:] for row in rows(exploitability)] == [
        ("BANK_A", "2,501", "its own", *saved),
        ("BANK_B", "2,501", "learned", *saved),
        ("BANK_C", "2,501", "release_all", *saved),
    ]
    assert [row[0] for row in rows(exploitability)] == ["all learn, one network", "", ""]
    assert str(costs.title).startswith("77 ")
    assert [column.justify for column in costs.columns] == ["left", "left", "right", "right", "right"]


def test_sentences_say_how_much_less_or_more_the_system_costs() -> None:
    rules = {
        name: {"system": {"cost_cents": summary(cents, 0.0, 0.0)}}
        for name, cents in (("release_all", 200_000.0), ("hold_until_deadline", 0.0))
    }
    saves = {
        "release_all": summary(-31_000.0, -40_000.0, -20_000.0),
        "hold_until_deadline": summary(0.0, -500.0, 60_000.0),
    }
    learned = {"curve": {}, "saves_cents": saves}
    more, less = strategic_report._comparisons({"profiles": {**rules, "shared": learned}})
    assert more.startswith("- All learn, one network: the system costs 16% more ")
    assert more.endswith(": -310 [-400, -200].")
    assert less.startswith("- All learn, one network: the system costs less ")
    assert less.endswith(": 0 [-5, 600].")
