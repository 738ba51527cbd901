//! A mask is honest: in every state that legal play reaches, each action that it allows is taken in strict mode and
//! does what it says, and each one that it forbids is refused and moves nothing.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)]

mod outcomes;
mod stepped_fleet;
mod strategies;

use outcomes::{Asked, Wanted, check_payments, check_pool};
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

/// How often each kind of thing was met.
type Seen = BTreeMap<&'static str, usize>;

/// What an action is about, by the words of the documentation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum About {
    Pool,
    Slots,
    Share,
    Nothing(&'static str),
}

/// One system three times: as a row that is strict, as one that is lenient, and by itself, to look into.
struct Play {
    system: System,
    strict: SteppedFleet,
    lenient: SteppedFleet,
    seen: Seen,
}

/// A state and all that a try in it must come back to.
struct State {
    system: Vec<u8>,
    row: Vec<u8>,
    masks: Vec<bool>,
    /// Legal actions of all learners, of which a try changes one number.
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
        Self { system, strict, lenient: with(false), seen: Seen::new() }
    }

    /// Tries everything in every state of an episode that legal dice play.
    fn play(mut self, dice: &mut Stream) -> Seen {
        let process = Arc::clone(&self.strict.fleet.process);
        while !self.system.is_over() {
            let state = self.state(dice);
            if state.masks.chunks(process.choices()).any(|values| values[1..].contains(&true)) {
                *self.seen.entry("state with a choice").or_default() += 1;
            }
            for learner in 0..process.learners.len() {
                for head in 0..process.heads() {
                    self.try_values(&process, &state, learner, head);
                }
            }
            self.system.restore(&state.system).unwrap();
            self.strict.step(&state.actions).unwrap();
            self.step_system(&process, &state.actions);
        }
        self.seen
    }

    fn state(&mut self, dice: &mut Stream) -> State {
        self.strict.observe();
        let state = State {
            system: self.system.save(),
            row: self.strict.fleet.save(0),
            masks: self.strict.masks.clone(),
            actions: self.strict.legal_actions(dice),
        };
        assert!(state.row.starts_with(&state.system));
        state
    }

    fn try_values(&mut self, process: &Process, state: &State, learner: usize, head: usize) {
        let (place, bank) = (learner * process.heads() + head, process.learners[learner]);
        let mut after_hold = Vec::new();
        for value in 0..process.choices() {
            self.system.restore(&state.system).unwrap();
            let is_legal = self.is_legal(process, bank, head, value);
            assert_eq!(state.masks[place * process.choices() + value], is_legal, "{bank:?}, head {head}: {value}");
            let mut actions = state.actions.clone();
            actions[place] = i64::try_from(value).unwrap();
            if is_legal {
                let after = self.take(process, state, &actions);
                if value == 0 {
                    after_hold = after;
                }
            } else {
                self.refuse(process, state, &actions, (learner, head));
                assert!(self.hold(state, &actions, learner) == after_hold, "a masked action did not hold");
            }
        }
    }

    /// Whether a number is legal, by the words of the documentation.
    fn is_legal(&mut self, process: &Process, bank: BankId, head: usize, value: usize) -> bool {
        let about = about(process, &self.system, bank);
        let queue = queue(&self.system, bank);
        let (payment, is_hold) = (queue.get(head), value == 0);
        let (is_legal, what) = match (about, payment) {
            (About::Pool, _) => (is_hold || head == 0, "pool"),
            (About::Share, _) => (true, "share"),
            (About::Nothing(why), _) => (is_hold, why),
            (About::Slots, None) => (is_hold, "empty slot"),
            (About::Slots, Some(_)) if value <= 1 => (true, "hold or release"),
            (About::Slots, Some(payment)) => match i64::from(process.split_parts[value - 2]) {
                _ if !payment.divisible => (false, "indivisible"),
                parts if payment.amount.0 < parts => (false, "fewer cents than parts"),
                _ => (true, "split"),
            },
        };
        *self.seen.entry(what).or_default() += 1;
        is_legal
    }

    /// A strict row takes the actions; they do what they say. The row's state after them.
    fn take(&mut self, process: &Process, state: &State, actions: &[i64]) -> Vec<u8> {
        self.strict.step(actions).unwrap();
        assert!(self.strict.illegal.iter().all(|count| *count == 0));
        let after = self.strict.fleet.save(0);
        self.step_system(process, actions);
        assert!(after.starts_with(&self.system.save()), "a row is not its system");
        self.strict.fleet.restore(0, &state.row).unwrap();
        after
    }

    /// A strict row refuses the actions and has not moved.
    fn refuse(&mut self, process: &Process, state: &State, actions: &[i64], (learner, head): (usize, usize)) {
        let refused = self.strict.step(actions).unwrap_err();
        let FleetError::Action(ActionError::Masked { env: 0, bank, slot, value, .. }) = &refused else {
            panic!("{refused}")
        };
        let id = &self.strict.fleet.setup.banks[process.learners[learner].index()].id;
        assert_eq!((bank, slot, value), (id, &head, &actions[learner * process.heads() + head]));
        assert!(self.strict.fleet.save(0) == state.row, "a refused action has moved something");
    }

    /// A lenient row takes the one masked action for a hold and counts it. The row's state after it.
    fn hold(&mut self, state: &State, actions: &[i64], learner: usize) -> Vec<u8> {
        self.lenient.fleet.restore(0, &state.row).unwrap();
        self.lenient.step(actions).unwrap();
        let counted: Vec<i64> = (0..self.lenient.illegal.len()).map(|index| i64::from(index == learner)).collect();
        assert_eq!(self.lenient.illegal, counted);
        self.lenient.fleet.save(0)
    }

    /// Plays a step of the system that is looked into, and looks.
    fn step_system(&mut self, process: &Process, actions: &[i64]) {
        let heads = process.heads();
        let mut asked = Vec::new();
        for (bank, actions) in process.learners.iter().zip(actions.chunks(heads)) {
            let (about, queue) = (about(process, &self.system, *bank), queue(&self.system, *bank));
            let wanted = decisions(process, about, &queue, actions);
            asked.push((about, Asked { bank: *bank, queue, wanted }));
        }
        for (bank, actions) in process.learners.iter().zip(actions.chunks(heads)) {
            process.apply_actions(&mut self.system, *bank, actions);
        }
        self.system.ledger.events.take();
        if self.system.is_opening() {
            let balances: Vec<Cents> = self.system.ledger.banks.iter().map(|bank| bank.balance).collect();
            self.system.finish_opening().unwrap();
            for ((about, asked), actions) in asked.iter().zip(actions.chunks(heads)) {
                if *about == About::Pool {
                    check_pool(&self.system, asked.bank, (actions[0], process.choices()), &balances);
                }
            }
        } else {
            self.system.finish_tick().unwrap();
            let events = self.system.ledger.events.take();
            for (_, asked) in asked.iter().filter(|_| process.decides != Decides::Pool) {
                check_payments(&self.system, asked, &events, &mut self.seen);
            }
        }
        begin(process, &mut self.system);
    }
}

/// Up to the next decisions.
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

fn about(process: &Process, system: &System, bank: BankId) -> About {
    let has_pool = system.setup.banks[bank.index()].pool > Cents::ZERO;
    let is_out = system.ledger.now < system.ledger.banks[bank.index()].outage_until;
    match (system.is_opening(), process.decides) {
        (true, Decides::Payments) => About::Nothing("the pool is not the learner's"),
        (true, _) if !has_pool => About::Nothing("no pool"),
        (true, _) => About::Pool,
        (false, Decides::Pool) => About::Nothing("the payments are not the learner's"),
        (false, _) if is_out => About::Nothing("outage"),
        (false, _) if process.action_mode == ActionMode::Slots => About::Slots,
        (false, _) if system.ledger.banks[bank.index()].internal.is_empty() => About::Nothing("empty queue"),
        (false, _) => About::Share,
    }
}

/// What legal numbers ask for, payment by payment of the queue.
fn decisions(process: &Process, about: About, queue: &[Payment], actions: &[i64]) -> Vec<Wanted> {
    let slot = |place: usize| match usize::try_from(actions.get(place).copied().unwrap_or(0)).unwrap() {
        0 => Wanted::Hold,
        1 => Wanted::Release,
        split => Wanted::Split(i64::from(process.split_parts[split - 2])),
    };
    match about {
        About::Slots => (0..queue.len()).map(slot).collect(),
        About::Share => share(queue, actions[0]),
        About::Pool | About::Nothing(_) => vec![Wanted::Hold; queue.len()],
    }
}

/// `action` twentieths of the queue's value, in queue order, the payment at the margin cut if it is divisible.
fn share(queue: &[Payment], action: i64) -> Vec<Wanted> {
    let budget = queue.iter().map(|payment| payment.amount.0).sum::<i64>() * action / 20;
    let mut before = 0;
    let mut wanted = Vec::new();
    for payment in queue {
        let left = budget - before;
        before += payment.amount.0;
        wanted.push(match (before <= budget, payment.divisible && left > 0) {
            (true, _) => Wanted::Release,
            (false, true) => Wanted::Cut(left),
            (false, false) => Wanted::Hold,
        });
    }
    wanted
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

/// As many banks as there are demands, A first; what does not settle within a day waits.
fn banks(demands: Vec<Value>, keys: Value) -> Value {
    let ids = ["A", "B", "C", "D", "E"];
    let agent = |(id, demand): (&str, Value)| json!({"id": id, "balance": 40_000, "credit_limit": 30_000, "arrival_config": demand});
    let agents: Vec<Value> = ids.into_iter().zip(demands).map(agent).collect();
    let mut scenario = json!({"ticks_per_day": 24, "agents": agents, "costs": costs()});
    scenario.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    scenario
}

/// Days that differ in what a mask depends on.
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

/// Settings in which the first bank learns, or the first two.
fn settings(ids: [&str; 2]) -> Vec<Value> {
    let [first, second] = ids;
    vec![
        json!({"learners": [first], "slots": 3, "split_parts": [2, 5]}),
        json!({"learners": [second, first], "slots": 2, "split_parts": [3]}),
        json!({"learners": [first], "action_mode": "fraction"}),
        json!({"learners": [first], "slots": 2, "decides": "payments", "split_parts": []}),
        json!({"learners": [first, second], "slots": 1, "decides": "pool"}),
        json!({"learners": [first], "action_mode": "fraction", "decides": "pool"}),
    ]
}

/// Tries everything in every state of so many episodes of each of these scenarios.
fn try_all(scenarios: &[Value], ids: [&str; 2], episodes: Range<u64>) -> Seen {
    let mut seen = Seen::new();
    for (scenario, decision) in
        scenarios.iter().flat_map(|scenario| settings(ids).into_iter().map(move |s| (scenario, s)))
    {
        for episode in episodes.clone() {
            let dice = &mut stream(episode, 0, bank_at(0), Purpose::Policy);
            for (what, count) in Play::new(&read(scenario), &decision).play(dice) {
                *seen.entry(what).or_default() += count;
            }
        }
    }
    seen
}

fn assert_met(seen: &Seen, wanted: &[&str]) {
    for what in wanted {
        assert!(seen.get(what).is_some_and(|count| *count >= 50), "too rare: {what} in {seen:?}");
    }
}

const EVERYWHERE: [&str; 18] = [
    "pool",
    "share",
    "split",
    "hold or release",
    "empty slot",
    "indivisible",
    "fewer cents than parts",
    "outage",
    "empty queue",
    "no pool",
    "the payments are not the learner's",
    "held",
    "settled",
    "queued",
    "cut",
    "parts",
    "settled by the close",
    "cancelled by the close",
];

#[test]
fn in_days_of_every_kind() {
    let seen = try_all(&days(), ["A", "B"], 0..10);
    assert!(seen["state with a choice"] >= 5_000, "{seen:?}");
    assert_met(&seen, &EVERYWHERE);
}

#[test]
fn in_random_scenarios() {
    let mut runner = TestRunner::deterministic();
    let scenarios: Vec<Value> =
        (0..220).map(|_| strategies::scenarios().new_tree(&mut runner).unwrap().current()).collect();
    let seen = try_all(&scenarios, ["BANK_0", "BANK_1"], 0..1);
    assert!(seen["state with a choice"] >= 5_000, "{seen:?}");
    assert_met(&seen, &EVERYWHERE);
}
