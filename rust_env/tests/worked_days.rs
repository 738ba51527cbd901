//! Short days worked out by hand, with the arithmetic in comments.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::costs::Component;
use paysim_engine::events::{Event, EventLog};
use paysim_engine::fleet::Totals;
use paysim_engine::payment::Decision;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use paysim_engine::system::{System, TickOutcome};
use paysim_engine::units::{BankId, Cents, RailId};
use serde_json::{Value, json};

const A: usize = 0;
const B: usize = 1;

fn system(scenario: &Value, learners: &[BankId]) -> System {
    let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
    Setup::new(&scenario).unwrap().system(learners, EventLog::default())
}

/// A payment of bank A to bank B.
fn pay(amount: i64, arrival: i64, deadline: i64, priority: i64) -> Value {
    json!({"sender": "A", "receiver": "B", "amount": amount, "arrival_tick": arrival, "deadline_tick": deadline, "priority": priority})
}

fn receive(amount: i64, arrival: i64) -> Value {
    json!({"sender": "B", "receiver": "A", "amount": amount, "arrival_tick": arrival, "deadline_tick": arrival + 3})
}

/// Two banks and a day of `ticks`; B has ample liquidity.
fn two_banks(ticks: i64, a: Value, costs: Value, payments: Vec<Value>) -> Value {
    let mut bank = json!({"id": "A"});
    bank.as_object_mut().unwrap().extend(a.as_object().unwrap().clone());
    json!({"ticks_per_day": ticks, "agents": [bank, {"id": "B", "balance": 100_000}], "costs": costs, "initial_transactions": payments})
}

fn play(system: &mut System, ticks: usize) -> Vec<TickOutcome> {
    (0..ticks).map(|_| system.tick().unwrap()).collect()
}

fn balance(system: &System, bank: usize) -> i64 {
    system.ledger.banks[bank].balance.0
}

fn cost(system: &System, bank: usize, component: Component) -> i64 {
    system.ledger.banks[bank].costs[component as usize].0
}

fn settlements(outcomes: &[TickOutcome]) -> Vec<u32> {
    outcomes.iter().map(|outcome| outcome.settlements).collect()
}

#[test]
fn a_covered_payment_settles_immediately_without_cost() {
    let costs = json!({"overdraft_rate": 0.5, "delay_penalty_per_tick": 100, "eod_penalty": 100});
    let mut system = system(&two_banks(2, json!({"balance": 1_000}), costs, vec![pay(600, 0, 1, 5)]), &[]);
    let outcomes = play(&mut system, 2);
    assert_eq!(settlements(&outcomes), [1, 0]);
    assert_eq!((outcomes[0].arrivals, outcomes[0].settled_value.0, outcomes[0].queue_depth), (1, 600, 0));
    assert_eq!((balance(&system, A), balance(&system, B)), (1_000 - 600, 100_000 + 600));
    assert_eq!(outcomes.iter().flat_map(|outcome| outcome.costs).map(|cost| cost.0).sum::<i64>(), 0);
}

#[test]
fn an_overdraft_is_charged_at_the_end_of_every_tick() {
    let scenario = two_banks(
        4,
        json!({"balance": 100, "credit_limit": 1_000}),
        json!({"overdraft_rate": 0.01}),
        vec![pay(600, 0, 3, 5), receive(450, 2), receive(100, 3)],
    );
    let mut system = system(&scenario, &[]);
    play(&mut system, 4);
    // The overdraft is 600 - 100 = 500 at the end of ticks 0 and 1, and 500 - 450 = 50 at the end of tick 2; the
    // balance is 50 at the end of tick 3. 1% of 500 + 500 + 50 is 10.5 cents, and the half cent is carried.
    assert_eq!(balance(&system, A), 50);
    assert_eq!(cost(&system, A, Component::Overdraft), 10);
    assert_eq!(cost(&system, B, Component::Overdraft), 0);
    assert_eq!(system.ledger.banks[A].statistics.liquidity_used.0, 600);
}

#[test]
fn under_fifo_a_blocked_head_blocks_the_queue() {
    let payments = vec![pay(300, 0, 3, 5), pay(50, 0, 3, 5), receive(250, 2)];
    let scenario = two_banks(4, json!({"balance": 100}), json!({"delay_penalty_per_tick": 7}), payments);
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 4);
    // 100 < 300: nothing settles until 250 arrive at tick 2; then 350 = 300 + 50 are paid.
    assert_eq!(settlements(&outcomes), [0, 0, 3, 0]);
    assert_eq!(balance(&system, A), 100 + 250 - 300 - 50);
    // Two payments are unsettled at the end of ticks 0 and 1: 2 x 2 x 7.
    assert_eq!(cost(&system, A, Component::Delay), 28);
}

#[test]
fn with_bypass_a_small_payment_settles_before_the_blocked_head() {
    let payments = vec![pay(300, 0, 3, 5), pay(50, 0, 3, 5), receive(250, 2)];
    let mut scenario = two_banks(4, json!({"balance": 100}), json!({"delay_penalty_per_tick": 7}), payments);
    scenario["rails"] = json!([{"id": "RTGS", "queue_discipline": "fifo_bypass"}]);
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 4);
    // The 50 settle at tick 0; at tick 2 the balance is 100 - 50 + 250 = 300, enough for the head.
    assert_eq!(settlements(&outcomes), [1, 0, 2, 0]);
    assert_eq!(balance(&system, A), 0);
    // One payment is unsettled at the end of ticks 0 and 1: 2 x 7.
    assert_eq!(cost(&system, A, Component::Delay), 14);
}

#[test]
fn free_liquidity_excludes_queued_payments_unless_they_can_be_bypassed() {
    // The balance is 100 and 300 are queued: a new payment can use the 100 only by bypassing.
    for (discipline, free) in [("fifo", 100 - 300), ("priority", 100 - 300), ("fifo_bypass", 100)] {
        let mut scenario = two_banks(2, json!({"balance": 100}), json!({}), vec![pay(300, 0, 1, 5)]);
        scenario["rails"] = json!([{"id": "RTGS", "queue_discipline": discipline}]);
        let mut system = system(&scenario, &[]);
        play(&mut system, 1);
        assert_eq!(system.ledger.free_liquidity(A, RailId(0)), Cents(free), "{discipline}");
    }
}

#[test]
fn the_close_of_a_day_releases_nothing() {
    let held = json!({"balance": 100, "policy": {"type": "random", "release_probability": 0}});
    for rule in ["drop", "borrow"] {
        let mut scenario = two_banks(1, held.clone(), json!({}), vec![pay(50, 0, 0, 5)]);
        scenario["end_of_day"] = json!(rule);
        let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
        let mut system = Setup::new(&scenario).unwrap().system(&[], EventLog::recording());
        let outcome = system.tick().unwrap();
        assert_eq!((outcome.queue_depth, outcome.settlements + outcome.dropped), (0, 1));
        assert!(!system.ledger.events.take().iter().any(|event| matches!(event, Event::Release { .. })));
    }
}

#[test]
fn under_priority_an_urgent_payment_settles_before_an_older_one() {
    let payments = vec![pay(100, 0, 3, 2), pay(100, 1, 3, 9), receive(100, 2)];
    let costs = json!({"delay_penalty_per_tick": 10, "priority_multipliers": {"2": 0.5, "9": 3}});
    let mut scenario = two_banks(4, json!({"balance": 0}), costs, payments);
    scenario["rails"] = json!([{"id": "RTGS", "queue_discipline": "priority"}]);
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 4);
    assert_eq!(settlements(&outcomes), [0, 0, 2, 0]);
    // Priority 2 (5 cents per tick) is unsettled at the end of all 4 ticks, priority 9 (30) at the end of tick 1.
    assert_eq!(cost(&system, A, Component::Delay), 4 * 5 + 30);
    assert_eq!(system.ledger.banks[A].central[0][0].priority, 2);
}

#[test]
fn under_priority_the_older_of_equal_payments_settles_first() {
    let payments = vec![pay(100, 0, 3, 7), pay(100, 1, 3, 7), receive(100, 2)];
    let mut scenario = two_banks(3, json!({"balance": 0}), json!({}), payments);
    scenario["rails"] = json!([{"id": "RTGS", "queue_discipline": "priority"}]);
    let mut system = system(&scenario, &[]);
    assert_eq!(settlements(&play(&mut system, 3)), [0, 0, 2]);
    // The remaining payment arrived at tick 1.
    assert_eq!(system.ledger.banks[A].central[0][0].arrival.0, 1);
}

#[test]
fn a_payment_becomes_overdue_once_and_then_costs_more() {
    let costs = json!({"delay_rate": 0.001, "overdue_multiplier": 4, "deadline_penalty": 500});
    let scenario = two_banks(6, json!({"balance": 0}), costs, vec![pay(10_000, 1, 2, 5), receive(10_000, 4)]);
    let mut system = system(&scenario, &[]);
    play(&mut system, 6);
    // 0.1% of 10,000 is 10 per tick. Ticks 1 and 2 cost 10 each; the payment is overdue from the end of tick 2, so
    // tick 3 costs 4 x 10; it settles at tick 4.
    assert_eq!(cost(&system, A, Component::Delay), 10 + 10 + 40);
    assert_eq!(cost(&system, A, Component::Deadline), 500);
    // The delay is 3 ticks, from tick 1 to tick 4: 3 x 10,000.
    assert_eq!(system.ledger.banks[A].statistics.delay_value, 30_000);
}

#[test]
fn parts_of_a_split_settle_separately_for_a_fee() {
    let costs = json!({"split_fee": 25, "delay_penalty_per_tick": 3});
    let scenario = two_banks(2, json!({"balance": 500}), costs, vec![pay(1_001, 0, 1, 5)]);
    let mut system = system(&scenario, &[BankId(0)]);
    system.begin_tick().unwrap();
    system.decisions_mut(BankId(0)).push(Decision::Split(4));
    let outcome = system.finish_tick().unwrap();
    // 1,001 / 4 = 250, remainder 1: parts 250, 250, 250, 251. The balance of 500 covers two of them.
    assert_eq!((outcome.settlements, outcome.settled_value.0, outcome.queue_depth), (2, 500, 2));
    assert_eq!(system.ledger.banks[A].central_value.0, 250 + 251);
    system.finish_tick().unwrap();
    // 3 additional parts x 25; two parts are unsettled at the end of both ticks: 2 x 2 x 3.
    assert_eq!(cost(&system, A, Component::Split), 75);
    assert_eq!(cost(&system, A, Component::Delay), 12);
    assert_eq!(system.ledger.banks[A].statistics.split_count, 3);
}

#[test]
fn carried_payments_incur_a_penalty_and_stay_queued() {
    let costs = json!({"eod_penalty": 40, "eod_rate": 0.01, "deadline_penalty": 7, "delay_penalty_per_tick": 1, "overdue_multiplier": 2});
    let mut scenario =
        two_banks(2, json!({"balance": 0}), costs, vec![pay(1_000, 0, 3, 5), pay(500, 1, 1, 5), receive(1_500, 2)]);
    scenario["num_days"] = json!(2);
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 4);
    assert_eq!(settlements(&outcomes), [0, 0, 3, 0]);
    // End of day 1: two payments x 40, and 1% of 1,500.
    assert_eq!(cost(&system, A, Component::EndOfDay), 2 * 40 + 15);
    // The 500 miss their deadline at tick 1; the 1,000 settle at tick 2, before theirs.
    assert_eq!(cost(&system, A, Component::Deadline), 7);
    // Tick 0 costs 1 and tick 1 costs 2. Both settle at tick 2.
    assert_eq!(cost(&system, A, Component::Delay), 1 + 2);
    assert_eq!(balance(&system, A), 0);
}

#[test]
fn a_close_makes_nothing_overdue_before_its_deadline() {
    let costs = json!({"deadline_penalty": 500, "delay_penalty_per_tick": 3, "overdue_multiplier": 2});
    // Arrivals at tick 0 with deadline 3, in the second day: one settles at tick 2, one at tick 3, one never.
    let payments = vec![pay(100, 0, 3, 9), pay(200, 0, 3, 8), pay(400, 0, 3, 7), receive(100, 2), receive(200, 3)];
    for (end_of_day, deadline, delay) in
        [("carry", 500, 2 * 3 + 3 * 3 + 4 * 3), ("drop", 0, 6 * 3), ("borrow", 0, 6 * 3)]
    {
        let mut scenario = two_banks(2, json!({"balance": 0}), costs.clone(), payments.clone());
        (scenario["num_days"], scenario["end_of_day"]) = (json!(2), json!(end_of_day));
        let mut system = system(&scenario, &[]);
        play(&mut system, 2);
        assert_eq!(cost(&system, A, Component::Deadline), 0, "{end_of_day}");
        play(&mut system, 2);
        let costs = [Component::Deadline, Component::Delay].map(|component| cost(&system, A, component));
        assert_eq!(costs, [deadline, delay], "{end_of_day}");
    }
}

#[test]
fn dropped_payments_incur_a_penalty_and_are_cancelled() {
    let mut scenario =
        two_banks(2, json!({"balance": 100}), json!({"eod_penalty": 40}), vec![pay(1_000, 0, 1, 5), pay(60, 0, 1, 5)]);
    scenario["end_of_day"] = json!("drop");
    scenario["num_days"] = json!(2);
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 4);
    assert_eq!(outcomes.iter().map(|outcome| outcome.dropped).collect::<Vec<_>>(), [0, 2, 0, 0]);
    assert_eq!(outcomes[1].queue_depth, 0);
    assert_eq!(cost(&system, A, Component::EndOfDay), 80);
    assert_eq!((balance(&system, A), system.ledger.money().0), (100, 100_100));
}

#[test]
fn overnight_loans_cover_shortfalls_and_are_repaid_the_next_day() {
    let mut scenario =
        two_banks(2, json!({"balance": 300}), json!({"eod_rate": 0.1}), vec![pay(1_000, 0, 1, 5), receive(50, 2)]);
    scenario["end_of_day"] = json!("borrow");
    scenario["num_days"] = json!(2);
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 2);
    // 1,000 - 300 = 700 are borrowed at 10%; the payment settles on tick 1.
    assert_eq!(settlements(&outcomes), [0, 1]);
    assert_eq!(cost(&system, A, Component::EndOfDay), 70);
    assert_eq!((balance(&system, A), balance(&system, B)), (0, 101_000));
    assert_eq!((system.external_money().0, system.ledger.money().0), (700, 100_300 + 700));
    // Settlement by a loan does not count as settlement within the day.
    assert_eq!(Totals::of(&system.ledger, A).ratios[0].to_bits(), 0.0_f64.to_bits());
    // At the start of the next day the 700 are repaid; 50 arrive.
    play(&mut system, 2);
    assert_eq!((balance(&system, A), balance(&system, B)), (-700 + 50, 101_000 - 50));
    assert_eq!((system.external_money().0, system.ledger.money().0), (0, 100_300));
}

#[test]
fn an_overnight_reset_restores_the_opening_balances() {
    let mut scenario = two_banks(1, json!({"balance": 300}), json!({}), vec![pay(200, 0, 0, 5), pay(250, 1, 1, 5)]);
    scenario["num_days"] = json!(2);
    scenario["overnight"] = json!("reset");
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 2);
    assert_eq!(settlements(&outcomes), [1, 1]);
    assert_eq!((balance(&system, A), balance(&system, B)), (300 - 250, 100_000 + 250));
    assert!(system.tick().is_err());
}

#[test]
fn hold_until_deadline_waits_for_receipts() {
    let mut scenario = two_banks(
        5,
        json!({"balance": 100, "credit_limit": 1_000, "policy": {"type": "hold_until_deadline", "margin": 1}}),
        json!({"overdraft_rate": 0.1, "delay_penalty_per_tick": 4}),
        vec![pay(500, 0, 3, 5), receive(400, 1)],
    );
    let mut held = system(&scenario, &[]);
    play(&mut held, 5);
    // Held at ticks 0 and 1, released at tick 3 - 1 = 2, when 100 + 400 cover it.
    assert_eq!((cost(&held, A, Component::Overdraft), cost(&held, A, Component::Delay)), (0, 8));
    scenario["agents"][0]["policy"] = json!({"type": "release_all"});
    let mut released = system(&scenario, &[]);
    play(&mut released, 5);
    // Released at tick 0: an overdraft of 400 for one tick.
    assert_eq!((cost(&released, A, Component::Overdraft), cost(&released, A, Component::Delay)), (40, 0));
}

#[test]
fn liquidity_aware_keeps_its_buffer_until_a_payment_is_due() {
    let scenario = two_banks(
        3,
        json!({"balance": 1_000, "policy": {"type": "liquidity_aware", "buffer": 300}}),
        json!({}),
        vec![pay(600, 0, 2, 5), pay(200, 0, 2, 5), pay(100, 0, 2, 5)],
    );
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 3);
    // 1,000 - 600 = 400 >= 300: released. 400 - 200 = 200 < 300: held. 400 - 100 = 300: released.
    // The 200 are due at tick 2 and are released regardless of the buffer.
    assert_eq!(settlements(&outcomes), [2, 0, 1]);
    assert_eq!(balance(&system, A), 100);
}

#[test]
fn split_large_splits_payments_above_threshold_and_liquidity() {
    let scenario = two_banks(
        1,
        json!({"balance": 450, "policy": {"type": "split_large", "parts": 2, "threshold": 300}}),
        json!({"split_fee": 10}),
        vec![pay(200, 0, 0, 9), pay(400, 0, 0, 8), pay(300, 0, 0, 7)],
    );
    let mut system = system(&scenario, &[]);
    let outcomes = play(&mut system, 1);
    // 200 is covered (250 remain); 400 > 250 and > 300 is split into 200 + 200; 300 is not above the threshold. Of
    // 200, 200, 200, 300 the first two settle: 450 - 400 = 50.
    assert_eq!((settlements(&outcomes), outcomes[0].queue_depth), (vec![2], 2));
    assert_eq!((balance(&system, A), cost(&system, A, Component::Split)), (50, 10));
}

#[test]
fn one_receipt_resolves_a_gridlock() {
    // A and B have a payment of 100 to each other and no liquidity, so neither can settle gross.
    let scenario = json!({
        "ticks_per_day": 2,
        "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 0}, {"id": "C", "balance": 100}],
        "initial_transactions": [
            pay(100, 0, 1, 5),
            {"sender": "B", "receiver": "A", "amount": 100, "arrival_tick": 0, "deadline_tick": 1},
            {"sender": "C", "receiver": "A", "amount": 100, "arrival_tick": 1, "deadline_tick": 1}
        ]
    });
    let mut system = system(&scenario, &[]);
    assert_eq!(settlements(&play(&mut system, 2)), [0, 3]);
    let balances: Vec<i64> = (0..3).map(|bank| balance(&system, bank)).collect();
    assert_eq!(balances, [100, 0, 0]);
}
