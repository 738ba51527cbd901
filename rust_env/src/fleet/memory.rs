//! Estimate of a fleet's memory, to refuse fleets that are too large.

use crate::bank::Bank;
use crate::costs::COMPONENTS;
use crate::decision::Process;
use crate::payment::Payment;
use crate::rng::Stream;
use crate::setup::Setup;
use crate::system::System;
use crate::units::Cents;
use std::collections::VecDeque;
use std::fs;
use thiserror::Error;

/// Assumed number of payments for which the queues of a bank have memory.
///
/// Between those of banks that pay at once and of banks that hold their payments all day.
const PAYMENTS_PER_BANK: usize = 32;
/// Bytes of an observation's column, with its bounds in the batched space.
const BYTES_PER_COLUMN: usize = 14;
/// Bytes of an action's component, with its range in the batched space.
const BYTES_PER_HEAD: usize = 24;

/// A fleet that needs more memory than there is.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error(
    "num_envs = {num_envs} systems of {} KiB need about {} GiB of memory, {} GiB are available: use fewer systems",
    bytes_per_system.div_ceil(1 << 10),
    needed.div_ceil(1 << 30),
    available >> 30
)]
pub struct MemoryError {
    num_envs: usize,
    bytes_per_system: u64,
    needed: u64,
    available: u64,
}

/// Rejects a fleet whose estimated memory is not available.
///
/// # Errors
/// [`MemoryError`] with the estimate.
pub fn check_memory(setup: &Setup, process: &Process, num_envs: usize) -> Result<(), MemoryError> {
    let bytes_per_system = u64::try_from(bytes_per_system(setup, process)).unwrap_or(u64::MAX);
    let needed = bytes_per_system.saturating_mul(u64::try_from(num_envs).unwrap_or(u64::MAX));
    let available = available_bytes();
    if needed > available {
        return Err(MemoryError { num_envs, bytes_per_system, needed, available });
    }
    Ok(())
}

fn bytes_per_system(setup: &Setup, process: &Process) -> usize {
    let (banks, learners) = (setup.banks.len(), process.learners.len());
    let queues = setup.rails.len() * size_of::<VecDeque<Payment>>() + PAYMENTS_PER_BANK * size_of::<Payment>();
    let limited = setup.banks.iter().filter(|bank| !bank.limits.bilateral.is_empty()).count();
    let positions = (learners + limited) * banks * size_of::<Cents>();
    let system = banks * (size_of::<Bank>() + 2 * size_of::<Stream>() + queues) + positions;
    let costs = (COMPONENTS.len() + 2) * size_of::<i64>();
    let layout = &process.layout;
    let row = process.observation_size() * BYTES_PER_COLUMN + layout.heads() * BYTES_PER_HEAD + layout.mask_size();
    size_of::<System>() + system + learners * (row + costs)
}

/// Free memory of the machine and the control group; unlimited if unknown.
fn available_bytes() -> u64 {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let in_group = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    let in_group = in_group.map_or(u64::MAX, |(limit, used)| limit.saturating_sub(used));
    in_group.min(free_bytes_of_machine().unwrap_or(u64::MAX))
}

fn free_bytes_of_machine() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}
