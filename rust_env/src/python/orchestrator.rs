//! The class `Orchestrator`: one system with outcomes and states as dicts.

use super::errors::{Health, detached};
use super::exclusive::Exclusive;
use super::network::{Networks, files};
use super::payments::Payments;
use crate::bank::Bank;
use crate::costs::{COMPONENTS, Costs};
use crate::error::{ScenarioError, TickError};
use crate::events::{Event, EventLog};
use crate::payment::Payment;
use crate::scenario::Scenario;
use crate::setup::Setup;
use crate::system::{BankOutcomes, System, TickOutcome};
use crate::units::Tick;
use log::debug;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use serde_json::Value;

/// One system whose banks follow their policies; learners release everything.
#[pyclass(module = "paysim_gym._engine", frozen)]
pub struct Orchestrator {
    state: Exclusive<State>,
}

struct State {
    system: System,
    health: Health,
    records_events: bool,
}

#[pymethods]
impl Orchestrator {
    #[new]
    #[pyo3(signature = (scenario_json, record_events = false, payments = None, networks = None))]
    fn new(
        py: Python<'_>,
        scenario_json: &str,
        record_events: bool,
        payments: Option<&Payments>,
        networks: Option<Networks>,
    ) -> PyResult<Self> {
        let files = files(payments, networks);
        detached(py, || {
            let setup = Setup::with_files(&Scenario::from_json(scenario_json)?, files)?;
            let events = if record_events { EventLog::recording() } else { EventLog::outcomes() };
            let system = setup.system(&[], events);
            debug!(
                "system of {} banks, {} ticks, seed {}",
                system.setup.banks.len(),
                system.setup.episode_ticks,
                system.setup.seed
            );
            let state = State { system, health: Health::default(), records_events: record_events };
            Ok::<_, ScenarioError>(Self { state: Exclusive::new("orchestrator", state) })
        })
    }

    #[getter]
    fn is_over(&self) -> PyResult<bool> {
        Ok(self.state.lock()?.system.is_over())
    }

    #[getter]
    fn next_tick(&self) -> PyResult<u32> {
        Ok(self.state.lock()?.system.ledger.now.0)
    }

    fn tick<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = &mut *self.state.lock()?;
        let (system, records_events) = (&mut state.system, state.records_events);
        let (outcome, banks) = state.health.guard(py, || {
            let recorded = system.ledger.events.len();
            let outcome = system.tick()?;
            let banks = system.bank_outcomes(outcome.tick, system.ledger.events.after(recorded));
            if !records_events {
                system.ledger.events.take();
            }
            Ok::<_, TickError>((outcome, banks))
        })?;
        debug!(
            "tick {}: {} arrivals, {} settlements, {} dropped, {} unsettled",
            outcome.tick.0, outcome.arrivals, outcome.settlements, outcome.dropped, outcome.queue_depth
        );
        state.outcome_dict(py, &outcome, &banks)
    }

    fn get_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = &*self.state.lock()?;
        state.health.check()?;
        let ledger = &state.system.ledger;
        let dict = PyDict::new(py);
        dict.set_item("tick", ledger.now.0)?;
        dict.set_item("day", state.system.day())?;
        let agents = PyList::empty(py);
        for (index, bank) in ledger.banks.iter().enumerate() {
            agents.append(state.bank_dict(py, index, bank)?)?;
        }
        dict.set_item("agents", agents)?;
        Ok(dict)
    }

    fn save_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = &*self.state.lock()?;
        state.health.check()?;
        let system = &state.system;
        let bytes = detached(py, || Ok::<_, ScenarioError>(system.save()))?;
        debug!("state of tick {} saved: {} bytes", system.ledger.now.0, bytes.len());
        Ok(PyBytes::new(py, &bytes))
    }

    fn restore_state(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        let State { system, health, .. } = &mut *self.state.lock()?;
        health.guard(py, || system.restore(state))?;
        debug!("state of tick {} restored", system.ledger.now.0);
        Ok(())
    }

    fn start_recording(&self) -> PyResult<()> {
        let state = &mut *self.state.lock()?;
        state.records_events = true;
        state.system.ledger.events.keep_all();
        Ok(())
    }

    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let values = self.state.lock()?.take_events();
        py.import("json")?.call_method1("loads", (Value::Array(values).to_string(),))
    }
}

impl State {
    fn take_events(&mut self) -> Vec<Value> {
        let events = self.system.ledger.events.take();
        let mut now = self.system.ledger.now;
        let values = events.iter().map(|event| {
            if let Event::Day { tick, .. } | Event::Tick { tick } = event {
                now = *tick;
            }
            self.event_json(event, now)
        });
        values.collect()
    }

    fn outcome_dict<'py>(
        &self,
        py: Python<'py>,
        outcome: &TickOutcome,
        banks: &BankOutcomes,
    ) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("tick", outcome.tick.0)?;
        dict.set_item("day", outcome.tick.0 / self.system.setup.ticks_per_day)?;
        dict.set_item("arrivals", outcome.arrivals)?;
        dict.set_item("settlements", outcome.settlements)?;
        dict.set_item("dropped", outcome.dropped)?;
        dict.set_item("queue_depth", outcome.queue_depth)?;
        dict.set_item("settled_value", outcome.settled_value.0)?;
        dict.set_item("settled_orders", banks.settled_orders)?;
        dict.set_item("settled_orders_delay", banks.settled_orders_delay)?;
        dict.set_item("costs", costs_dict(py, outcome.costs)?)?;
        let agents = PyList::empty(py);
        for (setup, bank) in self.system.setup.banks.iter().zip(&banks.banks) {
            let agent = PyDict::new(py);
            agent.set_item(intern!(py, "id"), &setup.id)?;
            agent.set_item(intern!(py, "balance"), bank.balance.0)?;
            agent.set_item(intern!(py, "balance_before_close"), bank.balance_before_close.0)?;
            agent.set_item(intern!(py, "sent"), bank.sent.0)?;
            agent.set_item(intern!(py, "received"), bank.received.0)?;
            agents.append(agent)?;
        }
        dict.set_item("agents", agents)?;
        Ok(dict)
    }

    fn bank_dict<'py>(&self, py: Python<'py>, index: usize, bank: &Bank) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("id", &self.system.setup.banks[index].id)?;
        dict.set_item("balance", bank.balance.0)?;
        dict.set_item("credit_limit", bank.credit_limit.0)?;
        dict.set_item("liquidity", bank.liquidity().0)?;
        dict.set_item("collateral", bank.collateral.0)?;
        dict.set_item("pool_committed", bank.committed.0)?;
        dict.set_item("internal_queue", self.queue_list(py, bank.internal.iter())?)?;
        dict.set_item("central_queue", self.queue_list(py, bank.queued())?)?;
        dict.set_item("costs", costs_dict(py, bank.closed_costs())?)?;
        Ok(dict)
    }

    fn queue_list<'py, 'a>(
        &self,
        py: Python<'py>,
        queue: impl Iterator<Item = &'a Payment>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for payment in queue {
            list.append(self.payment_dict(py, payment)?)?;
        }
        Ok(list)
    }

    fn payment_dict<'py>(&self, py: Python<'py>, payment: &Payment) -> PyResult<Bound<'py, PyDict>> {
        let banks = &self.system.setup.banks;
        let dict = PyDict::new(py);
        dict.set_item("id", payment.id.0.get())?;
        dict.set_item("parent", payment.parent.map(|parent| parent.0.get()))?;
        dict.set_item("sender", &banks[payment.sender.index()].id)?;
        dict.set_item("receiver", &banks[payment.receiver.index()].id)?;
        dict.set_item("amount", payment.amount.0)?;
        dict.set_item("arrival_tick", payment.arrival.0)?;
        dict.set_item("deadline_tick", payment.deadline.0)?;
        dict.set_item("priority", payment.priority)?;
        dict.set_item("divisible", payment.divisible)?;
        dict.set_item("rail", &self.system.setup.rails[payment.rail.index()].id)?;
        dict.set_item("is_overdue", payment.is_overdue)?;
        Ok(dict)
    }

    /// An event as JSON with its tick and with ids of banks and rails.
    fn event_json(&self, event: &Event, now: Tick) -> Value {
        let setup = &self.system.setup;
        let mut value = serde_json::to_value(event).unwrap_or_default();
        value["tick"] = now.0.into();
        for key in ["bank", "sender", "receiver", "rail"] {
            let Some(entry) = value.get_mut(key) else { continue };
            let index = entry.as_u64().and_then(|index| usize::try_from(index).ok());
            let id = index.and_then(|index| match key {
                "rail" => setup.rails.get(index).map(|rail| &rail.id),
                _ => setup.banks.get(index).map(|bank| &bank.id),
            });
            if let Some(id) = id {
                *entry = Value::String(id.clone());
            }
        }
        value
    }
}

/// Cents by cost component, with interned keys.
pub(super) fn costs_dict(py: Python<'_>, costs: Costs) -> PyResult<Bound<'_, PyDict>> {
    static NAMES: PyOnceLock<[Py<PyString>; COMPONENTS.len()]> = PyOnceLock::new();
    let names = NAMES.get_or_init(py, || COMPONENTS.map(|name| PyString::intern(py, name).unbind()));
    let dict = PyDict::new(py);
    for (name, cost) in names.iter().zip(costs) {
        dict.set_item(name, cost.0)?;
    }
    Ok(dict)
}
