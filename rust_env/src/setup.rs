//! A scenario and its files, ready to be played.

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

/// A scenario in the engine's own units, with the players of its banks; shared by every system that plays it.
pub struct Setup {
    system: Arc<SystemSetup>,
    players: Vec<Arc<dyn Player<System>>>,
}

/// What the files hold that a scenario names; whoever plays it reads them.
#[derive(Clone, Default)]
pub struct Files {
    /// The payments of its `payments_file`.
    pub replay: Option<Arc<Replay>>,
    /// By the id of the bank, the network of its policy's `weights`.
    pub networks: BTreeMap<String, Arc<Network>>,
}

impl Deref for Setup {
    type Target = SystemSetup;
    fn deref(&self) -> &SystemSetup {
        &self.system
    }
}

impl Setup {
    /// Prepares a scenario that names no files.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid.
    pub fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        Self::with_files(scenario, Files::default())
    }

    /// Prepares a scenario, with what the files hold that it names.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid, or payments or networks are missing or come unasked.
    pub fn with_files(scenario: &Scenario, files: Files) -> Result<Self, ScenarioError> {
        let system = Arc::new(SystemSetup::new(scenario, files.replay)?);
        let players = players(scenario, &files.networks, &system)?;
        Ok(Self { system, players })
    }

    /// The roles of the banks where somebody outside looks at `observed` and decides about the payments of `learners`.
    #[must_use]
    pub fn roles(&self, observed: &[BankId], learners: &[BankId]) -> Arc<Roles> {
        let played = self.players.iter().map(|player| player.bank());
        let observed: Vec<BankId> = observed.iter().copied().chain(played).collect();
        Arc::new(Roles::new(&self.system, &observed, learners))
    }

    /// A system at the start of episode 0 of the scenario's own seed; `learners` decide from outside.
    #[must_use]
    pub fn system(&self, learners: &[BankId], events: EventLog) -> System {
        self.system_with(self.roles(learners, learners), events)
    }

    /// The same, where the banks have these roles.
    #[must_use]
    pub fn system_with(&self, roles: Arc<Roles>, events: EventLog) -> System {
        System::new(Arc::clone(&self.system), roles, self.players.clone(), events)
    }
}

/// The players of the banks that networks play.
fn players(
    scenario: &Scenario,
    networks: &BTreeMap<String, Arc<Network>>,
    setup: &SystemSetup,
) -> Result<Vec<Arc<dyn Player<System>>>, ScenarioError> {
    let mut players: Vec<Arc<dyn Player<System>>> = Vec::new();
    for (index, agent) in scenario.agents.iter().enumerate() {
        let (path, given) = (format!("agents[{index}].policy"), networks.get(&agent.id));
        let player = match (&agent.policy, given) {
            (PolicyConfig::Network { deterministic: false, weights }, Some(network)) if !network.has_logits() => {
                let problem = "its outputs are values, from which nothing can be drawn; must be true";
                return conflict(&format!("{path}.deterministic"), format!("false ({weights:?})"), problem);
            }
            (PolicyConfig::Network { deterministic, .. }, Some(network)) => {
                NetworkPlayer::new(bank_at(index), Arc::clone(network), *deterministic, setup)
                    .map_err(|error| error.under(&format!("{path}.weights: ")))?
            }
            (PolicyConfig::Network { weights, .. }, None) => {
                let problem = "the network of this file must be read and given beside the scenario";
                return conflict(&format!("{path}.weights"), format!("{weights:?}"), problem);
            }
            (_, Some(_)) => {
                let problem = "must be a network, as one is given for it beside the scenario";
                return conflict(&path, format!("{:?}", agent.policy), problem);
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
