"""Python and the engine alone refuse invalid scenarios and name the field."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from full_scenario import EVENTS, FULL, REMOVED, changed

from paysim_gym import ScenarioError, load_scenario
from paysim_gym._engine import validate_scenario

# Path, invalid value, and the path in both errors.
WRONG = [
    pytest.param("agents/0/balance", 1.5, "agents[0].balance", id="float money"),
    pytest.param("agents/0/balance", "100", "agents[0].balance", id="text money"),
    pytest.param("agents/0/balance", True, "agents[0].balance", id="bool money"),
    pytest.param("agents/0/balance", -1, "agents[0].balance", id="negative money"),
    pytest.param("agents/0/balance", 10**18, "agents[0].balance", id="huge balance"),
    pytest.param("agents/0/arrival_config/amount_mean", 10**18, "amount_mean", id="huge amounts"),
    pytest.param("agents/0/arrival_config/amount_mean", 0, "amount_mean", id="no amount"),
    pytest.param("agents/0/arrival_config/amount_std_dev", REMOVED, "amount_std_dev", id="no deviation"),
    pytest.param("agents/0/arrival_config/rate_per_tick", 0, "rate_per_tick", id="no rate"),
    pytest.param("agents/0/arrival_config/rate_per_tick", 1001, "rate_per_tick", id="high rate"),
    pytest.param(
        "agents/0/arrival_config/distribution_type", "pareto", "distribution_type", id="distribution"
    ),
    pytest.param(
        "agents/0/arrival_config/counterparty_weights", {"BANK_X": 1}, "counterparty_weights", id="stranger"
    ),
    pytest.param(
        "agents/0/arrival_config/counterparty_weights", {"BANK_A": 1}, "counterparty_weights", id="itself"
    ),
    pytest.param(
        "agents/0/arrival_config/counterparty_weights", {"BANK_B": 0}, "counterparty_weights", id="no weight"
    ),
    pytest.param("agents/0/arrival_config/agent_id", "BANK_B", "agent_id", id="other bank's arrivals"),
    pytest.param(
        "agents/0/arrival_config/time_windows/1/start_tick", 3, "time_windows", id="overlapping windows"
    ),
    pytest.param("agents/0/arrival_config/time_windows/1/end_tick", 13, "end_tick", id="window past the day"),
    pytest.param("agents/0/arrival_config/deadline_range", [5, 1], "deadline_range", id="range reversed"),
    pytest.param("agents/0/arrival_config/priority", 11, "priority", id="high priority"),
    pytest.param("agents/0/arrival_config/priority", {"11": 1}, "priority", id="high priority weight"),
    pytest.param("agents/0/arrival_config/divisible", "yes", "divisible", id="text for a bool"),
    pytest.param("agents/0/policy", {"type": "myopic_"}, "agents[0].policy", id="unknown policy"),
    pytest.param("agents/1/policy/margin", -1, "margin", id="negative margin"),
    pytest.param("agents/1/policy/buffer", 1, "buffer", id="parameter of another policy"),
    pytest.param("agents/1/id", "bank_b", "agents[1].id", id="lower-case id"),
    pytest.param("agents/1/id", "BANK_A", "agents[1].id", id="duplicate id"),
    pytest.param("agents", FULL["agents"][:1], "agents", id="one agent"),
    pytest.param("agents/0/balanse", 5, "balanse", id="unknown key in an agent"),
    pytest.param("curency", "EUR", "curency", id="unknown key"),
    pytest.param("ticks_per_day", 0, "ticks_per_day", id="no ticks"),
    pytest.param("ticks_per_day", REMOVED, "ticks_per_day", id="missing clock"),
    pytest.param("num_days", 10_001, "num_days", id="too many days"),
    pytest.param("seed", -1, "seed", id="negative seed"),
    pytest.param("seed", 2**64, "seed", id="huge seed"),
    pytest.param("rails", [], "rails", id="no rail"),
    pytest.param("rails/0/queue_discipline", "lifo", "queue_discipline", id="discipline"),
    pytest.param("costs/overdraft_rate", 1.1, "costs.overdraft_rate", id="rate above one"),
    pytest.param("costs/delay_rate", -0.1, "costs.delay_rate", id="negative rate"),
    pytest.param("costs/delay_rate", True, "costs.delay_rate", id="bool rate"),
    pytest.param("costs/overdraft_tiers/1/above", 1_000_00, "overdraft_tiers", id="tiers not ascending"),
    pytest.param("costs/overdue_multiplier", 0.5, "overdue_multiplier", id="cheaper when overdue"),
    pytest.param("initial_transactions/0/receiver", "BANK_A", "initial_transactions[0]", id="to itself"),
    pytest.param("initial_transactions/0/receiver", "BANK_X", "initial_transactions[0]", id="to a stranger"),
    pytest.param("initial_transactions/0/arrival_tick", 24, "arrival_tick", id="after the last tick"),
    pytest.param("initial_transactions/0/deadline_tick", 12, "deadline_tick", id="due before it arrives"),
    pytest.param("initial_transactions/0/rail", "TARGET", "initial_transactions[0].rail", id="unknown rail"),
    pytest.param("agents/0/collateral", -1, "agents[0].collateral", id="negative collateral"),
    pytest.param("agents/0/collateral_haircut", 1.1, "collateral_haircut", id="haircut above one"),
    pytest.param("agents/0/liquidity_pool", 1.5, "agents[0].liquidity_pool", id="float pool"),
    pytest.param("agents/0/liquidity_share", -0.1, "liquidity_share", id="negative share"),
    pytest.param("agents/0/limits", 5, "agents[0].limits", id="number for limits"),
    pytest.param("agents/0/arrival_config/amount_std_dev", 0, "amount_std_dev", id="zero deviation"),
    pytest.param("agents/0/limits/bilateral", {"BANK_X": 1}, "limits.bilateral", id="limit to a stranger"),
    pytest.param("agents/0/limits/bilateral", {"BANK_A": 1}, "limits.bilateral", id="limit to itself"),
    pytest.param("agents/0/limits/bilateral/BANK_B", -1, "limits.bilateral.BANK_B", id="negative limit"),
    pytest.param("agents/0/limits/multilateral", -1, "limits.multilateral", id="negative total limit"),
    pytest.param("agents/0/arrival_config/rail", "CHIPS", "arrival_config.rail", id="arrivals' unknown rail"),
    pytest.param("agents/0/arrival_config/rtgs_priority", "high", "rtgs_priority", id="arrivals' class"),
    pytest.param("agents/6/policy/buffer", 1, "agents[6].policy", id="parameter of a policy without any"),
    pytest.param("rails", [{"id": f"R{rail}"} for rail in range(9)], "rails", id="nine rails"),
    pytest.param("rails/1/id", "T2", "rails[1].id", id="duplicate rail"),
    pytest.param("rails/0/settlement_type", "gross", "rails[0].settlement_type", id="settlement type"),
    pytest.param("rails/0/cycle_ticks", 4, "rails[0].cycle_ticks", id="cycle of an immediate rail"),
    pytest.param("rails/1/cycle_ticks", REMOVED, "rails[1].cycle_ticks", id="no cycle"),
    pytest.param("rails/1/cycle_ticks", 0, "rails[1].cycle_ticks", id="empty cycle"),
    pytest.param("rails/1/cycle_ticks", 13, "rails[1].cycle_ticks", id="cycle longer than the day"),
    pytest.param("rails/1/lsm", {"bilateral": True}, "rails[1].lsm", id="saving on a net rail"),
    pytest.param("rails/1/queue_discipline", "priority", "rails[1].queue_discipline", id="net discipline"),
    pytest.param("rails/0/lsm/bilateral", 1, "rails[0].lsm.bilateral", id="number for a bool"),
    pytest.param("rails/0/deferred_crediting", "on", "deferred_crediting", id="text for another bool"),
    pytest.param("costs/collateral_rate", 1.1, "costs.collateral_rate", id="collateral rate above one"),
    pytest.param("costs/collateral_charged", "all", "costs.collateral_charged", id="collateral charged"),
    pytest.param("costs/liquidity_rate", -0.1, "costs.liquidity_rate", id="negative liquidity rate"),
    pytest.param("initial_transactions/0/rtgs_priority", 1, "[0].rtgs_priority", id="payment's class"),
    pytest.param("events/0/type", "strike", "events[0]", id="unknown event"),
    pytest.param("events/0/type", REMOVED, "events[0]", id="event without type"),
    pytest.param("events/0/tick", REMOVED, "events[0]", id="event without tick"),
    pytest.param("events/0/tick", -1, "events[0].tick", id="event before the first tick"),
    pytest.param(
        "events/6", EVENTS[6] | {"tick": 24, "until_tick": 24}, "events[6].tick", id="after the end"
    ),
    pytest.param("events/0/tick", 2.0, "events[0]", id="float tick"),
    pytest.param("events/0/every_ticks", 0, "events[0].every_ticks", id="no period"),
    pytest.param("events/0/every_ticks", REMOVED, "events[0].until_tick", id="until without a period"),
    pytest.param("events/0/until_tick", 1, "events[0].until_tick", id="until before it happens"),
    pytest.param("events/0/until_tick", 24, "events[0].until_tick", id="until after the last tick"),
    pytest.param("events/0/sender", "BANK_X", "events[0].sender", id="event's stranger"),
    pytest.param("events/0/receiver", "BANK_A", "events[0].receiver", id="event's payment to itself"),
    pytest.param("events/0/amount", 0, "events[0].amount", id="event without amount"),
    pytest.param("events/0/amount", True, "events[0]", id="event's bool amount"),
    pytest.param("events/0/deadline_ticks", -1, "events[0].deadline_ticks", id="due before it happens"),
    pytest.param("events/0/priority", {"5": 1}, "events[0]", id="event's weights"),
    pytest.param("events/0/priority", 11, "events[0].priority", id="event's priority"),
    pytest.param("events/0/rail", "CHIPS", "events[0].rail", id="event's unknown rail"),
    pytest.param("events/0/rtgs_priority", "high", "events[0]", id="event's class"),
    pytest.param("events/1", {"type": "transfer", "tick": 0, "amount": 1}, "events[1].sender", id="nobody's"),
    pytest.param("events/1/receiver", "BANK_B", "events[1].receiver", id="transfer to itself"),
    pytest.param("events/1/receiver", "BANK_X", "events[1].receiver", id="transfer to a stranger"),
    pytest.param("events/1/amount", 10**15 + 1, "events[1].amount", id="huge transfer"),
    pytest.param("events/2/bank", "BANK_X", "events[2].bank", id="stranger's arrivals"),
    pytest.param("events/2/multiplier", 1001, "events[2].multiplier", id="high multiplier"),
    pytest.param("events/3/bank", REMOVED, "events[3]", id="nobody's credit"),
    pytest.param("events/3/credit_limit", -1, "events[3].credit_limit", id="negative credit"),
    pytest.param("events/4/bank", "BANK_X", "events[4].bank", id="stranger's collateral"),
    pytest.param("events/4/collateral", -1, "events[4].collateral", id="event's negative collateral"),
    pytest.param("events/5/ticks", 0, "events[5].ticks", id="outage of no ticks"),
    pytest.param("events/6/bank", "BANK_A", "events[6]", id="key of another event"),
    pytest.param("payments_file", "", "payments_file", id="empty path"),
    pytest.param("payments_file", 5, "payments_file", id="path that is no text"),
    pytest.param("opening_time", REMOVED, "opening_time", id="closing without opening"),
    pytest.param("closing_time", REMOVED, "closing_time", id="opening without closing"),
    pytest.param("opening_time", "7:00", "opening_time", id="hour of one digit"),
    pytest.param("closing_time", "24:01", "closing_time", id="after midnight"),
    pytest.param("closing_time", 1110, "closing_time", id="number for a time"),
    pytest.param("closing_time", "07:00", "closing_time", id="closing as it opens"),
    pytest.param("priority_escalation/ticks", 0, "priority_escalation.ticks", id="escalation of no ticks"),
    pytest.param("priority_escalation/boost", 11, "priority_escalation.boost", id="high boost"),
    pytest.param("priority_escalation/boost", REMOVED, "priority_escalation", id="no boost"),
    pytest.param("end_of_day", "forget", "end_of_day", id="end of day"),
]


@pytest.mark.parametrize(("path", "value", "named"), WRONG)
def test_python_refuses_and_names_the_field(path: str, value: Any, named: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(named)):
        load_scenario(changed(path, value))


@pytest.mark.parametrize(("path", "value", "named"), WRONG)
def test_engine_alone_refuses_and_names_the_field(path: str, value: Any, named: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(named)):
        validate_scenario(json.dumps(changed(path, value)))


@pytest.mark.parametrize("validate", [load_scenario, lambda data: validate_scenario(json.dumps(data))])
def test_events_that_happen_too_often_are_refused(validate: Any) -> None:
    data = changed("events", [{"type": "early_close", "tick": 0, "every_ticks": 1}])
    data |= {"ticks_per_day": 1000, "num_days": 1000}
    validate(data)
    data["events"].append({"type": "early_close", "tick": 5})
    with pytest.raises(ScenarioError, match=re.escape("events[1] = occurrence 1000001: all events together")):
        validate(data)


@pytest.mark.parametrize("validate", [load_scenario, lambda data: validate_scenario(json.dumps(data))])
def test_costs_that_could_overflow_are_refused(validate: Any) -> None:
    data = changed("costs/delay_penalty_per_tick", 10**15)
    data |= {"ticks_per_day": 1000, "num_days": 10_000}
    data["agents"][0]["arrival_config"]["rate_per_tick"] = 1000
    with pytest.raises(ScenarioError, match="cost"):
        validate(data)
