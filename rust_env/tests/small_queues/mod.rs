//! Small systems of queues, for tests of offsets.

#![allow(dead_code)]

use paysim_engine::settlement::{Offsets, Queued, Queues};
use paysim_engine::units::Cents;
use proptest::collection::vec;
use proptest::prelude::*;
use std::ops::RangeInclusive;

pub const NO_LIMIT: i64 = i64::MAX;

pub fn sender(queues: &Queues, index: usize) -> usize {
    queues.starts.iter().rposition(|start| *start <= index).unwrap()
}

pub fn is_feasible(queues: &Queues, set: impl IntoIterator<Item = usize>) -> bool {
    let mut paid = [[0; 5]; 5];
    for index in set {
        let (from, to) = (sender(queues, index), usize::from(queues.payments[index].receiver));
        paid[from][to] += queues.payments[index].amount.0;
        paid[to][from] -= queues.payments[index].amount.0;
    }
    (0..queues.capacity.len()).all(|bank| {
        let within = paid[bank].iter().zip(&queues.headroom[bank]).all(|(net, headroom)| *net <= headroom.0);
        within && paid[bank].iter().sum::<i64>() <= queues.capacity[bank].0
    })
}

pub fn whole_queue(queues: &Queues, bank: usize) -> Vec<usize> {
    (queues.starts[bank]..queues.starts[bank + 1]).collect()
}

/// Random systems of up to 5 banks with random limits.
pub fn systems() -> impl Strategy<Value = Queues> {
    systems_of(2..=5, 4, 4, 3)
}

/// Random systems; each bank has at most these payments, amounts and capacity.
pub fn systems_of(
    banks: RangeInclusive<u16>,
    payments: usize,
    amount: i64,
    capacity: i64,
) -> impl Strategy<Value = Queues> {
    banks.prop_flat_map(move |banks| {
        let other = (1..banks, 1..=amount, any::<bool>());
        let headroom = prop_oneof![3 => 0..=capacity, 1 => Just(NO_LIMIT)];
        let headrooms = prop_oneof![2 => Just(Vec::new()), 1 => vec(headroom, usize::from(banks))];
        let bank = (vec(other, 0..=payments), 0..=capacity, headrooms);
        (vec(bank, usize::from(banks)), any::<bool>()).prop_map(move |(all, may_bypass)| {
            let mut queues = Queues { may_bypass, ..Queues::default() };
            for (bank, (payments, capacity, headroom)) in (0_u16..).zip(all) {
                let queue = payments.into_iter().map(|(step, amount, is_new)| Queued {
                    receiver: (bank + step) % banks,
                    amount: Cents(amount),
                    is_new,
                });
                queues.push_bank(queue, Cents(capacity), headroom.into_iter().map(Cents));
            }
            queues
        })
    })
}

/// `queues` with bank `i` relabelled `names[i]`, and the new positions of payments.
pub fn renamed(queues: &Queues, names: &[u16]) -> (Queues, Vec<usize>) {
    let mut renamed = Queues { may_bypass: queues.may_bypass, ..Queues::default() };
    let mut positions = vec![0; queues.payments.len()];
    for name in 0_u16.. {
        let Some(bank) = names.iter().position(|other| *other == name) else { break };
        for index in whole_queue(queues, bank) {
            positions[index] = renamed.payments.len() + index - queues.starts[bank];
        }
        let payments = &queues.payments[queues.starts[bank]..queues.starts[bank + 1]];
        let queue = payments.iter().map(|p| Queued { receiver: names[usize::from(p.receiver)], ..*p });
        let mut headroom = queues.headroom[bank].clone();
        for (amount, other) in queues.headroom[bank].iter().zip(names) {
            headroom[usize::from(*other)] = *amount;
        }
        renamed.push_bank(queue, queues.capacity[bank], headroom);
    }
    (renamed, positions)
}

pub type Method = fn(&mut Offsets, &Queues, &mut Vec<usize>) -> bool;

pub const METHODS: [Method; 3] = [Offsets::entry, Offsets::bilateral, Offsets::multilateral];

/// The set that a method chooses.
pub fn chosen(method: Method, offsets: &mut Offsets, queues: &Queues) -> Vec<usize> {
    let mut chosen = vec![usize::MAX];
    let any = method(offsets, queues, &mut chosen);
    assert_eq!(any, !chosen.is_empty());
    chosen
}

pub fn sorted(mut set: Vec<usize>) -> Vec<usize> {
    set.sort_unstable();
    set
}

/// A bank: its queue as (receiver, amount), capacity and headroom.
pub type Bank<'a> = (&'a [(u16, i64)], i64, &'a [i64]);

/// Queues with new payments at the indices `new`.
pub fn queues(may_bypass: bool, banks: &[Bank], new: &[usize]) -> Queues {
    let mut queues = Queues { may_bypass, ..Queues::default() };
    for (payments, capacity, headroom) in banks {
        let queue = payments.iter().map(|(receiver, amount)| (*receiver, Cents(*amount)));
        let queue = queue.map(|(receiver, amount)| Queued { receiver, amount, is_new: false });
        queues.push_bank(queue, Cents(*capacity), headroom.iter().copied().map(Cents));
    }
    for index in new {
        queues.payments[*index].is_new = true;
    }
    queues
}

pub fn all_chosen(queues: &Queues) -> [Vec<usize>; 3] {
    METHODS.map(|method| chosen(method, &mut Offsets::default(), queues))
}
