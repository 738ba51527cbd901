//! The compiled scenario with its files.

use crate::error::ScenarioError;
use crate::events::EventLog;
use crate::players::NetworkPlayer;
use crate::players::network::Network;
use crate::policy::Player;
use crate::replay::Replay;
use crate::scenario::{PolicyConfig, Scenario, conflict};
use crate::system::{Roles, System};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, bank_at};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A compiled scenario with the players of its banks, shared by all its systems.
///
/// Dereferences to the part that the systems use.
pub struct Setup {
    system: Arc<SystemSetup>,
    players: Vec<Arc<dyn Player<System>>>,
}

/// Contents of the files that a scenario names, read by the caller.
#[derive(Clone, Default)]
pub struct Files {
    /// Payments of its `payments_file`.
    pub replay: Option<Arc<Replay>>,
    /// Networks of the policies' `weights`, by id of the bank.
    pub networks: BTreeMap<String, Arc<Network>>,
}

impl Deref for Setup {
    type Target = SystemSetup;
    fn deref(&self) -> &SystemSetup {
        &self.system
    }
}

impl Setup {
    /// Validates and compiles a scenario that names no files.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid.
    pub fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        Self::with_files(scenario, Files::default())
    }

    /// Validates and compiles a scenario with its files.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid, or payments or networks are missing or unexpected.
    pub fn with_files(scenario: &Scenario, files: Files) -> Result<Self, ScenarioError> {
        let system = Arc::new(SystemSetup::new(scenario, files.replay)?);
        let players = players(scenario, &files.networks, &system)?;
        Ok(Self { system, players })
    }

    /// The roles of the banks.
    ///
    /// `observed` banks are observed from outside; `learners` get the decisions about their payments from outside.
    pub fn roles(&self, observed: &[BankId], learners: &[BankId]) -> Arc<Roles> {
        let played = self.players.iter().map(|player| player.bank());
        let observed: Vec<BankId> = observed.iter().copied().chain(played).collect();
        Arc::new(Roles::new(&self.system, &observed, learners))
    }

    /// Creates a system with these learners, at the start of episode 0.
    pub fn system(&self, learners: &[BankId], events: EventLog) -> System {
        self.system_with(self.roles(learners, learners), events)
    }

    /// Creates a system with these roles, at the start of episode 0.
    pub fn system_with(&self, roles: Arc<Roles>, events: EventLog) -> System {
        System::new(Arc::clone(&self.system), roles, self.players.clone(), events)
    }
}

/// Creates the players of the banks whose policies are networks.
fn players(
    scenario: &Scenario,
    networks: &BTreeMap<String, Arc<Network>>,
    setup: &SystemSetup,
) -> Result<Vec<Arc<dyn Player<System>>>, ScenarioError> {
    let mut players: Vec<Arc<dyn Player<System>>> = Vec::new();
    for (index, agent) in scenario.agents.iter().enumerate() {
        let (path, network) = (format!("agents[{index}].policy"), networks.get(&agent.id));
        let player = match (&agent.policy, network) {
            (PolicyConfig::Network { deterministic: false, weights }, Some(network)) if !network.has_logits() => {
                let allowed = "must be true: its outputs are values, not logits to sample from";
                return conflict(&format!("{path}.deterministic"), format!("false ({weights:?})"), allowed);
            }
            (PolicyConfig::Network { deterministic, .. }, Some(network)) => {
                NetworkPlayer::new(bank_at(index), Arc::clone(network), *deterministic, setup)
                    .map_err(|error| error.under(&format!("{path}.weights: ")))?
            }
            (PolicyConfig::Network { weights, .. }, None) => {
                let allowed = "the network of this file must be read and passed with the scenario";
                return conflict(&format!("{path}.weights"), format!("{weights:?}"), allowed);
            }
            (_, Some(_)) => {
                let allowed = "must be a network, because one was passed for this bank";
                return conflict(&path, format!("{:?}", agent.policy), allowed);
            }
            (_, None) => continue,
        };
        players.push(Arc::new(player));
    }
    match networks.keys().find(|id| setup.bank(id).is_none()) {
        Some(id) => conflict("networks", format!("{id:?}"), "must name a bank whose policy is a network"),
        None => Ok(players),
    }
}
