//! Limits, collateral, pools, priorities, deferred crediting and policies, worked out by hand.

#![allow(clippy::unwrap_used, missing_docs)]

mod small_scenarios;

use paysim_engine::costs::Component;
use paysim_engine::events::Mechanism;
use paysim_engine::payment::Decision;
use paysim_engine::units::{Cents, PaymentId, Rate, bank_at};
use serde_json::{Value, json};
use small_scenarios::{
    A, B, C, balances, cost, decide, held, pay, play, queued, scenario, settled, settlements, system,
    system_with_learners, with,
};
use std::num::NonZeroU64;

fn urgent(amount: i64, arrival: i64, priority: i64) -> Value {
    let mut payment = pay("A", "B", amount, arrival);
    payment["priority"] = json!(priority);
    payment
}

#[test]
fn a_bilateral_limit_blocks_payments_until_receipts_or_the_next_day() {
    let payments = vec![
        pay("A", "B", 80, 0),
        pay("A", "B", 50, 0),
        pay("B", "A", 30, 1),
        pay("A", "C", 500, 1),
        pay("A", "B", 1, 2),
        pay("A", "B", 99, 3),
        pay("A", "B", 1, 4),
    ];
    let a = json!({"balance": 1_000, "limits": {"bilateral": {"B": 100}}});
    let mut system = system(&with(scenario(3, a, payments), json!({"num_days": 2})));
    // Tick 0: 80 leave 20 of 100, less than 50. Tick 1: 30 arrive from B, so 50 = 20 + 30 settle, and the payment
    // to C. Tick 2: no headroom remains for 1. Tick 3: a new headroom of 100 covers 1 + 99. Tick 4: none remains.
    assert_eq!(settlements(&mut system, 5), [1, 3, 0, 2, 0]);
    assert_eq!(balances(&system), [1_000 - 80 - 50 + 30 - 500 - 100, 80 + 50 - 30 + 100, 500]);
    assert_eq!(system.ledger.bilateral_headroom(A, B), Some(Cents(0)));
    assert_eq!((system.ledger.bilateral_headroom(A, C), system.ledger.bilateral_headroom(B, A)), (None, None));
}

#[test]
fn a_multilateral_limit_covers_all_banks_until_the_next_day() {
    let payments = vec![
        pay("A", "B", 60, 0),
        pay("A", "C", 60, 0),
        pay("C", "A", 30, 1),
        pay("A", "B", 20, 2),
        pay("A", "B", 80, 3),
    ];
    let mut day = scenario(3, json!({"balance": 1_000, "limits": {"multilateral": 100}}), payments);
    day["agents"][C]["balance"] = json!(30);
    let mut system = system(&with(day, json!({"num_days": 2})));
    // 60 leave 40, less than 60; 30 more are enough; then 10 remain, less than 20. On the next day 100 cover
    // 20 + 80.
    assert_eq!(settlements(&mut system, 3), [1, 2, 0]);
    assert_eq!(system.ledger.banks[A].capacity(), Cents(10));
    assert_eq!(settlements(&mut system, 1), [2]);
    assert_eq!(system.ledger.banks[A].multilateral_headroom(), Some(Cents(0)));
}

#[test]
fn collateral_credit_is_reduced_by_the_haircut_and_rounded_down() {
    let a = json!({"credit_limit": 100, "collateral": 1_001, "collateral_haircut": 0.1});
    let mut day = scenario(3, a, vec![pay("A", "B", 1_000, 0), pay("A", "B", 1, 1)]);
    day["costs"] = json!({"collateral_rate": 0.01});
    let mut system = system(&day);
    // 1,001 x 0.9 = 900.9, so 900: with 100 of credit 1,000 can be paid, and no more.
    assert_eq!(settlements(&mut system, 3), [1, 0, 0]);
    assert_eq!(system.ledger.banks[A].credit(), Cents(100 + 900));
    // 1% of the 1,001 posted, in 3 ticks: 30.03.
    assert_eq!(cost(&system, A, Component::Collateral), 30);
}

#[test]
fn used_collateral_backs_the_overdraft_beyond_the_credit_limit_rounded_up() {
    let a = json!({"credit_limit": 100, "collateral": 1_000, "collateral_haircut": 0.3});
    let mut day = scenario(4, a, vec![pay("A", "B", 100, 0), pay("A", "B", 101, 1), pay("A", "B", 599, 3)]);
    day["costs"] = json!({"collateral_rate": 0.1, "collateral_charged": "used"});
    let mut system = system(&day);
    play(&mut system, 1);
    // The credit limit alone backs the first 100.
    assert_eq!(cost(&system, A, Component::Collateral), 0);
    play(&mut system, 2);
    // 101 / 0.7 = 144.3, so 145, at 10% in two ticks: 29. Without rounding up it would be 28.9.
    assert_eq!(cost(&system, A, Component::Collateral), 29);
    play(&mut system, 1);
    // 700 / 0.7 = 1,000, all the collateral.
    assert_eq!(cost(&system, A, Component::Collateral), 29 + 100);
}

#[test]
fn deferred_receipts_reduce_overdraft_cost_but_not_collateral_cost() {
    let payments = vec![pay("A", "B", 70, 0), pay("C", "A", 70, 0)];
    let mut day = scenario(1, json!({"collateral": 100, "collateral_haircut": 0.3}), payments);
    day["agents"][C]["balance"] = json!(70);
    day["rails"] = json!([{"id": "RTGS", "deferred_crediting": true}]);
    day["costs"] = json!({"collateral_rate": 0.1, "collateral_charged": "used", "overdraft_rate": 0.5});
    let mut system = system(&day);
    play(&mut system, 1);
    assert_eq!(balances(&system), [0, 70, 0]);
    assert_eq!((cost(&system, A, Component::Collateral), cost(&system, A, Component::Overdraft)), (10, 0));
}

fn pool_days(overnight: &str) -> Value {
    let a = json!({"liquidity_pool": 1_000, "liquidity_share": 0.25});
    let payments = vec![pay("A", "B", 200, 0), pay("A", "B", 100, 1), pay("B", "A", 60, 2)];
    let rules = json!({"num_days": 2, "overnight": overnight, "costs": {"liquidity_rate": 0.02}});
    with(scenario(2, a, payments), rules)
}

#[test]
fn a_pool_is_committed_at_the_opening_charged_once_a_day_and_returned_at_the_close() {
    let mut system = system(&pool_days("carry"));
    // 250 of 1,000 are committed: 200 settle, and 50 are less than 100. 2% of 250 is 5.
    assert_eq!(settlements(&mut system, 1), [1]);
    assert_eq!((balances(&system), cost(&system, A, Component::Liquidity)), (vec![50, 200, 0], 5));
    assert_eq!((system.external_money(), system.ledger.banks[A].committed), (Cents(250), Cents(250)));
    assert_eq!(settlements(&mut system, 1), [0]);
    // The close returns the 250.
    assert_eq!((balances(&system), cost(&system, A, Component::Liquidity)), (vec![50 - 250, 200, 0], 5));
    assert_eq!((system.external_money(), system.ledger.banks[A].committed), (Cents(0), Cents(0)));
    // -200 + 250 + 60 = 110: the 100 settle. The second day costs 5 as well.
    assert_eq!(settlements(&mut system, 2), [2, 0]);
    assert_eq!((balances(&system), cost(&system, A, Component::Liquidity)), (vec![10 - 250, 240, 0], 10));
    assert_eq!(system.external_money(), Cents(0));
}

#[test]
fn after_an_overnight_reset_a_pool_starts_from_the_opening_balance() {
    let mut system = system(&pool_days("reset"));
    play(&mut system, 2);
    assert_eq!((balances(&system), system.external_money()), (vec![-200, 200, 0], Cents(0)));
    // The reset cancels the transfer of 200. A's 0 + 250 cover the 100, from which B then pays its 60.
    assert_eq!(settlements(&mut system, 1), [2]);
    assert_eq!((balances(&system), system.external_money()), (vec![250 - 100 + 60, 40, 0], Cents(250)));
    play(&mut system, 1);
    assert_eq!((balances(&system), system.external_money()), (vec![-40, 40, 0], Cents(0)));
}

#[test]
fn an_opening_is_a_separate_step_if_a_learner_decides() {
    let mut system = system_with_learners(&pool_days("carry"), &[A]);
    system.begin_day().unwrap();
    assert!(system.is_opening());
    system.decide_pool(bank_at(A), Rate::from_fraction(0.5));
    system.finish_opening().unwrap();
    // The charge is 2% of 500.
    let liquidity = Component::Liquidity as usize;
    assert_eq!((balances(&system)[A], system.ledger.banks[A].tick_costs[liquidity]), (500, Cents(10)));
    assert_eq!(decide(&mut system, &[Decision::Release]).costs[liquidity], Cents(0));
    decide(&mut system, &[]);
    // Without a decision, the second day commits the scenario's share.
    decide(&mut system, &[]);
    assert_eq!((system.ledger.banks[A].committed, cost(&system, A, Component::Liquidity)), (Cents(250), 10 + 5));
}

#[test]
fn the_queue_order_follows_priority_classes_and_then_releases() {
    let payments = vec![urgent(20, 0, 6), urgent(30, 1, 8), urgent(10, 2, 5), urgent(40, 3, 9), pay("C", "A", 95, 4)];
    let mut day = scenario(5, json!({}), payments);
    day["agents"][C]["balance"] = json!(100);
    day["rails"] = json!([{"id": "RTGS", "queue_discipline": "priority"}]);
    let mut system = system(&day);
    play(&mut system, 4);
    // 9 is highly urgent; 6 and 8 are both urgent, the older one first; 5 is normal.
    assert_eq!(queued(&system, A, 0), [40, 20, 30, 10]);
    play(&mut system, 1);
    // 95 = 40 + 20 + 30 + 5.
    assert_eq!(settled(&mut system).iter().map(|(amount, _)| *amount).collect::<Vec<_>>(), [95, 40, 20, 30]);
}

#[test]
fn an_explicit_class_overrides_priority() {
    let mut low = urgent(25, 0, 0);
    low["rtgs_priority"] = json!("highly_urgent");
    let mut high = urgent(15, 0, 10);
    high["rtgs_priority"] = json!("normal");
    let mut day = scenario(1, json!({"balance": 20}), vec![high, low]);
    day["rails"] = json!([{"id": "RTGS", "queue_discipline": "priority"}]);
    let mut urgent_first = system(&day);
    // 20 would cover 15, but the rail puts the 25 first, in spite of their lower priority.
    assert_eq!(settlements(&mut urgent_first, 1), [0]);
    assert_eq!(queued(&urgent_first, A, 0), [25, 15]);
    day["rails"] = json!([{"id": "RTGS"}]);
    assert_eq!(settlements(&mut system(&day), 1), [1]);
}

#[test]
fn escalation_changes_queue_order_and_class_but_not_the_price() {
    let due = |amount: i64, priority: i64, deadline: i64| json!({"sender": "A", "receiver": "B", "amount": amount, "arrival_tick": 0, "deadline_tick": deadline, "priority": priority});
    let costs =
        json!({"delay_penalty_per_tick": 10, "priority_multipliers": {"6": 2, "7": 50, "8": 50, "9": 50, "10": 50}});
    let rules = json!({"priority_escalation": {"ticks": 4, "boost": 4}, "costs": costs});
    let day = with(scenario(10, json!({}), vec![due(5, 5, 4), due(6, 6, 9)]), rules);
    let mut system = system_with_learners(&day, &[A]);
    let urgencies = |system: &paysim_engine::system::System| -> Vec<u8> {
        system.ledger.banks[A].internal.iter().map(|payment| payment.urgency).collect()
    };
    system.begin_tick().unwrap();
    // 4 ticks before the deadline there is no increase: 6 before 5.
    assert_eq!((held(&system, A), urgencies(&system)), (vec![6, 5], vec![6, 5]));
    system.finish_tick().unwrap();
    for (tick, expected) in [(1, vec![6, 6]), (2, vec![7, 6]), (3, vec![8, 6]), (4, vec![9, 6])] {
        system.begin_tick().unwrap();
        // The urgency is 5 + 4 x tick / 4; of equal payments the nearer deadline comes first.
        assert_eq!((held(&system, A), urgencies(&system)), (vec![5, 6], expected), "tick {tick}");
        system.finish_tick().unwrap();
    }
    // 5 ticks cost 10 and 2 x 10.
    assert_eq!(cost(&system, A, Component::Delay), 5 * 10 + 5 * 20);
    decide(&mut system, &[Decision::Release]);
    let head = &system.ledger.banks[A].central[0][0];
    assert_eq!((head.priority, head.rtgs_priority), (5, Some(paysim_engine::payment::RtgsPriority::HighlyUrgent)));
}

#[test]
fn deferred_receipts_can_be_used_from_the_next_tick() {
    let payments = vec![pay("B", "A", 100, 0), pay("A", "C", 100, 0)];
    for (is_deferred, expected) in [(false, [2, 0]), (true, [1, 1])] {
        let mut day = scenario(2, json!({}), payments.clone());
        day["agents"][B]["balance"] = json!(100);
        day["rails"] = json!([{"id": "RTGS", "deferred_crediting": is_deferred}]);
        let mut system = system(&day);
        assert_eq!(settlements(&mut system, 2), expected);
        assert_eq!(balances(&system), [0, 0, 100]);
    }
}

#[test]
fn an_offset_nets_deferred_receipts_but_defers_the_net_gain() {
    let payments = vec![pay("A", "B", 100, 0), pay("A", "C", 30, 0), pay("B", "A", 130, 0)];
    let mut day = scenario(2, json!({}), payments);
    day["agents"][B]["balance"] = json!(30);
    day["rails"] = json!([{"id": "RTGS", "deferred_crediting": true, "lsm": {"bilateral": true}}]);
    let mut system = system(&day);
    // B pays 130 - 100 = 30 net, its whole balance. A's net gain of 30 can pay C only at tick 1.
    assert_eq!(settlements(&mut system, 1), [2]);
    assert_eq!(settled(&mut system), [(100, Mechanism::Bilateral), (130, Mechanism::Bilateral)]);
    assert_eq!(settlements(&mut system, 1), [1]);
    assert_eq!(balances(&system), [0, 0, 30]);
}

#[test]
fn a_cut_incurs_a_fee_and_keeps_the_rest_in_the_queue() {
    let payments = vec![pay("A", "B", 300, 0), pay("A", "B", 50, 0)];
    let mut day = scenario(3, json!({"balance": 100}), payments);
    day["costs"] = json!({"split_fee": 7, "delay_penalty_per_tick": 1});
    let mut system = system_with_learners(&day, &[A]);
    assert_eq!(decide(&mut system, &[Decision::Cut(Cents(100)), Decision::Hold]).settlements, 1);
    assert_eq!((held(&system, A), balances(&system)[A]), (vec![200, 50], 0));
    let rest = system.ledger.banks[A].internal[0];
    assert_eq!((rest.id, rest.parent, rest.deadline.0, rest.is_released), (PaymentId::FIRST, None, 1_000, false));
    assert_eq!((cost(&system, A, Component::Split), cost(&system, A, Component::Delay)), (7, 2));
    // Another 20 of it are queued, with delay costs of their own: 3 payments are unsettled now.
    decide(&mut system, &[Decision::Cut(Cents(20))]);
    let part = system.ledger.banks[A].central[0][0];
    assert_eq!(
        (part.id, part.parent, part.amount),
        (PaymentId(NonZeroU64::new(4).unwrap()), Some(PaymentId::FIRST), Cents(20))
    );
    assert_eq!((cost(&system, A, Component::Split), cost(&system, A, Component::Delay)), (14, 2 + 3));
    assert_eq!((held(&system, A), system.ledger.banks[A].statistics.split_count), (vec![180, 50], 2));
}

#[test]
fn myopic_orders_by_delay_cost_and_overdraws_if_delay_costs_more() {
    let a = json!({"balance": 100, "credit_limit": 1_000, "policy": {"type": "myopic"}});
    let payments = vec![urgent(90, 0, 5), urgent(60, 0, 5), urgent(400, 0, 5), urgent(400, 1, 9), urgent(600, 1, 9)];
    let mut day = scenario(2, a, payments);
    day["costs"] = json!({"overdraft_rate": 0.01, "delay_penalty_per_tick": 2, "priority_multipliers": {"9": 2.5}});
    let mut system = system(&day);
    play(&mut system, 1);
    // Each delay costs 2, so the smaller payment is first: 60 leave 40. 90 take the balance to -50, for 0.5 < 2.
    // 400 more would cost 4 > 2.
    assert_eq!((held(&system, A), balances(&system)[A]), (vec![400], -50));
    play(&mut system, 1);
    // A delay at priority 9 costs 2.5 x 2 = 5 > 4: 400 settle. 600 would cost 6 > 5.
    assert_eq!((held(&system, A), balances(&system)[A]), (vec![600, 400], -450));
}

#[test]
fn overnight_loans_cover_all_rails_without_deferred_receipts() {
    let mut by_net = pay("A", "B", 200, 0);
    by_net["rail"] = json!("ACH");
    let mut day = scenario(2, json!({"balance": 300}), vec![pay("A", "B", 1_000, 0), by_net, pay("B", "C", 50, 1)]);
    day["rails"] = json!([
        {"id": "RTGS", "deferred_crediting": true},
        {"id": "ACH", "settlement_type": "deferred_net", "cycle_ticks": 2, "deferred_crediting": true}
    ]);
    let mut system = system(&with(day, json!({"end_of_day": "borrow", "costs": {"eod_rate": 0.1}, "num_days": 2})));
    // The cycle's 200 settle at tick 1 from A's balance, so 900 of the 1,000 are borrowed. B cannot use its 200 in
    // the tick of their receipt, not even at the close, so it borrows 50.
    assert_eq!(settlements(&mut system, 2), [0, 1 + 2]);
    assert_eq!(balances(&system), [0, 200 + 1_000 + 50 - 50, 50]);
    assert_eq!((cost(&system, A, Component::EndOfDay), cost(&system, B, Component::EndOfDay)), (90, 5));
    assert_eq!((system.ledger.banks[A].loan, system.external_money()), (Cents(900), Cents(950)));
    play(&mut system, 1);
    assert_eq!((balances(&system), system.external_money()), (vec![-900, 1_150, 50], Cents(0)));
}
