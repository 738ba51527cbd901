//! Components of an action and their numbers of choices.

use serde::{Deserialize, Serialize};

/// Number of choices in `fraction` mode: 0, 1/20, ..., 1.
pub const SHARES: usize = 21;

/// Type of the actions about payments.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionMode {
    /// A choice for each slot: hold, release or split.
    #[default]
    Slots,
    /// The share of the internal queue's value to release, in queue order.
    Fraction,
}

/// What a learner decides.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decides {
    /// Pool commitments and payments.
    #[default]
    Both,
    /// Pool commitments only.
    Pool,
    /// Payments only.
    Payments,
    /// Nothing: the policy of the bank decides, and the learner observes it.
    Nothing,
}

impl Decides {
    /// Whether it includes pool commitments.
    pub fn includes_pool(self) -> bool {
        matches!(self, Self::Both | Self::Pool)
    }

    /// Whether it includes payments.
    pub fn includes_payments(self) -> bool {
        matches!(self, Self::Both | Self::Payments)
    }
}

/// The components of an action.
///
/// In `slots` mode a component for each slot, then one for the pool if learners commit pools. In `fraction` mode one
/// component for both. A single component for the pool, or for nothing, if there are no decisions about payments.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Number of choices of each component.
    pub nvec: Vec<usize>,
    /// Number of components for slots, which come first.
    pub slots: usize,
    /// Index of the component that commits the pool, the last one, if any does.
    pub pool: Option<usize>,
    /// A mask that allows only holding.
    pub(super) idle_mask: Vec<bool>,
}

impl Layout {
    /// Compiles the components.
    ///
    /// `slots` is the number of slots, `splits` that of available splits and `pool_shares` that of shares of the pool,
    /// `None` if no pool is committed.
    pub fn new(mode: ActionMode, decides: Decides, slots: usize, splits: usize, pool_shares: Option<usize>) -> Self {
        let pool_shares = pool_shares.filter(|_| decides.includes_pool());
        let slots = if decides.includes_payments() && mode == ActionMode::Slots { slots } else { 0 };
        let mut nvec = vec![2 + splits; slots];
        match pool_shares {
            _ if decides.includes_payments() && mode == ActionMode::Fraction => nvec.push(SHARES),
            Some(shares) => nvec.push(shares),
            None if slots == 0 => nvec.push(1),
            None => {}
        }
        let flags = nvec.iter().flat_map(|choices| (0..*choices).map(|choice| choice == 0));
        Self { idle_mask: flags.collect(), slots, pool: pool_shares.map(|_| nvec.len() - 1), nvec }
    }

    /// Number of components.
    pub fn heads(&self) -> usize {
        self.nvec.len()
    }

    /// Length of an action mask: one flag for each choice of each component.
    pub fn mask_size(&self) -> usize {
        self.idle_mask.len()
    }

    /// Number of choices of the component that commits the pool; 1 without one.
    pub fn pool_shares(&self) -> usize {
        self.pool.map_or(1, |component| self.nvec[component])
    }

    /// Name of a component, for error messages.
    pub fn name(&self, component: usize) -> String {
        match self.pool {
            _ if component < self.slots => format!("slot {component}"),
            Some(_) if self.slots > 0 => "pool share".to_owned(),
            _ => "share".to_owned(),
        }
    }

    /// Splits values of all choices, such as flags of a mask, by component.
    pub fn split<'a, T>(&'a self, values: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        let mut rest = values;
        self.nvec.iter().map(move |choices| {
            let (values, later) = rest.split_at(*choices);
            rest = later;
            values
        })
    }
}
