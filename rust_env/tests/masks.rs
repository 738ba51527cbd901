//! Exhaustive tests of action masks in the states that legal play reaches.
//!
//! Strict mode accepts every legal action, which has its documented effect, and rejects every masked one without
//! effect.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)]

mod outcomes;
mod stepped_fleet;
mod strategies;

use outcomes::{Request, Requested, check_payments, check_pool};
use paysim_engine::decision::{ActionMode, Decides, Process};
use paysim_engine::error::{ActionError, FleetError};
use paysim_engine::events::EventLog;
use paysim_engine::payment::Payment;
use paysim_engine::rng::{Purpose, Stream, stream};
use paysim_engine::scenario::Scenario;
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, bank_at};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use stepped_fleet::SteppedFleet;
use strategies::read;

/// Number of tests by situation.
type Coverage = BTreeMap<&'static str, usize>;

/// What an action decides, as documented.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ActionTarget {
    Pool,
    Slots,
    Fraction,
    None(&'static str),
}

/// A system in a strict row, in a lenient row and by itself.
struct Play {
    system: System,
    strict: SteppedFleet,
    lenient: SteppedFleet,
    coverage: Coverage,
}

/// A state before a step, with its masks and legal actions.
struct State {
    system: Vec<u8>,
    row: Vec<u8>,
    masks: Vec<bool>,
    /// Legal actions of all learners; each test changes one number.
    actions: Vec<i64>,
}

impl Play {
    fn new(scenario: &Scenario, decision: &Value) -> Self {
        let with = |is_strict: bool| {
            let mut decision = decision.clone();
            decision["strict"] = json!(is_strict);
            SteppedFleet::new(scenario, 1, 1, &decision)
        };
        let strict = with(true);
        let process = Arc::clone(&strict.fleet.process);
        let setup = Arc::clone(&strict.fleet.setup);
        let mut system = {
            let roles = setup.roles(&process.learners, process.payment_learners());
            setup.system_with(roles, EventLog::recording())
        };
        system.reset(0, 0);
        begin(&process, &mut system);
        Self { system, strict, lenient: with(false), coverage: Coverage::new() }
    }

    /// Tests all actions in every state of an episode with random legal actions.
    fn play(mut self, rng: &mut Stream) -> Coverage {
        let process = Arc::clone(&self.strict.fleet.process);
        while !self.system.is_over() {
            let state = self.state(rng);
            let mut masks = state.masks.chunks(process.layout.mask_size());
            if masks.any(|mask| process.layout.split(mask).any(|values| values[1..].contains(&true))) {
                *self.coverage.entry("state with a choice").or_default() += 1;
            }
            for learner in 0..process.learners.len() {
                for head in 0..process.layout.heads() {
                    self.test_values(&process, &state, learner, head);
                }
            }
            self.system.restore(&state.system).unwrap();
            self.strict.step(&state.actions).unwrap();
            self.step_system(&process, &state.actions);
        }
        self.coverage
    }

    fn state(&mut self, rng: &mut Stream) -> State {
        self.strict.observe();
        let state = State {
            system: self.system.save(),
            row: self.strict.fleet.save(0),
            masks: self.strict.masks.clone(),
            actions: self.strict.legal_actions(rng),
        };
        assert!(state.row.starts_with(&state.system));
        state
    }

    fn test_values(&mut self, process: &Process, state: &State, learner: usize, head: usize) {
        let (index, bank) = (learner * process.layout.heads() + head, process.learners[learner]);
        let first = learner * process.layout.mask_size() + process.layout.nvec[..head].iter().sum::<usize>();
        let mut after_hold = Vec::new();
        for value in 0..process.layout.nvec[head] {
            self.system.restore(&state.system).unwrap();
            let is_legal = self.is_legal(process, bank, head, value);
            assert_eq!(state.masks[first + value], is_legal, "{bank:?}, head {head}: {value}");
            let mut actions = state.actions.clone();
            actions[index] = i64::try_from(value).unwrap();
            if is_legal {
                let after = self.check_accepted(process, state, &actions);
                if value == 0 {
                    after_hold = after;
                }
            } else {
                self.check_rejected(process, state, &actions, (learner, head));
                assert!(
                    self.state_after_masked(state, &actions, learner) == after_hold,
                    "a masked action did not hold"
                );
            }
        }
    }

    /// Whether a number is legal, as documented.
    fn is_legal(&mut self, process: &Process, bank: BankId, head: usize, value: usize) -> bool {
        let target = target_of(process, &self.system, bank);
        let queue = queue(&self.system, bank);
        let (payment, is_hold) = (queue.get(head), value == 0);
        let (is_legal, situation) = match (target, payment) {
            (ActionTarget::Pool, _) => (is_hold || Some(head) == process.layout.pool, "pool"),
            (ActionTarget::Fraction, _) => (true, "share"),
            (ActionTarget::None(reason), _) => (is_hold, reason),
            (ActionTarget::Slots, _) if Some(head) == process.layout.pool => (is_hold, "pool outside an opening"),
            (ActionTarget::Slots, None) => (is_hold, "empty slot"),
            (ActionTarget::Slots, Some(_)) if value <= 1 => (true, "hold or release"),
            (ActionTarget::Slots, Some(payment)) => match i64::from(process.split_parts[value - 2]) {
                _ if !payment.divisible => (false, "indivisible"),
                parts if payment.amount.0 < parts => (false, "fewer cents than parts"),
                _ => (true, "split"),
            },
        };
        *self.coverage.entry(situation).or_default() += 1;
        is_legal
    }

    /// Checks legal actions in the strict row; returns its state after them.
    fn check_accepted(&mut self, process: &Process, state: &State, actions: &[i64]) -> Vec<u8> {
        self.strict.step(actions).unwrap();
        assert!(self.strict.illegal.iter().all(|count| *count == 0));
        let after = self.strict.fleet.save(0);
        self.step_system(process, actions);
        assert!(after.starts_with(&self.system.save()), "the state of the row differs from its system");
        self.strict.fleet.restore(0, &state.row).unwrap();
        after
    }

    /// Checks that the strict row rejects the actions without effect.
    fn check_rejected(&mut self, process: &Process, state: &State, actions: &[i64], (learner, head): (usize, usize)) {
        let error = self.strict.step(actions).unwrap_err();
        let FleetError::Action(ActionError::Masked { env: 0, bank, component, value, .. }) = &error else {
            panic!("{error}")
        };
        let id = &self.strict.fleet.setup.banks[process.learners[learner].index()].id;
        let name = process.layout.name(head);
        assert_eq!((bank, component, value), (id, &name, &actions[learner * process.layout.heads() + head]));
        assert!(self.strict.fleet.save(0) == state.row, "a rejected action has changed the state");
    }

    /// Checks that the lenient row counts the masked action; returns its state after it.
    fn state_after_masked(&mut self, state: &State, actions: &[i64], learner: usize) -> Vec<u8> {
        self.lenient.fleet.restore(0, &state.row).unwrap();
        self.lenient.step(actions).unwrap();
        let expected: Vec<i64> = (0..self.lenient.illegal.len()).map(|index| i64::from(index == learner)).collect();
        assert_eq!(self.lenient.illegal, expected);
        self.lenient.fleet.save(0)
    }

    /// Plays a step of the system by itself and checks its outcomes.
    fn step_system(&mut self, process: &Process, actions: &[i64]) {
        let heads = process.layout.heads();
        let mut requests = Vec::new();
        for (bank, actions) in process.learners.iter().zip(actions.chunks(heads)) {
            let (target, queue) = (target_of(process, &self.system, *bank), queue(&self.system, *bank));
            let requested = decisions(process, target, &queue, actions);
            requests.push((target, Request { bank: *bank, queue, requested }));
        }
        for (bank, actions) in process.learners.iter().zip(actions.chunks(heads)) {
            process.apply_actions(&mut self.system, *bank, actions);
        }
        self.system.ledger.events.take();
        if self.system.is_opening() {
            let balances: Vec<Cents> = self.system.ledger.banks.iter().map(|bank| bank.balance).collect();
            self.system.finish_opening().unwrap();
            for ((target, request), actions) in requests.iter().zip(actions.chunks(heads)) {
                if *target == ActionTarget::Pool {
                    let component = process.layout.pool.unwrap();
                    let share = (actions[component], process.layout.nvec[component]);
                    check_pool(&self.system, request.bank, share, &balances);
                }
            }
        } else {
            self.system.finish_tick().unwrap();
            let events = self.system.ledger.events.take();
            for (_, request) in requests.iter().filter(|_| process.decides.includes_payments()) {
                check_payments(&self.system, request, &events, &mut self.coverage);
            }
        }
        begin(process, &mut self.system);
    }
}

/// Plays the system up to the next decisions.
fn begin(process: &Process, system: &mut System) {
    if system.is_over() {
        return;
    }
    system.begin_day().unwrap();
    if !(process.has_opening && system.is_opening()) {
        system.begin_tick().unwrap();
    }
}

fn queue(system: &System, bank: BankId) -> Vec<Payment> {
    system.ledger.banks[bank.index()].internal.clone()
}

fn target_of(process: &Process, system: &System, bank: BankId) -> ActionTarget {
    let has_pool = system.setup.banks[bank.index()].pool > Cents::ZERO;
    let is_out = system.ledger.now < system.ledger.banks[bank.index()].outage_until;
    match (system.is_opening(), process.decides) {
        (true, Decides::Payments | Decides::Nothing) => ActionTarget::None("the learner does not decide the pool"),
        (true, _) if !has_pool => ActionTarget::None("no pool"),
        (true, _) => ActionTarget::Pool,
        (false, Decides::Pool | Decides::Nothing) => ActionTarget::None("the learner does not decide payments"),
        (false, _) if is_out => ActionTarget::None("outage"),
        (false, _) if process.action_mode == ActionMode::Slots => ActionTarget::Slots,
        (false, _) if system.ledger.banks[bank.index()].internal.is_empty() => ActionTarget::None("empty queue"),
        (false, _) => ActionTarget::Fraction,
    }
}

/// The decisions that legal numbers request for each payment of the queue.
fn decisions(process: &Process, target: ActionTarget, queue: &[Payment], actions: &[i64]) -> Vec<Requested> {
    let slot = |index: usize| match usize::try_from(actions.get(index).copied().unwrap_or(0)).unwrap() {
        0 => Requested::Hold,
        1 => Requested::Release,
        split => Requested::Split(i64::from(process.split_parts[split - 2])),
    };
    match target {
        ActionTarget::Slots => {
            let held = queue.len().saturating_sub(process.slots);
            let in_slots = (0..queue.len() - held).map(slot);
            in_slots.chain(vec![Requested::Hold; held]).collect()
        }
        ActionTarget::Fraction => fraction_decisions(queue, actions[0]),
        ActionTarget::Pool | ActionTarget::None(_) => vec![Requested::Hold; queue.len()],
    }
}

/// The decisions of a fraction action: `action` twentieths of the queue's value.
fn fraction_decisions(queue: &[Payment], action: i64) -> Vec<Requested> {
    let budget = queue.iter().map(|payment| payment.amount.0).sum::<i64>() * action / 20;
    let mut total = 0;
    let mut requested = Vec::new();
    for payment in queue {
        let left = budget - total;
        total += payment.amount.0;
        requested.push(match (total <= budget, payment.divisible && left > 0) {
            (true, _) => Requested::Release,
            (false, true) => Requested::Cut(left),
            (false, false) => Requested::Hold,
        });
    }
    requested
}

fn arrivals(rate: f64, mean: i64, keys: Value) -> Value {
    let mut config = json!({
        "rate_per_tick": rate, "distribution_type": "lognormal", "amount_mean": mean, "amount_std_dev": mean * 6 / 5,
        "deadline_range": [1, 8], "priority": {"2": 0.3, "5": 0.4, "8": 0.3}
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn costs() -> Value {
    json!({"overdraft_rate": 0.001, "delay_penalty_per_tick": 20, "delay_rate": 0.0004, "overdue_multiplier": 5.0,
        "deadline_penalty": 50, "split_fee": 7, "eod_penalty": 90, "liquidity_rate": 0.01})
}

/// One bank per demand, with further `keys` of the scenario.
fn banks(demands: Vec<Value>, keys: Value) -> Value {
    let ids = ["A", "B", "C", "D", "E"];
    let agent = |(id, demand): (&str, Value)| json!({"id": id, "balance": 40_000, "credit_limit": 30_000, "arrival_config": demand});
    let agents: Vec<Value> = ids.into_iter().zip(demands).map(agent).collect();
    let mut scenario = json!({"ticks_per_day": 24, "agents": agents, "costs": costs()});
    scenario.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    scenario
}

/// Scenarios that differ in what masks depend on.
fn days() -> Vec<Value> {
    let plain = |rate: f64| arrivals(rate, 10_000, json!({}));
    let tiny = || json!({"rate_per_tick": 1.5, "distribution_type": "uniform", "amount_mean": 3, "priority": 4});
    let mut pools = banks(vec![plain(1.0), plain(1.0), plain(1.0)], json!({"ticks_per_day": 5, "num_days": 4}));
    pools["agents"][0]["liquidity_pool"] = json!(90_000);
    pools["agents"][2]["liquidity_pool"] = json!(7);
    let rails = json!([
        {"id": "FAST", "queue_discipline": "priority", "lsm": {"bilateral": true}},
        {"id": "NET", "settlement_type": "deferred_net", "cycle_ticks": 5}
    ]);
    let on_net = arrivals(1.0, 10_000, json!({"rail": "NET"}));
    let events = json!([
        {"type": "outage", "bank": "A", "ticks": 2, "tick": 3, "every_ticks": 7},
        {"type": "outage", "bank": "B", "ticks": 1, "tick": 5, "every_ticks": 9},
        {"type": "payment", "sender": "A", "receiver": "B", "amount": 9_999, "tick": 2, "every_ticks": 3},
        {"type": "early_close", "tick": 20}
    ]);
    vec![
        banks(vec![plain(1.0), plain(1.0)], json!({"end_of_day": "borrow"})),
        banks(vec![plain(1.6), plain(1.6), plain(0.6), plain(0.6), plain(0.6)], json!({})),
        banks(vec![arrivals(1.2, 9_000, json!({"divisible": false})), plain(1.0)], json!({"end_of_day": "drop"})),
        banks(vec![tiny(), tiny()], json!({})),
        banks(vec![plain(0.2), plain(0.2)], json!({})),
        pools,
        banks(vec![plain(1.0), on_net], json!({"rails": rails, "events": events, "num_days": 2})),
    ]
}

/// Settings in which the first bank or both banks learn.
fn settings(ids: [&str; 2]) -> Vec<Value> {
    let [first, second] = ids;
    vec![
        json!({"learners": [first], "slots": 3, "split_parts": [2, 5], "pool_shares": 4}),
        json!({"learners": [second, first], "slots": 2, "split_parts": [3]}),
        json!({"learners": [first], "action_mode": "fraction"}),
        json!({"learners": [first], "slots": 2, "decides": "payments", "split_parts": []}),
        json!({"learners": [first, second], "slots": 1, "decides": "pool"}),
        json!({"learners": [first], "action_mode": "fraction", "decides": "pool"}),
        json!({"learners": [second], "decides": "nothing"}),
    ]
}

/// Whether a process is valid: learners that decide only about pools need one.
fn has_decisions(scenario: &Value, decision: &Value) -> bool {
    let learns = |agent: &&Value| decision["learners"].as_array().unwrap().contains(&agent["id"]);
    let mut learners = scenario["agents"].as_array().unwrap().iter().filter(learns);
    decision["decides"] != "pool" || learners.any(|agent| agent["liquidity_pool"].as_i64().unwrap_or(0) > 0)
}

/// Tests all actions in all states of these episodes of the scenarios.
fn test_all(scenarios: &[Value], ids: [&str; 2], episodes: Range<u64>) -> Coverage {
    let mut coverage = Coverage::new();
    let cases = scenarios.iter().flat_map(|scenario| settings(ids).into_iter().map(move |s| (scenario, s)));
    for (scenario, decision) in cases.filter(|(scenario, decision)| has_decisions(scenario, decision)) {
        for episode in episodes.clone() {
            let rng = &mut stream(episode, 0, bank_at(0), Purpose::Policy);
            for (situation, count) in Play::new(&read(scenario), &decision).play(rng) {
                *coverage.entry(situation).or_default() += count;
            }
        }
    }
    coverage
}

fn assert_covered(coverage: &Coverage, situations: &[&str]) {
    for situation in situations {
        assert!(coverage.get(situation).is_some_and(|count| *count >= 50), "too rare: {situation} in {coverage:?}");
    }
}

const SITUATIONS: [&str; 19] = [
    "pool",
    "pool outside an opening",
    "share",
    "split",
    "hold or release",
    "empty slot",
    "indivisible",
    "fewer cents than parts",
    "outage",
    "empty queue",
    "no pool",
    "the learner does not decide payments",
    "held",
    "settled",
    "queued",
    "cut",
    "parts",
    "settled by the close",
    "cancelled by the close",
];

#[test]
fn masks_are_exact_in_scenarios_with_all_features() {
    let coverage = test_all(&days(), ["A", "B"], 0..10);
    assert!(coverage["state with a choice"] >= 5_000, "{coverage:?}");
    assert_covered(&coverage, &SITUATIONS);
}

#[test]
fn masks_are_exact_in_random_scenarios() {
    let mut runner = TestRunner::deterministic();
    let scenarios: Vec<Value> =
        (0..220).map(|_| strategies::scenarios().new_tree(&mut runner).unwrap().current()).collect();
    let coverage = test_all(&scenarios, ["BANK_0", "BANK_1"], 0..1);
    assert!(coverage["state with a choice"] >= 5_000, "{coverage:?}");
    assert_covered(&coverage, &SITUATIONS);
}
