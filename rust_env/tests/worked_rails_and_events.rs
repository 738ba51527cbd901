//! Rails, offsets, events and replayed payments, worked out by hand.

#![allow(clippy::unwrap_used, missing_docs)]

mod small_scenarios;

use paysim_engine::costs::Component;
use paysim_engine::events::{Event, EventLog, Mechanism};
use paysim_engine::payment::Decision;
use paysim_engine::replay::{PaymentRecord, Replay};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use paysim_engine::units::{Cents, RailId};
use serde_json::{Value, json};
use small_scenarios::{
    A, B, C, balances, cost, decide, held, pay, play, queued, scenario, settled, settlements, system,
    system_with_learners, with,
};
use std::sync::Arc;

fn on_rail(rail: &str, mut payment: Value) -> Value {
    payment["rail"] = json!(rail);
    payment
}

fn net_rail(cycle_ticks: i64) -> Value {
    json!([{"id": "ACH", "settlement_type": "deferred_net", "cycle_ticks": cycle_ticks}])
}

#[test]
fn a_net_rail_settles_at_the_end_of_cycles_and_of_the_day() {
    let payments = vec![pay("A", "B", 100, 0), pay("B", "A", 70, 1), pay("A", "C", 5, 3), pay("A", "C", 5, 4)];
    let mut system = system(&with(scenario(5, json!({"balance": 40}), payments), json!({"rails": net_rail(3)})));
    // Tick 2 ends the first cycle: A owes 100 - 70 = 30 and has 40. The last tick of the day ends the second one.
    assert_eq!(settlements(&mut system, 5), [0, 0, 2, 0, 2]);
    assert_eq!(
        settled(&mut system),
        [(100, Mechanism::Net), (70, Mechanism::Net), (5, Mechanism::Net), (5, Mechanism::Net)]
    );
    assert_eq!(balances(&system), [0, 30, 10]);
}

#[test]
fn an_unsettled_cycle_is_joined_only_by_ended_cycles() {
    let payments = vec![pay("A", "B", 50, 0), pay("A", "B", 5, 2), pay("B", "A", 5, 5)];
    let rules = json!({
        "rails": net_rail(2), "num_days": 2,
        "events": [{"type": "credit", "bank": "A", "credit_limit": 50, "tick": 4}]
    });
    let mut system = system(&with(scenario(3, json!({}), payments), rules));
    play(&mut system, 2);
    // The cycle ended at tick 1, and A lacks 50. The 5 join it at the close of the day, tick 2.
    assert_eq!(system.ledger.banks[A].in_ended_cycle.as_slice(), [1]);
    play(&mut system, 1);
    assert_eq!(system.ledger.banks[A].in_ended_cycle.as_slice(), [2]);
    // A gets credit of 50 at tick 4, which ends a cycle with A owing 55. At tick 5 it owes 50.
    assert_eq!(settlements(&mut system, 3), [0, 0, 3]);
    assert_eq!(balances(&system), [-50, 50, 0]);
}

#[test]
fn an_unsettled_cycle_is_tried_in_every_tick() {
    let rules =
        json!({"rails": net_rail(2), "events": [{"type": "transfer", "receiver": "A", "amount": 50, "tick": 2}]});
    let payments = vec![pay("A", "B", 50, 0), pay("A", "C", 1, 2), pay("B", "C", 2, 2)];
    let mut system = system(&with(scenario(6, json!({}), payments), rules));
    // Tick 2 ends no cycle: the 50 settle alone, and payments that arrive at tick 2 wait for tick 3. Then A has no
    // liquidity left, so B's 2 wait with A's 1.
    assert_eq!(settlements(&mut system, 2), [0, 0]);
    // The end of the cycle is part of the saved state.
    let saved = system.save();
    play(&mut system, 1);
    system.restore(&saved).unwrap();
    assert_eq!(settlements(&mut system, 4), [1, 0, 0, 0]);
    assert_eq!((balances(&system), system.ledger.banks[B].in_ended_cycle[0]), (vec![0, 50, 0], 1));
}

#[test]
fn the_first_rail_is_the_default_and_settles_first() {
    let rails = json!([{"id": "RTGS"}, {"id": "ACH", "settlement_type": "deferred_net", "cycle_ticks": 2}]);
    let payments = vec![pay("A", "B", 10, 0), on_rail("ACH", pay("A", "B", 20, 0))];
    let mut both = system(&with(scenario(2, json!({"balance": 100}), payments), json!({"rails": rails})));
    assert_eq!(settlements(&mut both, 2), [1, 1]);
    assert_eq!(settled(&mut both), [(10, Mechanism::Gross), (20, Mechanism::Net)]);
    // 100 cover one of two payments: that of the first rail, although the other one arrived first.
    let rails = json!([{"id": "FIRST"}, {"id": "SECOND"}]);
    let payments = vec![on_rail("SECOND", pay("A", "B", 100, 0)), pay("A", "C", 100, 0)];
    let mut system = system(&with(scenario(1, json!({"balance": 100}), payments), json!({"rails": rails})));
    assert_eq!(settlements(&mut system, 1), [1]);
    assert_eq!((queued(&system, A, 0), queued(&system, A, 1), balances(&system)[C]), (vec![], vec![100], 100));
    // The rails share the balance, so the queue of one reduces the free liquidity of the other.
    assert_eq!(system.ledger.free_liquidity(A, RailId(0)), Cents(-100));
}

#[test]
fn receipts_of_one_rail_fund_another_in_the_same_tick() {
    let rails = json!([{"id": "FIRST"}, {"id": "SECOND"}]);
    let payments = vec![pay("B", "C", 30, 0), on_rail("SECOND", pay("A", "B", 30, 0))];
    let mut system = system(&with(scenario(1, json!({"balance": 30}), payments), json!({"rails": rails})));
    assert_eq!(settlements(&mut system, 1), [2]);
    assert_eq!(balances(&system), [0, 0, 30]);
}

/// Number of settlements in one tick with bilateral offsets, where only B has 5.
fn bilateral_settlements(payments: &[Value]) -> u32 {
    let bank = |id: &str| json!({"id": id, "balance": if id == "B" { 5 } else { 0 }});
    let banks: Vec<Value> = ["A", "B", "C", "D", "E"].map(bank).into();
    let rules = json!({"agents": banks, "rails": [{"id": "RTGS", "lsm": {"bilateral": true}}]});
    play(&mut system(&with(scenario(1, json!({}), payments.to_vec()), rules)), 1)[0].settlements
}

#[test]
fn an_offset_enables_the_next_one() {
    // A's payment to C is the head once that to B has settled.
    let chain = [pay("A", "B", 10, 0), pay("A", "C", 10, 0), pay("B", "A", 10, 0), pay("C", "A", 10, 0)];
    assert_eq!(bilateral_settlements(&chain), 4);
    // A gains 5 from B, which C and D receive in turn; then C and E can offset for the first time.
    let gain = [pay("A", "B", 10, 0), pay("B", "A", 15, 0), pay("A", "C", 5, 0), pay("C", "D", 5, 0)];
    let after = [pay("C", "E", 10, 0), pay("E", "C", 10, 0)];
    assert_eq!(bilateral_settlements(&[&gain[..], &after].concat()), 6);
}

fn with_lsm(lsm: &Value, a: Value, payments: &[Value], events: Value) -> Vec<u32> {
    let rules = json!({"rails": [{"id": "RTGS", "lsm": lsm}], "events": events});
    settlements(&mut system(&with(scenario(2, a, payments.to_vec()), rules)), 2)
}

#[test]
fn each_type_of_offset_settles_only_if_enabled() {
    let (entry, bilateral, multilateral) =
        (json!({"entry_offset": true}), json!({"bilateral": true}), json!({"multilateral": true}));
    // A ring of three: no pair of banks has payments in both directions.
    let ring = [pay("A", "B", 100, 0), pay("B", "C", 100, 0), pay("C", "A", 100, 0)];
    for (lsm, expected) in [(&json!({}), 0), (&entry, 0), (&bilateral, 0), (&multilateral, 3)] {
        assert_eq!(with_lsm(lsm, json!({}), &ring, json!([])), [expected, 0], "{lsm}");
    }
    // A new payment is offset against a queued one.
    let pair = [pay("A", "B", 100, 0), pay("B", "A", 100, 1)];
    for (lsm, expected) in [(&json!({}), 0), (&entry, 2), (&bilateral, 2), (&multilateral, 2)] {
        assert_eq!(with_lsm(lsm, json!({}), &pair, json!([])), [0, expected], "{lsm}");
    }
    // A lacks the net amount of 40 until its credit is raised; then no payment is new.
    let late = [pay("A", "B", 100, 0), pay("B", "A", 60, 0)];
    let credit = json!([{"type": "credit", "bank": "A", "credit_limit": 40, "tick": 1}]);
    for (lsm, expected) in [(&json!({}), 0), (&entry, 0), (&bilateral, 2), (&multilateral, 2)] {
        assert_eq!(with_lsm(lsm, json!({}), &late, credit.clone()), [0, expected], "{lsm}");
    }
}

#[test]
fn offsets_respect_limits() {
    let pair = [pay("A", "B", 100, 0), pay("B", "A", 60, 0)];
    for limits in [json!({"bilateral": {"B": 39}}), json!({"multilateral": 39})] {
        let a = |limits: &Value| json!({"balance": 90, "limits": limits});
        for lsm in [json!({"entry_offset": true}), json!({"bilateral": true}), json!({"multilateral": true})] {
            assert_eq!(with_lsm(&lsm, a(&limits), &pair, json!([])), [0, 0], "{lsm} {limits}");
            let mut enough = limits.clone();
            enough.as_object_mut().unwrap().values_mut().for_each(|limit| {
                *limit = if limit.is_object() { json!({"B": 40}) } else { json!(40) };
            });
            assert_eq!(with_lsm(&lsm, a(&enough), &pair, json!([])), [2, 0], "{lsm} {enough}");
        }
    }
}

#[test]
fn events_occur_at_their_ticks() {
    let events = json!([
        {"type": "payment", "sender": "A", "receiver": "B", "amount": 10, "tick": 1, "every_ticks": 2, "until_tick": 5},
        {"type": "transfer", "receiver": "A", "amount": 15, "tick": 2},
        {"type": "transfer", "sender": "A", "receiver": "C", "amount": 2, "tick": 4},
        {"type": "transfer", "sender": "A", "amount": 1_000, "tick": 6},
        {"type": "credit", "bank": "A", "credit_limit": 30, "tick": 6},
        {"type": "collateral", "bank": "A", "collateral": 9, "tick": 7}
    ]);
    let a = json!({"collateral_haircut": 0.5});
    let mut system = system(&with(scenario(8, a, vec![]), json!({"events": events})));
    let outcomes = play(&mut system, 8);
    assert_eq!(outcomes.iter().map(|outcome| outcome.arrivals).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1, 0, 0]);
    // 15 - 10 = 5 at tick 2; 3 remain at tick 4 and are transferred at tick 6, before the new credit applies. Then
    // the two queued payments use 20 of 30.
    assert_eq!(outcomes.iter().map(|outcome| outcome.settlements).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 0, 2, 0]);
    assert_eq!((balances(&system), system.external_money()), (vec![-20, 30, 2], Cents(15 - 3)));
    assert_eq!(system.ledger.banks[A].credit(), Cents(30 + 4));
    let events = system.ledger.events.take();
    assert!(events.contains(&Event::Transfer {
        sender: Some(paysim_engine::units::BankId(0)),
        receiver: None,
        requested_amount: Cents(1_000),
        amount: Cents(3)
    }));
    let deadlines = events.iter().filter_map(|event| match event {
        Event::Arrival { deadline_tick, .. } => Some(deadline_tick.0),
        _ => None,
    });
    assert_eq!(deadlines.collect::<Vec<_>>(), [7, 7, 7]);
}

#[test]
fn a_transfer_takes_nothing_from_a_bank_beyond_its_credit_limit() {
    let events = json!([
        {"type": "credit", "bank": "A", "credit_limit": 0, "tick": 1},
        {"type": "transfer", "sender": "A", "receiver": "C", "amount": 5, "tick": 1}
    ]);
    let day = scenario(2, json!({"credit_limit": 20}), vec![pay("A", "B", 20, 0)]);
    let mut system = system(&with(day, json!({"events": events})));
    play(&mut system, 2);
    assert_eq!(balances(&system), [-20, 20, 0]);
}

#[test]
fn an_arrival_rate_event_multiplies_the_rate() {
    let arrivals = json!({"rate_per_tick": 10, "distribution_type": "uniform", "amount_mean": 1});
    let mut day = scenario(1_000, json!({"arrival_config": arrivals}), vec![]);
    day["agents"][B]["arrival_config"] = arrivals;
    day["events"] = json!([
        {"type": "arrival_rate", "bank": "A", "multiplier": 3, "tick": 250},
        {"type": "arrival_rate", "multiplier": 0, "tick": 500},
        {"type": "arrival_rate", "multiplier": 1, "tick": 750}
    ]);
    let mut system = system(&day);
    let mut arrived = Vec::new();
    for _ in 0..4 {
        let before = [A, B].map(|bank| system.ledger.banks[bank].statistics.arrived_count);
        play(&mut system, 250);
        arrived.push([A, B].map(|bank| system.ledger.banks[bank].statistics.arrived_count - before[bank]));
    }
    // 250 ticks with 10, 30 and 0 arrivals; 6 standard deviations of 2,500 are 300, of 7,500 are 520.
    for (found, (expected, margin)) in arrived.iter().flatten().zip([
        (2_500, 300),
        (2_500, 300),
        (7_500, 520),
        (2_500, 300),
        (0, 0),
        (0, 0),
        (2_500, 300),
        (2_500, 300),
    ]) {
        assert!((found - expected).abs() <= margin, "{arrived:?}");
    }
}

#[test]
fn an_outage_prevents_releases_but_not_settlements() {
    let payments = vec![pay("A", "B", 10, 0), pay("A", "B", 20, 1), pay("C", "A", 30, 1)];
    let mut day = scenario(4, json!({}), payments);
    day["agents"][C]["balance"] = json!(30);
    day["events"] = json!([{"type": "outage", "bank": "A", "ticks": 2, "tick": 1}, {"type": "outage", "bank": "A", "ticks": 1, "tick": 1}]);
    // At tick 1 C's 30 arrive and cover the 10 of tick 0; the 20 are released at tick 3.
    assert_eq!(settlements(&mut system(&day), 4), [0, 2, 0, 1]);
    // The decisions of a learner during the outage have no later effect.
    let mut learner = system_with_learners(&day, &[A]);
    decide(&mut learner, &[Decision::Release]);
    assert_eq!(decide(&mut learner, &[Decision::Release]).settlements, 2);
    assert_eq!(decide(&mut learner, &[Decision::Split(2)]).settlements, 0);
    assert_eq!(decide(&mut learner, &[]).settlements, 0);
    assert_eq!((held(&learner, A), cost(&learner, A, Component::Split)), (vec![20], 0));
}

#[test]
fn an_early_close_moves_later_payments_to_the_next_day() {
    let payments = vec![pay("A", "B", 10, 0), pay("A", "C", 20, 3), pay("A", "C", 3, 5), pay("A", "C", 4, 7)];
    let rules = json!({
        "num_days": 2, "costs": {"eod_penalty": 7},
        "events": [
            {"type": "early_close", "tick": 1, "every_ticks": 2, "until_tick": 3},
            {"type": "transfer", "receiver": "A", "amount": 100, "tick": 4},
            {"type": "early_close", "tick": 6}
        ]
    });
    let mut system = system(&with(scenario(5, json!({"liquidity_pool": 5}), payments), rules));
    let first = play(&mut system, 2);
    // The day ends with tick 1: 10 are unsettled, and the pool is returned.
    assert_eq!((cost(&system, A, Component::EndOfDay), system.external_money()), (7, Cents(0)));
    let rest = play(&mut system, 2);
    let ticks: Vec<u32> = first.iter().chain(&rest).map(|outcome| outcome.tick.0).collect();
    assert_eq!(ticks, [0, 1, 5, 6]);
    // The close of tick 3 has no effect; 100 and 20 arrive at tick 5 with the 3 of that tick.
    assert_eq!((rest[0].arrivals, rest[0].settlements, rest[1].arrivals), (2, 3, 0));
    assert_eq!(balances(&system), [100 - 10 - 20 - 3, 10, 23]);
    // Payments after the close of the last day never arrive.
    assert!(system.is_over() && system.tick().is_err());
    assert_eq!((system.ledger.num_unsettled(), system.ledger.now.0), (0, 10));
}

#[test]
fn an_early_close_postpones_deadlines() {
    let late = json!({
        "num_days": 2, "costs": {"deadline_penalty": 9},
        "events": [
            {"type": "early_close", "tick": 1},
            {"type": "payment", "tick": 3, "sender": "A", "receiver": "B", "amount": 10},
            {"type": "payment", "tick": 3, "sender": "A", "receiver": "B", "amount": 20, "deadline_ticks": 0}
        ]
    });
    let mut system = system(&with(scenario(5, json!({"balance": 0}), vec![]), late));
    play(&mut system, 2);
    system.begin_tick().unwrap();
    let dates: Vec<_> =
        system.ledger.banks[A].unsettled().map(|payment| (payment.arrival.0, payment.deadline.0)).collect();
    // Both arrive at tick 5, two ticks late: 4 becomes 6, 3 becomes 5.
    assert_eq!(dates, [(5, 5), (5, 6)]);
    system.finish_tick().unwrap();
    assert_eq!(cost(&system, A, Component::Deadline), 9);
}

#[test]
fn deadlines_that_an_early_close_skips_pass_in_the_next_tick() {
    let costs = json!({"deadline_penalty": 9, "eod_penalty": 1});
    let payments = [(1, 10), (4, 20), (4, 40), (6, 80)];
    let payments = payments.map(|(deadline, amount)| {
        json!({"sender": "A", "receiver": "B", "amount": amount, "arrival_tick": 0, "deadline_tick": deadline})
    });
    let events = json!([
        {"type": "early_close", "tick": 1},
        {"type": "transfer", "receiver": "A", "amount": 30, "tick": 5}
    ]);
    let rules = json!({"num_days": 2, "costs": costs, "events": events});
    let mut system = system(&with(scenario(5, json!({"balance": 0}), payments.to_vec()), rules));
    let mut deadline = || {
        system.tick().unwrap();
        (system.ledger.now.0, cost(&system, A, Component::Deadline))
    };
    // Ticks 0 and 1, at whose end 10 become overdue; ticks 5 and 6: 10 and 20 settle, 40 and then 80 become overdue.
    assert_eq!([deadline(), deadline(), deadline(), deadline()], [(1, 0), (5, 9), (6, 18), (7, 27)]);
}

fn record(day: i64, tick: i64, amount: i64) -> PaymentRecord {
    PaymentRecord { day, tick, sender: 0, receiver: 1, amount, deadline: -1, priority: 5, divisible: true }
}

fn replayed() -> Scenario {
    let day = with(scenario(2, json!({}), vec![]), json!({"num_days": 2, "payments_file": "payments.csv"}));
    Scenario::from_json(&day.to_string()).unwrap()
}

#[test]
fn the_first_replayed_day_depends_on_seed_and_episode() {
    let scenario = replayed();
    // Three days in any order; the second one has its payment in the last tick.
    let records = [record(2, 0, 300), record(1, 1, 200), record(0, 0, 100), record(0, 0, 101)];
    let replay = Arc::new(Replay::new(&scenario, records.into_iter()).unwrap());
    let files = Files { replay: Some(replay), ..Files::default() };
    let setup = Arc::new(Setup::with_files(&scenario, files).unwrap());
    let mut system = setup.system(&[], EventLog::recording());
    // (tick, amount, deadline) of two consecutive days from day (seed + episode) x 2 modulo 3 of the file.
    let day = |of_file: i64, of_episode: u32| match of_file {
        0 => vec![(2 * of_episode, 100, 2 * of_episode + 1), (2 * of_episode, 101, 2 * of_episode + 1)],
        1 => vec![(2 * of_episode + 1, 200, 2 * of_episode + 1)],
        _ => vec![(2 * of_episode, 300, 2 * of_episode + 1)],
    };
    for (seed, episode, days) in [
        (0, 0, [0, 1]),
        (0, 1, [2, 0]),
        (1, 0, [2, 0]),
        (2, 0, [1, 2]),
        (1, 2, [0, 1]),
        (u64::MAX, 0, [0, 1]),
        (u64::MAX, 1, [2, 0]),
    ] {
        system.reset(seed, episode);
        play(&mut system, 4);
        let events = system.ledger.events.take();
        let mut tick = 0;
        let arrived = events.iter().filter_map(|event| match event {
            Event::Tick { tick: now } => {
                tick = now.0;
                None
            }
            Event::Arrival { amount, deadline_tick, .. } => Some((tick, amount.0, deadline_tick.0)),
            _ => None,
        });
        assert_eq!(
            arrived.collect::<Vec<_>>(),
            [day(days[0], 0), day(days[1], 1)].concat(),
            "seed {seed} episode {episode}"
        );
    }
}

#[test]
fn invalid_records_are_rejected() {
    let scenario = replayed();
    let good = record(0, 0, 1);
    let cases = [
        (PaymentRecord { day: -1, ..good }, "payments[1].day = -1: must be between 0 and 999999"),
        (PaymentRecord { tick: 2, ..good }, "payments[1].tick = 2: must be between 0 and 1 (ticks)"),
        (PaymentRecord { sender: 3, ..good }, "payments[1].sender = 3: must be between 0 and 2"),
        (PaymentRecord { receiver: -1, ..good }, "payments[1].receiver = -1: must be between 0 and 2"),
        (
            PaymentRecord { receiver: 0, ..good },
            "payments[1].receiver = 0: a bank cannot pay itself; must be another bank",
        ),
        (PaymentRecord { amount: 0, ..good }, "payments[1].amount = 0: must be between 1 and 1000000000000000 (cents)"),
        (PaymentRecord { priority: 11, ..good }, "payments[1].priority = 11: must be between 0 and 10"),
        (PaymentRecord { tick: 1, deadline: 0, ..good }, "payments[1].deadline = 0: must be between 1 and 1 (ticks)"),
        (PaymentRecord { deadline: 2, ..good }, "payments[1].deadline = 2: must be between 0 and 1 (ticks)"),
        (PaymentRecord { deadline: -2, ..good }, "payments[1].deadline = -2: must be between 0 and 1 (ticks)"),
    ];
    for (wrong, message) in cases {
        assert_eq!(Replay::new(&scenario, [good, wrong].into_iter()).unwrap_err().to_string(), message);
    }
    let message = Replay::new(&scenario, std::iter::empty()).unwrap_err().to_string();
    assert_eq!(message, "payments_file = 0: must be between 1 and 1000000 (days)");
    let largest = 1_000_000_000_000_000;
    let message = Replay::new(&scenario, std::iter::repeat_n(record(0, 0, largest), 3_000)).unwrap_err().to_string();
    assert!(message.starts_with("value of all payments = 6.000e18"), "{message}");
}
