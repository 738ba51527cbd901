//! Strategies for random scenarios with random features, and random legal decisions.

#![allow(dead_code, reason = "each test file uses a part of it")]

use paysim_engine::events::EventLog;
use paysim_engine::ledger::Ledger;
use paysim_engine::payment::Decision;
use paysim_engine::scenario::{PolicyConfig, Scenario};
use paysim_engine::setup::Setup;
use paysim_engine::system::{System, TickOutcome};
use paysim_engine::units::{BankId, Cents, PaymentId, RailId, Rate, bank_at};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Size of a scenario.
#[derive(Clone, Copy, Debug)]
struct Shape {
    ticks: i64,
    days: i64,
    banks: usize,
    rails: usize,
}

/// Scenarios of 2 to 5 banks and 1 to 3 rails with scarce liquidity.
pub fn scenarios() -> impl Strategy<Value = Value> {
    let shape = (1..=8_i64, 1..=3_i64, 2..=5_usize, 1..=3_usize);
    shape.prop_flat_map(|(ticks, days, banks, rails)| {
        let shape = Shape { ticks, days, banks, rails };
        let rules = (
            prop::sample::select(vec!["carry", "drop", "borrow"]),
            prop::sample::select(vec!["carry", "reset"]),
            prop::option::of((1..6_i64, 1..=10_i64)),
            any::<u64>(),
        );
        let parts =
            (vec(agent(shape), banks), vec(rail(ticks), rails), vec(payment(shape), 0..12), vec(event(shape), 0..6));
        (parts, costs(), rules).prop_map(
            move |((mut agents, mut rails, payments, events), costs, (end_of_day, overnight, escalation, seed))| {
                agents.iter_mut().enumerate().for_each(|(index, agent)| set_ids(agent, index, banks));
                rails.iter_mut().enumerate().for_each(|(index, rail)| rail["id"] = json!(rail_id(index)));
                json!({
                    "ticks_per_day": ticks, "num_days": days, "seed": seed, "agents": agents, "rails": rails,
                    "costs": costs, "initial_transactions": payments, "events": events, "end_of_day": end_of_day,
                    "overnight": overnight,
                    "priority_escalation": escalation.map(|(ticks, boost)| json!({"ticks": ticks, "boost": boost})),
                })
            },
        )
    })
}

/// Sets the id of a bank and the bank ids of its bilateral limits.
fn set_ids(agent: &mut Value, index: usize, banks: usize) {
    agent["id"] = json!(bank_id(index));
    let limits = agent["limits"]["bilateral"].as_array().unwrap().iter().enumerate();
    let given = limits.filter(|(_, limit)| !limit.is_null());
    let by_id = given.map(|(offset, limit)| (bank_id((index + 1 + offset) % banks), limit.clone()));
    agent["limits"]["bilateral"] = Value::Object(by_id.collect());
}

fn bank_id(index: usize) -> String {
    format!("BANK_{index}")
}

fn rail_id(index: usize) -> String {
    format!("RAIL_{index}")
}

fn rail(ticks: i64) -> impl Strategy<Value = Value> {
    let discipline = prop::sample::select(vec!["fifo", "fifo_bypass", "priority"]);
    let gross = (discipline, any::<[bool; 3]>()).prop_map(|(discipline, [entry, bilateral, multilateral])| {
        json!({
            "queue_discipline": discipline,
            "lsm": {"entry_offset": entry, "bilateral": bilateral, "multilateral": multilateral},
        })
    });
    let net = (1..=ticks).prop_map(|cycle| json!({"settlement_type": "deferred_net", "cycle_ticks": cycle}));
    (prop_oneof![3 => gross, 1 => net], any::<bool>(), any::<bool>()).prop_map(|(mut rail, is_deferred, is_visible)| {
        rail["deferred_crediting"] = json!(is_deferred);
        rail["incoming_queue_visible"] = json!(is_visible);
        rail
    })
}

fn policy() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(json!({"type": "learner"})),
        1 => Just(json!({"type": "release_all"})),
        1 => Just(json!({"type": "myopic"})),
        1 => (0..4_i64).prop_map(|margin| json!({"type": "hold_until_deadline", "margin": margin})),
        1 => (0..500_i64).prop_map(|buffer| json!({"type": "liquidity_aware", "buffer": buffer})),
        1 => (2..6_i64, 0..300_i64)
            .prop_map(|(parts, threshold)| json!({"type": "split_large", "parts": parts, "threshold": threshold})),
        1 => (0.0..1.0_f64).prop_map(|probability| json!({"type": "random", "release_probability": probability})),
    ]
}

fn agent(shape: Shape) -> impl Strategy<Value = Value> {
    let pledged = prop_oneof![Just((0, 0.0)), (0..400_i64, 0.0..=1.0_f64)];
    let pool = prop_oneof![Just((0, 1.0)), (0..500_i64, 0.0..=1.0_f64)];
    let money = (0..500_i64, prop_oneof![Just(0), 0..500_i64], pledged, pool);
    let bilateral = vec(prop::option::weighted(0.3, 0..300_i64), shape.banks - 1);
    let limits = prop_oneof![
        2 => Just((vec![None; shape.banks - 1], None)),
        1 => (bilateral, prop::option::of(0..400_i64)),
    ];
    (money, limits, prop::option::of(arrivals(shape)), policy()).prop_map(
        |((balance, credit, (collateral, haircut), (pool, share)), (bilateral, multilateral), arrivals, policy)| {
            json!({
                "balance": balance, "credit_limit": credit, "collateral": collateral, "collateral_haircut": haircut,
                "liquidity_pool": pool, "liquidity_share": share, "arrival_config": arrivals, "policy": policy,
                "limits": {"bilateral": bilateral, "multilateral": multilateral},
            })
        },
    )
}

fn arrivals(shape: Shape) -> impl Strategy<Value = Value> {
    let amounts = prop_oneof![
        (4..300_i64, 0..=75_i64).prop_map(|(mean, percent)| json!({"distribution_type": "normal", "amount_mean": mean, "amount_std_dev": (mean * percent / 100).max(1)})),
        (1..300_i64, 1..600_i64).prop_map(|(mean, deviation)| json!({"distribution_type": "lognormal", "amount_mean": mean, "amount_std_dev": deviation})),
        (1..300_i64).prop_map(|mean| json!({"distribution_type": "uniform", "amount_mean": mean})),
        (1..300_i64).prop_map(|mean| json!({"distribution_type": "exponential", "amount_mean": mean})),
    ];
    let ticks = shape.ticks;
    let window = (0..ticks).prop_map(move |start| json!([{"start_tick": start, "end_tick": ticks, "multiplier": 2.5}]));
    let priority = prop_oneof![Just(json!(3)), Just(json!({"1": 1.0, "7": 1.0, "9": 2.0}))];
    let deadlines = prop::option::of((0..3_i64, 3..6_i64));
    (0.1..1.5_f64, amounts, window, deadlines, priority, any::<bool>(), 0..shape.rails, class()).prop_map(
        |(rate, mut config, windows, deadlines, priority, divisible, rail, class)| {
            config["rate_per_tick"] = json!(rate);
            config["time_windows"] = windows;
            config["deadline_range"] = deadlines.map_or(Value::Null, |(low, high)| json!([low, high]));
            config["priority"] = priority;
            config["divisible"] = json!(divisible);
            config["rail"] = json!(rail_id(rail));
            config["rtgs_priority"] = class;
            config
        },
    )
}

fn class() -> impl Strategy<Value = Value> {
    let named = prop::sample::select(vec!["normal", "urgent", "highly_urgent"]);
    prop::option::weighted(0.3, named).prop_map(|class| json!(class))
}

fn costs() -> impl Strategy<Value = Value> {
    let prices = (0.0..0.1_f64, 0..50_i64, 0.0..0.05_f64, 1.0..5.0_f64, 0..90_i64);
    let more = (0.0..0.1_f64, 0.0..0.1_f64, prop::sample::select(vec!["posted", "used"]));
    (prices, more, (0..90_i64, 0..90_i64, 0.0..0.1_f64), any::<(bool, bool)>()).prop_map(
        |((overdraft, flat, rate, overdue, deadline), (collateral, liquidity, charged), (split, eod, eod_rate), (in_central, at_close))| {
            json!({
                "overdraft_rate": overdraft, "overdraft_tiers": [{"above": 100, "rate": 0.2}],
                "delay_penalty_per_tick": flat, "delay_rate": rate, "priority_multipliers": {"9": 2.5, "1": 0.0},
                "overdue_multiplier": overdue, "deadline_penalty": deadline, "split_fee": split,
                "eod_penalty": eod, "eod_rate": eod_rate, "delay_in_central_queue": in_central, "delay_at_close": at_close,
                "collateral_rate": collateral, "collateral_charged": charged, "liquidity_rate": liquidity,
            })
        },
    )
}

fn payment(shape: Shape) -> impl Strategy<Value = Value> {
    let parties = (0..shape.banks, 1..shape.banks);
    let terms = (0..shape.ticks * shape.days, 0..9_i64, 0..=10_i64, any::<bool>(), 0..shape.rails, class());
    (parties, 1..400_i64, terms).prop_map(
        move |((sender, offset), amount, (arrival, wait, priority, divisible, rail, class))| {
            json!({
                "sender": bank_id(sender), "receiver": bank_id((sender + offset) % shape.banks), "amount": amount,
                "arrival_tick": arrival, "deadline_tick": arrival + wait, "priority": priority,
                "divisible": divisible, "rail": rail_id(rail), "rtgs_priority": class,
            })
        },
    )
}

fn event(shape: Shape) -> impl Strategy<Value = Value> {
    let Shape { ticks, days, banks, rails } = shape;
    let bank = move || (0..banks).prop_map(bank_id);
    let party = move || prop::option::of(0..banks);
    let kinds = prop_oneof![
        (0..banks, 1..banks, 1..300_i64, prop::option::of(0..5_i64), 0..=10_i64, 0..rails).prop_map(
            move |(sender, offset, amount, deadline, priority, rail)| json!({
                "type": "payment", "sender": bank_id(sender), "receiver": bank_id((sender + offset) % banks),
                "amount": amount, "deadline_ticks": deadline, "priority": priority, "rail": rail_id(rail),
            })
        ),
        (party(), party(), 1..300_i64)
            .prop_filter("a transfer has one or two different parties", |(sender, receiver, _)| sender != receiver)
            .prop_map(|(sender, receiver, amount)| json!({
                "type": "transfer", "sender": sender.map(bank_id), "receiver": receiver.map(bank_id), "amount": amount
            })),
        (party(), 0.0..4.0_f64).prop_map(
            |(bank, multiplier)| json!({"type": "arrival_rate", "bank": bank.map(bank_id), "multiplier": multiplier})
        ),
        (bank(), 0..600_i64).prop_map(|(bank, limit)| json!({"type": "credit", "bank": bank, "credit_limit": limit})),
        (bank(), 0..600_i64).prop_map(|(bank, value)| json!({"type": "collateral", "bank": bank, "collateral": value})),
        (bank(), 1..6_i64).prop_map(|(bank, ticks)| json!({"type": "outage", "bank": bank, "ticks": ticks})),
        Just(json!({"type": "early_close"})),
    ];
    let every = prop::option::weighted(0.4, 1..6_i64);
    (kinds, 0..ticks * days, every, any::<bool>()).prop_map(move |(mut event, tick, every, is_bounded)| {
        event["tick"] = json!(tick);
        event["every_ticks"] = json!(every);
        let until = every.filter(|_| is_bounded).map(|every| (tick + 2 * every).min(ticks * days - 1));
        event["until_tick"] = json!(until);
        event
    })
}

/// Parses a valid scenario.
pub fn read(scenario: &Value) -> Scenario {
    Scenario::from_json(&scenario.to_string()).unwrap()
}

/// A system whose learners are decided from outside, and the learners.
pub fn system(scenario: &Scenario, events: EventLog) -> (System, Vec<BankId>) {
    let is_learner = |index: &usize| matches!(scenario.agents[*index].policy, PolicyConfig::Learner {});
    let learners: Vec<BankId> = (0..scenario.agents.len()).filter(is_learner).map(bank_at).collect();
    (Setup::new(scenario).unwrap().system(&learners, events), learners)
}

/// An endless sequence of numbers that determine decisions.
#[derive(Clone, Debug)]
pub struct Choices {
    numbers: Vec<u8>,
    next: usize,
}

pub fn choices() -> impl Strategy<Value = Choices> {
    vec(any::<u8>(), 64).prop_map(|numbers| Choices { numbers, next: 0 })
}

impl Choices {
    fn draw(&mut self) -> u8 {
        self.next += 1;
        self.numbers[(self.next - 1) % self.numbers.len()]
    }

    /// Makes legal decisions about all learners' payments in a tick that has begun.
    pub fn decide(&mut self, system: &mut System, learners: &[BankId]) {
        for learner in learners {
            let queue = system.ledger.banks[learner.index()].internal.clone();
            let decisions = queue.iter().map(|payment| match self.draw() % 12 {
                0..=3 => Decision::Release,
                parts @ 4..=6 if payment.can_be_split(parts - 2) => Decision::Split(parts - 2),
                7 | 8 if payment.can_be_split(2) => Decision::Cut(self.part_of(payment.amount)),
                _ => Decision::Hold,
            });
            let decisions: Vec<Decision> = decisions.collect();
            // Payments without a decision are held as well.
            let given = decisions.len() - usize::from(self.draw().is_multiple_of(4) && !decisions.is_empty());
            system.decisions_mut(*learner).extend_from_slice(&decisions[..given]);
        }
    }

    fn part_of(&mut self, amount: Cents) -> Cents {
        Cents((amount.0 * i64::from(self.draw()) / 256).clamp(1, amount.0 - 1))
    }

    /// Begins a day, with or without a separate opening step and pool decisions.
    pub fn open(&mut self, system: &mut System, learners: &[BankId]) {
        system.begin_day().unwrap();
        if system.is_opening() {
            for learner in learners {
                let number = self.draw();
                if !number.is_multiple_of(3) {
                    system.decide_pool(*learner, Rate::from_fraction(f64::from(number) / 255.0));
                }
            }
            if self.draw().is_multiple_of(2) {
                system.finish_opening().unwrap();
            }
        }
    }

    /// Begins a tick and makes the decisions.
    pub fn begin_tick(&mut self, system: &mut System, learners: &[BankId]) {
        self.open(system, learners);
        system.begin_tick().unwrap();
        self.decide(system, learners);
    }
}

/// A bank before the settlements of a tick.
#[derive(Clone, Debug)]
pub struct Account {
    pub balance: Cents,
    pub committed: Cents,
    pub multilateral_headroom: Option<Cents>,
    pub bilateral_headroom: Vec<Option<Cents>>,
}

/// The state after the decisions of a tick and before its settlements.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub accounts: Vec<Account>,
    /// Rail of each unsettled payment.
    pub rails: HashMap<PaymentId, RailId>,
}

impl Snapshot {
    fn of(ledger: &Ledger) -> Self {
        let banks = 0..ledger.banks.len();
        let account = |index: usize| Account {
            balance: ledger.banks[index].balance,
            committed: ledger.banks[index].committed,
            multilateral_headroom: ledger.banks[index].multilateral_headroom(),
            bilateral_headroom: banks.clone().map(|other| ledger.bilateral_headroom(index, other)).collect(),
        };
        let payments = banks.clone().flat_map(|index| ledger.banks[index].unsettled());
        Self {
            rails: payments.map(|payment| (payment.id, payment.rail)).collect(),
            accounts: banks.clone().map(account).collect(),
        }
    }
}

/// Plays an episode and calls `check` after every tick.
pub fn play(
    scenario: &Scenario,
    events: EventLog,
    mut choices: Choices,
    mut check: impl FnMut(&mut System, &Snapshot, &TickOutcome),
) -> System {
    let (mut system, learners) = system(scenario, events);
    while !system.is_over() {
        choices.begin_tick(&mut system, &learners);
        let before = Snapshot::of(&system.ledger);
        let outcome = system.finish_tick().unwrap();
        check(&mut system, &before, &outcome);
    }
    system
}
