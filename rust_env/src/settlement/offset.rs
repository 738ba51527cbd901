//! Offsetting: finds sets of queued payments that can settle together.
//!
//! A set settles on its net positions: no bank pays more net than its capacity, nor more net to another bank than
//! its bilateral limit. This module moves no money.

use crate::units::{BankId, Cents, bank_at};
use std::ops::Range;

/// A payment in a central queue, as input of an offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queued {
    /// Index of the receiver, never that of the sender.
    pub receiver: u16,
    /// Amount, not negative.
    pub amount: Cents,
    /// Whether it joined the queue in this tick.
    pub is_new: bool,
}

/// The central queues of one rail, concatenated by bank; reused between calls.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// The payments of all queues, each in queue order.
    pub payments: Vec<Queued>,
    /// Start of each bank's queue in `payments`, and the end of the last one.
    pub starts: Vec<usize>,
    /// Maximum net amount that each bank can pay, not negative.
    ///
    /// It is the smaller one of the liquidity and the headroom of the multilateral limit.
    pub capacity: Vec<Cents>,
    /// Maximum net amount that each bank can pay each other bank, not negative.
    ///
    /// Empty for banks without bilateral limits; `Cents(i64::MAX)` for pairs without a limit.
    pub headroom: Vec<Vec<Cents>>,
    /// Whether payments may bypass a blocked one.
    pub may_bypass: bool,
}

impl Queues {
    /// Removes all banks and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.starts.clear();
        self.capacity.clear();
        self.headroom.iter_mut().for_each(Vec::clear);
    }

    /// Adds the next bank; negative capacity and headroom become zero.
    pub fn push_bank(
        &mut self,
        queue: impl IntoIterator<Item = Queued>,
        capacity: Cents,
        headroom: impl IntoIterator<Item = Cents>,
    ) {
        let bank = self.banks();
        if bank == 0 {
            self.starts.push(0);
        }
        self.payments.extend(queue);
        self.starts.push(self.payments.len());
        self.capacity.push(capacity.max(Cents::ZERO));
        if self.headroom.len() == bank {
            self.headroom.push(Vec::new());
        }
        self.headroom[bank].extend(headroom.into_iter().map(|amount| amount.max(Cents::ZERO)));
    }

    /// Number of banks.
    pub fn banks(&self) -> usize {
        self.capacity.len()
    }

    /// Index range in `payments` of the queue of `bank`.
    pub fn queue(&self, bank: usize) -> Range<usize> {
        self.starts[bank]..self.starts[bank + 1]
    }

    /// Maximum net amount that `bank` can pay `other`, if it is limited.
    fn bilateral_limit(&self, bank: usize, other: usize) -> Option<Cents> {
        self.headroom.get(bank)?.get(other).copied()
    }

    /// Indices of the payments of `bank` that queue order allows in bilateral offsets.
    fn offsettable(&self, bank: usize) -> impl Iterator<Item = usize> {
        let queue = self.queue(bank);
        let head = queue.start;
        queue.take_while(move |index| self.may_bypass || self.payments[*index].receiver == self.payments[head].receiver)
    }
}

/// Search for offsets; contains only scratch buffers.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    by_pair: Vec<Offsettable>,
    by_higher: Vec<Offsettable>,
    positions: Vec<usize>,
    found: Vec<Offset>,
    remaining: Vec<Cents>,
    netting: Netting,
}

impl Offsets {
    /// Offsets new payments against queued payments from their receiver to their sender.
    ///
    /// It considers new payments that are the first from their sender to their receiver, and uses as few payments
    /// of the receiver as possible.
    ///
    /// Sets `chosen` to the ascending indices in `queues.payments` of the settling payments; true if there are any.
    pub fn entry(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.offset_pairs(queues, chosen, entry_offset)
    }

    /// Offsets the largest possible part of the queues of each pair of banks.
    ///
    /// Sets `chosen` to the ascending indices in `queues.payments` of the settling payments; true if there are any.
    pub fn bilateral(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.offset_pairs(queues, chosen, largest_offset)
    }

    /// Offsets the largest feasible set of first payments of all queues.
    ///
    /// Queue order is respected even where payments may bypass.
    ///
    /// Sets `chosen` to the ascending indices in `queues.payments` of the settling payments; true if there are any.
    pub fn multilateral(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.netting.resolve(queues);
        chosen.clear();
        chosen.extend(queues.starts.iter().zip(&self.netting.ends).flat_map(|(start, end)| *start..*end));
        !chosen.is_empty()
    }

    fn offset_pairs(&mut self, queues: &Queues, chosen: &mut Vec<usize>, find: Find) -> bool {
        self.group_by_pair(queues);
        self.find_offsets(queues, find);
        chosen.clear();
        self.settle_offsets(queues, chosen);
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
    fn find_offsets(&mut self, queues: &Queues, find: Find) {
        self.found.clear();
        let mut start = 0;
        for group in self.by_pair.chunk_by(|one, next| one.pair == next.pair) {
            let (low, high) = (group[0].pair.0.index(), group[0].pair.1.index());
            let (of_low, of_high) = group.split_at(group.partition_point(|one| one.index < queues.starts[high]));
            if !of_low.is_empty() && !of_high.is_empty() {
                let sides = [Side::new(queues, low, high, of_low), Side::new(queues, high, low, of_high)];
                let starts = [start, start + of_low.len()];
                self.found.extend(find(queues, &sides).map(|counts| Offset::new(queues, &sides, starts, counts)));
            }
            start += group.len();
        }
    }

    /// Accepts the found offsets that the capacities of the net payers allow.
    ///
    /// Each bank considers the offsets that it pays net in the order of its queue, without counting on receipts.
    fn settle_offsets(&mut self, queues: &Queues, chosen: &mut Vec<usize>) {
        self.remaining.clone_from(&queues.capacity);
        self.found.sort_unstable_by_key(|offset| self.by_pair[offset.payments[0].start].index);
        for offset in &self.found {
            let remaining = &mut self.remaining[offset.payer];
            if offset.outflow <= *remaining {
                *remaining -= offset.outflow;
                let payments = offset.payments.iter().flat_map(|range| &self.by_pair[range.clone()]);
                chosen.extend(payments.map(|payment| payment.index));
            }
        }
        chosen.sort_unstable();
    }
}

/// A search for an offset of two banks, as positive numbers of payments.
type Find = fn(&Queues, &[Side; 2]) -> Option<[usize; 2]>;

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

    /// Total amount of the first `count` payments.
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
    /// Payments of the payer and of the other bank, as ranges of `by_pair`.
    payments: [Range<usize>; 2],
}

impl Offset {
    fn new(queues: &Queues, sides: &[Side; 2], starts: [usize; 2], counts: [usize; 2]) -> Self {
        let net = sides[0].total(queues, counts[0]) - sides[1].total(queues, counts[1]);
        let [of_low, of_high] = [0, 1].map(|side| starts[side]..starts[side] + counts[side]);
        if net >= Cents::ZERO {
            Self { payer: sides[0].bank, outflow: net, payments: [of_low, of_high] }
        } else {
            Self { payer: sides[1].bank, outflow: -net, payments: [of_high, of_low] }
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

/// The gridlock-resolution algorithm of Bech and Soramäki; contains only scratch buffers.
///
/// It starts from all queued payments and removes the last one of any bank whose net amount is infeasible. No
/// feasible set contains such a payment, as removing payments of other banks only reduces what they pay the bank.
/// Source: Gridlock resolution in interbank payment systems, Bank of Finland Discussion Paper 9/2001.
#[derive(Clone, Debug, Default)]
struct Netting {
    /// End of the settling part of each queue.
    ends: Vec<usize>,
    /// Net amount that each bank pays.
    outflows: Vec<Cents>,
    /// Net amount that each bank with bilateral limits pays each other bank.
    outflows_to: Vec<Vec<Cents>>,
    /// Number of bilateral limits that each bank exceeds.
    exceeded: Vec<usize>,
    pending: Vec<usize>,
    is_pending: Vec<bool>,
}

impl Netting {
    /// Sets `ends` to the largest feasible set.
    fn resolve(&mut self, queues: &Queues) {
        self.start(queues);
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while self.is_infeasible(queues, bank) {
                self.ends[bank] -= 1;
                let payment = queues.payments[self.ends[bank]];
                let receiver = usize::from(payment.receiver);
                self.add(queues, bank, receiver, -payment.amount);
                self.check(queues, receiver);
            }
        }
    }

    /// Starts from all queued payments and lists the infeasible banks.
    fn start(&mut self, queues: &Queues) {
        let banks = queues.banks();
        self.ends.clear();
        self.ends.extend(queues.starts.iter().skip(1));
        self.outflows.clear();
        self.outflows.resize(banks, Cents::ZERO);
        self.outflows_to.resize_with(banks.max(self.outflows_to.len()), Vec::new);
        for (outflows, headroom) in self.outflows_to.iter_mut().zip(&queues.headroom) {
            outflows.clear();
            outflows.resize(headroom.len(), Cents::ZERO);
        }
        self.exceeded.clear();
        self.exceeded.resize(banks, 0);
        for bank in 0..banks {
            for payment in &queues.payments[queues.queue(bank)] {
                self.add(queues, bank, usize::from(payment.receiver), payment.amount);
            }
        }
        self.pending.clear();
        self.is_pending.clear();
        self.is_pending.resize(banks, false);
        (0..banks).for_each(|bank| self.check(queues, bank));
    }

    /// Lists `bank` if its net amount is infeasible.
    fn check(&mut self, queues: &Queues, bank: usize) {
        if !self.is_pending[bank] && self.is_infeasible(queues, bank) {
            self.is_pending[bank] = true;
            self.pending.push(bank);
        }
    }

    fn is_infeasible(&self, queues: &Queues, bank: usize) -> bool {
        self.outflows[bank] > queues.capacity[bank] || self.exceeded[bank] > 0
    }

    /// Adds a payment to the net amounts; a negative amount removes it.
    fn add(&mut self, queues: &Queues, sender: usize, receiver: usize, amount: Cents) {
        self.outflows[sender] += amount;
        self.outflows[receiver] -= amount;
        self.add_to_pair(queues, sender, receiver, amount);
        self.add_to_pair(queues, receiver, sender, -amount);
    }

    fn add_to_pair(&mut self, queues: &Queues, bank: usize, other: usize, amount: Cents) {
        if let Some(limit) = queues.bilateral_limit(bank, other) {
            let outflow = &mut self.outflows_to[bank][other];
            self.exceeded[bank] -= usize::from(*outflow > limit);
            *outflow += amount;
            self.exceeded[bank] += usize::from(*outflow > limit);
        }
    }
}
