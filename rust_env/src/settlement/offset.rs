//! Offsetting: finds sets of queued payments that settle together where none would settle alone.
//!
//! A set settles at once, as a whole, on its net positions: no bank pays more on balance than its
//! capacity, nor more to another bank than its bilateral limit. Nothing here moves any money.

use crate::units::{BankId, Cents, bank_at};
use std::ops::Range;

/// A payment that waits in a central queue, as an offset sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queued {
    /// The index of the bank that it pays, never the sender's own.
    pub receiver: u16,
    /// What it pays, not below zero.
    pub amount: Cents,
    /// Whether it joined the queue in this tick.
    pub is_new: bool,
}

/// The central queues of one rail, bank after bank, each in queue order. Reused from call to call.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// All queued payments.
    pub payments: Vec<Queued>,
    /// Where each bank's queue starts in `payments`; one more entry than banks.
    pub starts: Vec<usize>,
    /// Most that each bank may pay on balance now: its liquidity or, if less, the headroom of its
    /// multilateral limit; not below zero.
    pub capacity: Vec<Cents>,
    /// For a bank with bilateral limits, most that it may pay each bank on balance now, not below
    /// zero (`Cents(i64::MAX)`: no limit); else empty.
    pub headroom: Vec<Vec<Cents>>,
    /// Whether later payments may pass a blocked one.
    pub may_pass: bool,
}

impl Queues {
    /// Removes all banks and keeps their memory.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.starts.clear();
        self.capacity.clear();
        self.headroom.iter_mut().for_each(Vec::clear);
    }

    /// Adds the next bank with its queue; a capacity or headroom below zero counts as zero.
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
        self.headroom[bank].extend(headroom.into_iter().map(|most| most.max(Cents::ZERO)));
    }

    /// How many banks there are.
    #[must_use]
    pub fn banks(&self) -> usize {
        self.capacity.len()
    }

    /// The indices in `payments` of `bank`'s queue.
    #[must_use]
    pub fn queue(&self, bank: usize) -> Range<usize> {
        self.starts[bank]..self.starts[bank + 1]
    }

    /// Most that `bank` may pay `other` on balance by its bilateral limit, if it has one.
    fn bilateral_limit(&self, bank: usize, other: usize) -> Option<Cents> {
        self.headroom.get(bank)?.get(other).copied()
    }

    /// The payments of `bank` that its queue order lets take part in an offset of two banks.
    fn offsettable(&self, bank: usize) -> impl Iterator<Item = usize> {
        let queue = self.queue(bank);
        let head = queue.start;
        queue.take_while(move |index| self.may_pass || self.payments[*index].receiver == self.payments[head].receiver)
    }
}

/// Finds the payments that can settle together. Holds only scratch space.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    by_pair: Vec<Offsettable>,
    by_higher: Vec<Offsettable>,
    places: Vec<usize>,
    found: Vec<Offset>,
    remaining: Vec<Cents>,
    netting: Netting,
}

impl Offsets {
    /// Offsets each new payment that is the first from its sender to its receiver against as few as
    /// will do of the receiver's payments to the sender.
    ///
    /// `chosen` becomes the indices in `queues.payments` of all that settle, ascending; true if any.
    pub fn entry(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.offset_pairs(queues, chosen, entry_offset)
    }

    /// Offsets the queues of every two banks against each other, as far as possible.
    ///
    /// `chosen` becomes the indices in `queues.payments` of all that settle, ascending; true if any.
    pub fn bilateral(&mut self, queues: &Queues, chosen: &mut Vec<usize>) -> bool {
        self.offset_pairs(queues, chosen, largest_offset)
    }

    /// Offsets the queues of all banks against each other: the one largest set made of the first
    /// payments of each queue, whether or not later ones may pass.
    ///
    /// `chosen` becomes the indices in `queues.payments` of all that settle, ascending; true if any.
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

    /// Brings together what any two banks have for each other: first the lower bank's payments,
    /// then the higher's, each in queue order.
    fn group_by_pair(&mut self, queues: &Queues) {
        self.by_pair.clear();
        for bank in 0..queues.banks() {
            self.by_pair.extend(queues.offsettable(bank).map(|index| {
                let (sender, receiver) = (bank_at(bank), BankId(queues.payments[index].receiver));
                Offsettable { pair: (sender.min(receiver), sender.max(receiver)), index }
            }));
        }
        // Two counting sorts: a comparison sort would take most of the time of an offset.
        let banks = queues.banks();
        sort_by_bank(&self.by_pair, &mut self.by_higher, &mut self.places, banks, |one| one.pair.1);
        sort_by_bank(&self.by_higher, &mut self.by_pair, &mut self.places, banks, |one| one.pair.0);
    }

    /// Solves every pair of banks as if it were the only one.
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

    /// Settles what was found as far as capacities go: each bank decides on its own, in the order of
    /// its queue, about the offsets in which it pays on balance, and counts on no receipts.
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

/// How to find the set that two banks can settle: the number of payments of each, none of them zero.
type Find = fn(&Queues, &[Side; 2]) -> Option<[usize; 2]>;

/// The payment at `index`, filed under its two banks, the lower one first.
#[derive(Clone, Copy, Debug)]
struct Offsettable {
    pair: (BankId, BankId),
    index: usize,
}

/// Makes `sorted` a copy of `payments` in the order of `bank_of`, and in their own where that is the same.
fn sort_by_bank(
    payments: &[Offsettable],
    sorted: &mut Vec<Offsettable>,
    places: &mut Vec<usize>,
    banks: usize,
    bank_of: fn(&Offsettable) -> BankId,
) {
    places.clear();
    places.resize(banks + 1, 0);
    for payment in payments {
        places[bank_of(payment).index() + 1] += 1;
    }
    for bank in 0..banks {
        places[bank + 1] += places[bank];
    }
    sorted.clear();
    sorted.extend_from_slice(payments);
    for payment in payments {
        let place = &mut places[bank_of(payment).index()];
        sorted[*place] = *payment;
        *place += 1;
    }
}

/// One of the two banks of a pair: its payments to the other, and most that it may pay on balance.
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

    fn payment(&self, queues: &Queues, place: usize) -> Queued {
        queues.payments[self.payments[place].index]
    }

    /// What the first `count` payments come to.
    fn total(&self, queues: &Queues, count: usize) -> Cents {
        (0..count).map(|place| self.payment(queues, place).amount).sum()
    }
}

/// A set of payments between two banks. If none pays on balance, either may stand as the payer.
#[derive(Clone, Debug)]
struct Offset {
    payer: usize,
    outflow: Cents,
    /// The payer's payments and the other bank's, as ranges of `by_pair`.
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

/// The largest set of first payments of both sides, if it holds payments of both.
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

/// The set that brings in a new first payment of either side.
///
/// Where both sides have one, it does not matter who is asked first. Either the two first payments
/// settle alone, and both sides find just these; or one sender is not covered by the other's first
/// payment, and the other finds nothing, as more of that sender's payments would cover it less.
fn entry_offset(queues: &Queues, sides: &[Side; 2]) -> Option<[usize; 2]> {
    let [low, high] = sides;
    covering(queues, low, high).map(|count| [1, count]).or_else(|| covering(queues, high, low).map(|count| [count, 1]))
}

/// How many payments of `other`, at least, cover the first of `sender` if that is new, while `other` can pay them.
fn covering(queues: &Queues, sender: &Side, other: &Side) -> Option<usize> {
    let first = sender.payment(queues, 0);
    if !first.is_new {
        return None;
    }
    let mut net = first.amount;
    let mut places = 0..other.payments.len();
    let last = places.find(|place| {
        net -= other.payment(queues, *place).amount;
        net <= sender.limit
    })?;
    (-net <= other.limit).then_some(last + 1)
}

/// The gridlock-resolution algorithm of Bech and Soramäki (2001, Gridlock resolution in interbank
/// payment systems, Bank of Finland DP 9/2001). Holds only scratch space.
///
/// From all queued payments it takes away the last of any bank that pays too much on balance. No
/// feasible set holds such a payment, because with less the other banks would only pay that bank less.
#[derive(Clone, Debug, Default)]
struct Netting {
    /// Where the part of each queue that settles ends.
    ends: Vec<usize>,
    /// What each bank pays on balance.
    outflows: Vec<Cents>,
    /// What each bank with bilateral limits pays each other bank on balance.
    outflows_to: Vec<Vec<Cents>>,
    /// How many of its bilateral limits each bank exceeds.
    exceeded: Vec<usize>,
    pending: Vec<usize>,
    is_pending: Vec<bool>,
}

impl Netting {
    fn resolve(&mut self, queues: &Queues) {
        self.start(queues);
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while self.is_over(queues, bank) {
                self.ends[bank] -= 1;
                let payment = queues.payments[self.ends[bank]];
                let receiver = usize::from(payment.receiver);
                self.add(queues, bank, receiver, -payment.amount);
                self.check(queues, receiver);
            }
        }
    }

    /// Lets all queued payments settle and lists the banks that cannot.
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

    /// Lists `bank` if it pays too much.
    fn check(&mut self, queues: &Queues, bank: usize) {
        if !self.is_pending[bank] && self.is_over(queues, bank) {
            self.is_pending[bank] = true;
            self.pending.push(bank);
        }
    }

    fn is_over(&self, queues: &Queues, bank: usize) -> bool {
        self.outflows[bank] > queues.capacity[bank] || self.exceeded[bank] > 0
    }

    /// Adds a payment; one of a negative amount takes it away again.
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
