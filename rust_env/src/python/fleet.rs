//! The class `Fleet`: systems stepped together through NumPy arrays.
//!
//! Every returned array is newly allocated and owned by the caller.

use super::errors::{EngineError, Health, detached, to_python};
use super::exclusive::Exclusive;
use super::network::{Networks, files};
use super::orchestrator::costs_dict;
use super::payments::Payments;
use crate::costs::COMPONENTS;
use crate::decision::Process;
use crate::error::FleetError;
use crate::fleet::{
    self, BankSnapshot, Pool, QueueSnapshot, RATIO_NAMES, StepOutput, TOTAL_NAMES, URGENCIES, check_memory,
};
use crate::policy::scripted;
use crate::scenario::{PolicyConfig, Scenario, in_range, read_json};
use crate::setup::Setup;
use crate::system::RestoreError;
use crate::units::BankId;
use log::debug;
use numpy::{
    PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray3, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::slice;
use std::sync::Arc;

type Observed<'py> = (Bound<'py, PyArray3<f32>>, Bound<'py, PyArray3<bool>>);
type Restored<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<bool>>, bool);
type Stepped<'py> = (
    Bound<'py, PyArray3<f32>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray3<i64>>,
    Bound<'py, PyArray3<bool>>,
    Bound<'py, PyArray2<i64>>,
);
type SteppedAlone<'py> =
    (Bound<'py, PyArray1<f32>>, f64, bool, bool, [i64; COMPONENTS.len()], i64, Bound<'py, PyArray1<bool>>);

/// Independent systems of one scenario, stepped together.
#[pyclass(module = "paysim_gym._engine", frozen)]
pub struct Fleet {
    state: Exclusive<State>,
}

struct State {
    fleet: fleet::Fleet,
    pool: Pool,
    health: Health,
    scratch: Scratch,
}

/// Observation and mask of a fleet with one system and one learner; else empty.
struct Scratch {
    observation: Vec<f32>,
    mask: Vec<bool>,
}

impl Scratch {
    fn of(fleet: &fleet::Fleet) -> Self {
        let process = &fleet.process;
        let rows = usize::from(fleet.num_envs() * process.learners.len() == 1);
        Self {
            observation: vec![0.0; rows * process.observation_size()],
            mask: vec![false; rows * process.layout.mask_size()],
        }
    }
}

#[pymethods]
impl Fleet {
    #[new]
    #[pyo3(signature = (scenario_json, decision_json, num_envs, num_threads, payments = None, networks = None))]
    fn new(
        py: Python<'_>,
        scenario_json: &str,
        decision_json: &str,
        num_envs: usize,
        num_threads: usize,
        payments: Option<&Payments>,
        networks: Option<Networks>,
    ) -> PyResult<Self> {
        let files = files(payments, networks);
        in_range("num_envs", num_envs, 1, 1 << 24, "").map_err(to_python)?;
        in_range("num_threads", num_threads, 1, 1024, "").map_err(to_python)?;
        detached(py, || {
            let setup = Arc::new(Setup::with_files(&Scenario::from_json(scenario_json)?, files)?);
            let process = Arc::new(Process::from_json(decision_json, &setup)?);
            check_memory(&setup, &process, num_envs)?;
            let fleet = fleet::Fleet::new(setup, process, num_envs);
            debug!("fleet of {num_envs} systems on {num_threads} threads, {} learners", fleet.process.learners.len());
            let (pool, scratch) = (Pool::new(num_threads, num_envs), Scratch::of(&fleet));
            let state = State { fleet, pool, health: Health::default(), scratch };
            Ok::<_, EngineError>(Self { state: Exclusive::new("fleet", state) })
        })
    }

    #[getter]
    fn nvec(&self) -> PyResult<Vec<usize>> {
        Ok(self.state.lock()?.fleet.process.layout.nvec.clone())
    }

    #[getter]
    fn component_names(&self) -> PyResult<Vec<String>> {
        let layout = &self.state.lock()?.fleet.process.layout;
        Ok((0..layout.heads()).map(|component| layout.name(component)).collect())
    }

    #[getter]
    fn amount_scales(&self) -> PyResult<Vec<i64>> {
        let fleet = &self.state.lock()?.fleet;
        Ok(fleet.process.learners.iter().map(|learner| fleet.setup.banks[learner.index()].amount_scale.0).collect())
    }

    #[getter]
    fn reward_scales(&self) -> PyResult<Vec<f64>> {
        Ok(self.state.lock()?.fleet.process.reward_scales.clone())
    }

    fn reset<'py>(
        &self,
        py: Python<'py>,
        mask: PyReadonlyArray1<'py, bool>,
        seeds: Vec<Option<u64>>,
    ) -> PyResult<Observed<'py>> {
        let state = &mut *self.state.lock()?;
        let num_envs = state.fleet.num_envs();
        if mask.len() != num_envs || seeds.len() != num_envs {
            let message = format!("mask has {} and seeds have {} entries: must be {num_envs}", mask.len(), seeds.len());
            return Err(PyValueError::new_err(message));
        }
        let mask = mask.as_slice()?;
        let fleet = &mut state.fleet;
        state.health.guard(py, || {
            let chosen = seeds.into_iter().enumerate().filter(|(row, _)| mask[*row]);
            chosen.into_iter().try_for_each(|(row, seed)| fleet.reset(row, seed))
        })?;
        state.observe(py)
    }

    fn step<'py>(&self, py: Python<'py>, actions: PyReadonlyArray3<'py, i64>) -> PyResult<Stepped<'py>> {
        let State { fleet, pool, health, .. } = &mut *self.state.lock()?;
        let [rows, learners, heads] = [fleet.num_envs(), fleet.process.learners.len(), fleet.process.layout.heads()];
        if actions.shape() != [rows, learners, heads] {
            let message = format!("actions have shape {:?}: must be ({rows}, {learners}, {heads})", actions.shape());
            return Err(PyValueError::new_err(message));
        }
        let observations = PyArray3::zeros(py, [rows, learners, fleet.process.observation_size()], false);
        let rewards = PyArray2::zeros(py, [rows, learners], false);
        let terminated = PyArray1::zeros(py, [rows], false);
        let truncated = PyArray1::zeros(py, [rows], false);
        let costs = PyArray3::zeros(py, [rows, learners, COMPONENTS.len()], false);
        let masks = PyArray3::zeros(py, [rows, learners, fleet.process.layout.mask_size()], false);
        let illegal = PyArray2::zeros(py, [rows, learners], false);
        {
            let mut borrowed = (
                observations.readwrite(),
                rewards.readwrite(),
                terminated.readwrite(),
                truncated.readwrite(),
                costs.readwrite(),
                masks.readwrite(),
                illegal.readwrite(),
            );
            let out = StepOutput {
                observations: borrowed.0.as_slice_mut()?,
                rewards: borrowed.1.as_slice_mut()?,
                terminated: borrowed.2.as_slice_mut()?,
                truncated: borrowed.3.as_slice_mut()?,
                costs: borrowed.4.as_slice_mut()?,
                masks: borrowed.5.as_slice_mut()?,
                illegal: borrowed.6.as_slice_mut()?,
            };
            let actions = actions.as_slice()?;
            health.guard(py, || fleet.step(actions, out, pool))?;
        }
        Ok((observations, rewards, terminated, truncated, costs, masks, illegal))
    }

    fn step_alone<'py>(&self, py: Python<'py>, actions: PyReadonlyArrayDyn<'py, i64>) -> PyResult<SteppedAlone<'py>> {
        let State { fleet, pool, health, scratch } = &mut *self.state.lock()?;
        if scratch.mask.is_empty() {
            let (rows, learners) = (fleet.num_envs(), fleet.process.learners.len());
            let message =
                format!("the fleet has {rows} systems of {learners} learners: must be one system of one learner");
            return Err(PyValueError::new_err(message));
        }
        let (mut reward, mut terminated, mut truncated) = (0.0, false, false);
        let (mut costs, mut illegal) = ([0; COMPONENTS.len()], 0);
        let out = StepOutput {
            observations: &mut scratch.observation,
            rewards: slice::from_mut(&mut reward),
            terminated: slice::from_mut(&mut terminated),
            truncated: slice::from_mut(&mut truncated),
            costs: &mut costs,
            masks: &mut scratch.mask,
            illegal: slice::from_mut(&mut illegal),
        };
        let actions = actions.as_slice()?;
        health.guard(py, || fleet.step(actions, out, pool))?;
        let (observation, mask) =
            (PyArray1::from_slice(py, &scratch.observation), PyArray1::from_slice(py, &scratch.mask));
        Ok((observation, reward, terminated, truncated, costs, illegal, mask))
    }

    fn scripted_actions<'py>(&self, py: Python<'py>, policy_json: &str) -> PyResult<Bound<'py, PyArray3<i64>>> {
        let State { fleet, health, .. } = &mut *self.state.lock()?;
        let policy: PolicyConfig = read_json(policy_json, "policy").map_err(to_python)?;
        policy.validate("policy").map_err(to_python)?;
        if matches!(policy, PolicyConfig::Network { .. }) {
            return Err(PyValueError::new_err(
                "policy = network: must be a scripted policy; set a network as the policy of its bank in the scenario",
            ));
        }
        let shape = [fleet.num_envs(), fleet.process.learners.len(), fleet.process.layout.heads()];
        let actions = PyArray3::zeros(py, shape, false);
        let mut borrowed = actions.readwrite();
        let out = borrowed.as_slice_mut()?;
        health.guard(py, || fleet.scripted_actions(&*scripted(&policy), out).map_err(FleetError::from))?;
        drop(borrowed);
        Ok(actions)
    }

    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let State { fleet, health, .. } = &*self.state.lock()?;
        health.check()?;
        let totals = detached(py, || Ok::<_, FleetError>(fleet.totals().collect::<Vec<_>>()))?;
        let shape = [fleet.num_envs(), fleet.process.learners.len()];
        let columns = PyDict::new(py);
        for (index, name) in TOTAL_NAMES.iter().enumerate() {
            let column: Vec<i64> = totals.iter().map(|totals| totals.integers[index]).collect();
            columns.set_item(name, PyArray1::from_vec(py, column).reshape(shape)?)?;
        }
        for (index, name) in COMPONENTS.iter().enumerate() {
            let column: Vec<i64> = totals.iter().map(|totals| totals.costs[index].0).collect();
            columns.set_item(format!("cost_{name}"), PyArray1::from_vec(py, column).reshape(shape)?)?;
        }
        for (index, name) in RATIO_NAMES.iter().enumerate() {
            let column: Vec<f64> = totals.iter().map(|totals| totals.ratios[index]).collect();
            columns.set_item(name, PyArray1::from_vec(py, column).reshape(shape)?)?;
        }
        Ok(columns)
    }

    fn snapshots<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyDict>> {
        let state = &*self.state.lock()?;
        state.health.check()?;
        state.check_row(row)?;
        let snapshots = PyDict::new(py);
        for snapshot in state.fleet.snapshots(row) {
            let id = &state.fleet.setup.banks[snapshot.bank.index()].id;
            snapshots.set_item(id, snapshot_dict(py, id, &snapshot)?)?;
        }
        Ok(snapshots)
    }

    fn save_state<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyBytes>> {
        let state = &*self.state.lock()?;
        state.health.check()?;
        state.check_row(row)?;
        let fleet = &state.fleet;
        let bytes = detached(py, || Ok::<_, FleetError>(fleet.save(row)))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[pyo3(signature = (row, state, seed = None, known_by = None))]
    fn restore_state<'py>(
        &self,
        py: Python<'py>,
        row: usize,
        state: &[u8],
        seed: Option<u64>,
        known_by: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Restored<'py>> {
        let saved = state;
        let state = &mut *self.state.lock()?;
        state.check_row(row)?;
        let future = state.future(seed, known_by)?;
        let State { fleet, health, .. } = state;
        let process = &fleet.process;
        let observations = PyArray2::zeros(py, [process.learners.len(), process.observation_size()], false);
        let masks = PyArray2::zeros(py, [process.learners.len(), process.layout.mask_size()], false);
        let has_ended = {
            let (mut observations, mut masks) = (observations.readwrite(), masks.readwrite());
            let (observations, masks) = (observations.as_slice_mut()?, masks.as_slice_mut()?);
            health.guard(py, || {
                fleet.restore(row, saved)?;
                if let Some((seed, known_by)) = future {
                    fleet.reseed(row, seed, known_by);
                }
                Ok::<_, RestoreError>(fleet.observe_row(row, observations, masks))
            })?
        };
        Ok((observations, masks, has_ended))
    }
}

impl State {
    fn check_row(&self, row: usize) -> PyResult<()> {
        in_range("row", row, 0, self.fleet.num_envs() - 1, "").map_err(to_python)
    }

    /// Seed of a redrawn future and the learner whose knowledge stays, if any.
    fn future(&self, seed: Option<u64>, known_by: Option<Bound<'_, PyAny>>) -> PyResult<Option<(u64, BankId)>> {
        let (setup, learners) = (&self.fleet.setup, &self.fleet.process.learners);
        let found = match &known_by {
            None => learners.first().filter(|_| learners.len() == 1).copied(),
            Some(id) => {
                id.extract::<String>().ok().and_then(|id| setup.bank(&id)).filter(|bank| learners.contains(bank))
            }
        };
        match (seed, found) {
            (None, _) if known_by.is_none() => Ok(None),
            (Some(seed), Some(learner)) => Ok(Some((seed, learner))),
            _ => {
                let value = known_by.map_or(Ok("None".to_owned()), |id| Ok::<_, PyErr>(id.repr()?.to_string()))?;
                let ids: Vec<&str> = learners.iter().map(|learner| setup.banks[learner.index()].id.as_str()).collect();
                let allowed = match seed {
                    None => "must be None without a seed, which restores everything".to_owned(),
                    Some(_) => format!("must be the learner that the future is redrawn for: {}", ids.join(" or ")),
                };
                Err(PyValueError::new_err(format!("known_by = {value}: {allowed}")))
            }
        }
    }

    fn observe<'py>(&self, py: Python<'py>) -> PyResult<Observed<'py>> {
        let fleet = &self.fleet;
        let (rows, learners) = (fleet.num_envs(), fleet.process.learners.len());
        let observations = PyArray3::zeros(py, [rows, learners, fleet.process.observation_size()], false);
        let masks = PyArray3::zeros(py, [rows, learners, fleet.process.layout.mask_size()], false);
        {
            let (mut observations, mut masks) = (observations.readwrite(), masks.readwrite());
            let (observations, masks) = (observations.as_slice_mut()?, masks.as_slice_mut()?);
            detached(py, || {
                fleet.observe(observations, masks);
                Ok::<(), FleetError>(())
            })?;
        }
        Ok((observations, masks))
    }
}

fn snapshot_dict<'py>(py: Python<'py>, id: &str, snapshot: &BankSnapshot) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("bank", id)?;
    dict.set_item("tick", snapshot.tick)?;
    dict.set_item("day", snapshot.day)?;
    dict.set_item("num_days", snapshot.num_days)?;
    dict.set_item("ticks_per_day", snapshot.ticks_per_day)?;
    dict.set_item("is_opening", snapshot.is_opening)?;
    dict.set_item("balance", snapshot.balance.0)?;
    dict.set_item("liquidity", snapshot.liquidity.0)?;
    dict.set_item("limit", snapshot.limit.0)?;
    dict.set_item("pool", snapshot.pool.0)?;
    dict.set_item("pool_committed", snapshot.pool_committed.0)?;
    dict.set_item("internal_queue", queue_dict(py, &snapshot.internal)?)?;
    dict.set_item("central_queue", queue_dict(py, &snapshot.central)?)?;
    dict.set_item("received_today", snapshot.received_today.0)?;
    dict.set_item("paid_today", snapshot.paid_today.0)?;
    dict.set_item("costs_today", costs_dict(py, snapshot.costs_today)?)?;
    dict.set_item("costs", costs_dict(py, snapshot.costs)?)?;
    Ok(dict)
}

fn queue_dict<'py>(py: Python<'py>, queue: &QueueSnapshot) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for ((urgency, count), value) in URGENCIES.iter().zip(queue.counts).zip(queue.values) {
        dict.set_item(urgency, (count, value.0))?;
    }
    Ok(dict)
}
