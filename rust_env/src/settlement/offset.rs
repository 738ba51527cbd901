//! Offsetting: finds sets of queued payments that can settle together.
//!
//! A set settles on its net positions: no bank pays more net than its capacity, nor more net to another bank than
//! its bilateral limit. This module moves no money.

use super::bypass::{Bypass, LONG_QUEUES};
use super::netting::Netting;
use super::queues::{Queued, Queues};
use super::search::{Goal, MAX_SEARCHED, Search};
use crate::units::{BankId, Cents, bank_at};
use std::ops::Range;

/// Search for offsets; contains only scratch buffers.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    by_pair: Vec<Offsettable>,
    by_higher: Vec<Offsettable>,
    positions: Vec<usize>,
    found: Vec<Offset>,
    /// Payments of the found offsets.
    members: Vec<usize>,
    remaining: Vec<Cents>,
    netting: Netting,
    bypass: Bypass,
    search: Search,
}

impl Offsets {
    /// Offsets new payments against queued payments from their receiver to their sender.
    ///
    /// It uses as few payments as possible. In queue order, it considers new payments that are the first from their
    /// sender to their receiver, and first payments of the receiver; where payments may bypass, all of them.
    ///
    /// Sets `chosen` to the ascending indices in `queues.payments` of the settling payments; true if there are any.
    pub fn entry(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.offset_pairs(queues, chosen, Goal::Entry)
    }

    /// Offsets the largest possible part of the queues of each pair of banks.
    ///
    /// Sets `chosen` to the ascending indices in `queues.payments` of the settling payments; true if there are any.
    pub fn bilateral(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.offset_pairs(queues, chosen, Goal::Bilateral)
    }

    /// Offsets the largest feasible set of first payments of all queues.
    ///
    /// Where payments may bypass, the set settles at least the same value and need not respect queue order.
    ///
    /// Sets `chosen` to the ascending indices in `queues.payments` of the settling payments; true if there are any.
    pub fn multilateral(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.netting.resolve(queues, chosen);
        if queues.may_bypass {
            self.bypass.improve(queues, &mut self.search, chosen);
        }
        !chosen.is_empty()
    }

    /// Offsets pairs of banks by `goal`.
    ///
    /// Long queues are searched only where no first payments of two sides offset each other.
    fn offset_pairs(&mut self, queues: &Queues, chosen: &mut Vec<usize>, goal: Goal) -> bool {
        self.group_by_pair(queues);
        let is_long = queues.payments.len() > LONG_QUEUES;
        self.find_offsets(queues, goal, queues.may_bypass && !is_long);
        self.settle_offsets(queues, chosen);
        if chosen.is_empty() && queues.may_bypass && is_long {
            self.find_offsets(queues, goal, true);
            self.settle_offsets(queues, chosen);
        }
        !chosen.is_empty()
    }

    /// Groups the payments by pair of banks.
    ///
    /// Within a pair, the payments of the lower bank come first; those of a bank stay in queue order.
    fn group_by_pair(&mut self, queues: &Queues) {
        self.by_pair.clear();
        for bank in 0..queues.banks() {
            self.by_pair.extend(queues.offsettable(bank).map(|index| {
                let (sender, receiver) = (bank_at(bank), BankId(queues.payments[index].receiver));
                Offsettable { pair: (sender.min(receiver), sender.max(receiver)), index }
            }));
        }
        // Two counting sorts, as a comparison sort would take most of the time of an offset.
        let banks = queues.banks();
        sort_by_bank(&self.by_pair, &mut self.by_higher, &mut self.positions, banks, |one| one.pair.1);
        sort_by_bank(&self.by_higher, &mut self.by_pair, &mut self.positions, banks, |one| one.pair.0);
    }

    /// Finds an offset of each pair of banks, independently of other pairs.
    fn find_offsets(&mut self, queues: &Queues, goal: Goal, may_search: bool) {
        self.found.clear();
        self.members.clear();
        for group in self.by_pair.chunk_by(|one, next| one.pair == next.pair) {
            let (low, high) = (group[0].pair.0.index(), group[0].pair.1.index());
            let (of_low, of_high) = group.split_at(group.partition_point(|one| one.index < queues.starts[high]));
            if of_low.is_empty() || of_high.is_empty() {
                continue;
            }
            let sides = [Side::new(queues, low, high, of_low), Side::new(queues, high, low, of_high)];
            let counts =
                if goal == Goal::Entry { entry_offset(queues, &sides) } else { largest_offset(queues, &sides) };
            let start = self.members.len();
            if may_search && may_be_improved(queues, &sides, counts, goal) {
                fill(&mut self.search, queues, &sides, counts.unwrap_or_default());
                self.search.find(goal, &mut self.members);
            } else {
                self.members.extend(first_payments(&sides, counts.unwrap_or_default()));
            }
            if start < self.members.len() {
                self.found.push(Offset::new(queues, [low, high], &self.members, start..self.members.len()));
            }
        }
    }

    /// Accepts the found offsets that the capacities of the net payers allow.
    ///
    /// Each bank considers the offsets that it pays net in the order of its queue, without counting on receipts.
    fn settle_offsets(&mut self, queues: &Queues, chosen: &mut Vec<usize>) {
        chosen.clear();
        self.remaining.clone_from(&queues.capacity);
        self.found.sort_unstable_by_key(|offset| offset.first);
        for offset in &self.found {
            let remaining = &mut self.remaining[offset.payer];
            if offset.outflow <= *remaining {
                *remaining -= offset.outflow;
                chosen.extend_from_slice(&self.members[offset.members.clone()]);
            }
        }
        chosen.sort_unstable();
    }
}

/// The payment at `index` with its two banks, the lower one first.
#[derive(Clone, Copy, Debug)]
struct Offsettable {
    pair: (BankId, BankId),
    index: usize,
}

/// Copies `payments` to `sorted`, stably sorted by `bank_of`.
fn sort_by_bank(
    payments: &[Offsettable],
    sorted: &mut Vec<Offsettable>,
    positions: &mut Vec<usize>,
    banks: usize,
    bank_of: fn(&Offsettable) -> BankId,
) {
    positions.clear();
    positions.resize(banks + 1, 0);
    for payment in payments {
        positions[bank_of(payment).index() + 1] += 1;
    }
    for bank in 0..banks {
        positions[bank + 1] += positions[bank];
    }
    sorted.clear();
    sorted.extend_from_slice(payments);
    for payment in payments {
        let position = &mut positions[bank_of(payment).index()];
        sorted[*position] = *payment;
        *position += 1;
    }
}

/// One bank of a pair, with its payments and maximum net amount.
struct Side<'a> {
    bank: usize,
    payments: &'a [Offsettable],
    limit: Cents,
}

impl<'a> Side<'a> {
    fn new(queues: &Queues, bank: usize, other: usize, payments: &'a [Offsettable]) -> Self {
        let capacity = queues.capacity[bank];
        let limit = queues.bilateral_limit(bank, other).map_or(capacity, |headroom| headroom.min(capacity));
        Self { bank, payments, limit }
    }

    fn payment(&self, queues: &Queues, position: usize) -> Queued {
        queues.payments[self.payments[position].index]
    }

    fn total(&self, queues: &Queues, count: usize) -> Cents {
        (0..count).map(|position| self.payment(queues, position).amount).sum()
    }
}

/// A set of payments between two banks.
///
/// At a net amount of zero, either bank may be the payer.
#[derive(Clone, Debug)]
struct Offset {
    payer: usize,
    outflow: Cents,
    /// The first payment of the payer.
    first: usize,
    members: Range<usize>,
}

impl Offset {
    /// The offset of the lower and the higher bank with the payments `members[range]`.
    fn new(queues: &Queues, [low, high]: [usize; 2], members: &[usize], range: Range<usize>) -> Self {
        let (mut net, mut firsts) = (Cents::ZERO, [usize::MAX; 2]);
        for index in &members[range.clone()] {
            let (amount, side) = (queues.payments[*index].amount, usize::from(*index >= queues.starts[high]));
            net += if side == 0 { amount } else { -amount };
            firsts[side] = firsts[side].min(*index);
        }
        if net >= Cents::ZERO {
            Self { payer: low, outflow: net, first: firsts[0], members: range }
        } else {
            Self { payer: high, outflow: -net, first: firsts[1], members: range }
        }
    }
}

/// Indices of the first payments of both sides.
fn first_payments(sides: &[Side; 2], counts: [usize; 2]) -> impl Iterator<Item = usize> {
    let sides = sides.iter().zip(counts);
    sides.flat_map(|(side, count)| side.payments[..count].iter().map(|payment| payment.index))
}

/// Whether a search could find a better offset than `counts` first payments.
fn may_be_improved(queues: &Queues, sides: &[Side; 2], counts: Option<[usize; 2]>, goal: Goal) -> bool {
    let lengths = sides.each_ref().map(|side| side.payments.len());
    let is_best = goal == Goal::Bilateral && counts == Some(lengths);
    let is_searched = counts.is_none_or(|counts| counts.iter().all(|count| *count <= MAX_SEARCHED / 2));
    let has_new = || sides.iter().any(|side| (0..side.payments.len()).any(|one| side.payment(queues, one).is_new));
    !is_best && lengths != [1, 1] && is_searched && (goal != Goal::Entry || has_new())
}

/// Fills a search with the first payments of two sides.
fn fill(search: &mut Search, queues: &Queues, sides: &[Side; 2], incumbent: [usize; 2]) {
    search.clear();
    for (side, count) in sides.iter().zip(incumbent) {
        for (position, payment) in side.payments.iter().take(MAX_SEARCHED / 2).enumerate() {
            search.push(queues, side.bank, payment.index, position < count);
        }
    }
}

/// The largest feasible offset of first payments of both sides.
fn largest_offset(queues: &Queues, sides: &[Side; 2]) -> Option<[usize; 2]> {
    let [low, high] = sides;
    let mut counts = [low.payments.len(), high.payments.len()];
    let mut net = low.total(queues, counts[0]) - high.total(queues, counts[1]);
    loop {
        if net > low.limit {
            counts[0] -= 1;
            net -= low.payment(queues, counts[0]).amount;
        } else if -net > high.limit {
            counts[1] -= 1;
            net += high.payment(queues, counts[1]).amount;
        } else {
            return (counts[0] > 0 && counts[1] > 0).then_some(counts);
        }
    }
}

/// The offset of a new first payment of either side.
///
/// Where both sides have one, the order does not matter. Either the two first payments offset each other, and both
/// searches find just these; or one of them does not cover the other, and the search that starts from the smaller
/// one finds nothing, as further payments of the larger side would only increase its net amount.
fn entry_offset(queues: &Queues, sides: &[Side; 2]) -> Option<[usize; 2]> {
    let [low, high] = sides;
    covering(queues, low, high).map(|count| [1, count]).or_else(|| covering(queues, high, low).map(|count| [count, 1]))
}

/// The minimum number of payments of `other` that cover a new first payment.
fn covering(queues: &Queues, sender: &Side, other: &Side) -> Option<usize> {
    let first = sender.payment(queues, 0);
    if !first.is_new {
        return None;
    }
    let mut net = first.amount;
    let mut positions = 0..other.payments.len();
    let last = positions.find(|position| {
        net -= other.payment(queues, *position).amount;
        net <= sender.limit
    })?;
    (-net <= other.limit).then_some(last + 1)
}
