//! Tests of offsets: brute force, relabelled banks and cases worked out by hand.

#![allow(clippy::unwrap_used, missing_docs)]

mod small_queues;

use paysim_engine::settlement::{Offsets, Queued, Queues};
use paysim_engine::units::Cents;
use proptest::prelude::*;

use small_queues::{
    METHODS, NO_LIMIT, all_chosen, chosen, is_feasible, queues, renamed, sender, sorted, systems, whole_queue,
};

const NOTHING: [Vec<usize>; 3] = [const { Vec::new() }; 3];

/// Calls `visit` with all vectors of digits, where digit `i` is below `bases[i]`.
fn for_each_digits(bases: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut digits = vec![0; bases.len()];
    loop {
        visit(&digits);
        let Some(index) = (0..bases.len()).rev().find(|index| digits[*index] + 1 < bases[*index]) else { return };
        digits[index] += 1;
        digits[index + 1..].fill(0);
    }
}

/// All systems with these numbers of banks and payments.
///
/// Amounts start from 1 and capacities from 0; a bank has no limits or the same headroom from 0 for all others.
#[derive(Clone, Copy)]
struct Family {
    banks: usize,
    payments: usize,
    amounts: usize,
    capacities: usize,
    /// 1: no limit; 2: no limit or a headroom of 0; and so on.
    headrooms: usize,
    /// 1: no payment is new; 2: each payment is new or not.
    ages: usize,
}

const fn family(banks: usize, payments: usize, amounts: usize, capacities: usize, headrooms: usize) -> Family {
    Family { banks, payments, amounts, capacities, headrooms, ages: 1 }
}

impl Family {
    fn for_each(self, may_bypass: bool, mut visit: impl FnMut(&Queues)) {
        let Self { banks, payments, .. } = self;
        let mut bases = [vec![banks - 1; payments], vec![self.amounts; payments], vec![self.ages; payments]].concat();
        bases.extend([vec![self.capacities; banks], vec![self.headrooms; banks]].concat());
        let mut queues = Queues { may_bypass, ..Queues::default() };
        for_each_digits(&vec![banks; payments], |senders| {
            if senders.is_sorted() {
                for_each_digits(&bases, |digits| {
                    fill(&mut queues, banks, senders, digits);
                    visit(&queues);
                });
            }
        });
    }
}

fn fill(queues: &mut Queues, banks: usize, senders: &[usize], digits: &[usize]) {
    let cents = |digit: usize| Cents(i64::try_from(digit).unwrap());
    let (receivers, rest) = digits.split_at(senders.len());
    let (amounts, rest) = rest.split_at(senders.len());
    let (ages, rest) = rest.split_at(senders.len());
    let (capacities, headrooms) = rest.split_at(banks);
    queues.clear();
    for bank in 0..banks {
        let indices = (0..senders.len()).filter(|index| senders[*index] == bank);
        let queue = indices.map(|index| Queued {
            receiver: u16::try_from((bank + 1 + receivers[index]) % banks).unwrap(),
            amount: cents(amounts[index] + 1),
            is_new: ages[index] == 1,
        });
        let headroom = (0..banks).filter(|_| headrooms[bank] > 0).map(|_| cents(headrooms[bank] - 1));
        queues.push_bank(queue, cents(capacities[bank]), headroom);
    }
}

/// The unique largest feasible set with `min` or more first payments of each list.
fn largest(queues: &Queues, lists: &[Vec<usize>], min: usize) -> Option<Vec<usize>> {
    let set = |counts: &[usize]| {
        let taken = lists.iter().zip(counts).flat_map(|(list, count)| &list[..count + min]).copied();
        taken.collect::<Vec<usize>>()
    };
    let bases: Vec<usize> = lists.iter().map(|list| list.len() + 1 - min).collect();
    if bases.contains(&0) {
        return None;
    }
    // The largest set is unique if it has at least as many payments of each list as every other.
    let (mut join, mut best) = (vec![0; lists.len()], None);
    for_each_digits(&bases, |counts| {
        if is_feasible(queues, set(counts)) {
            join.iter_mut().zip(counts).for_each(|(max, count)| *max = (*max).max(*count));
            if join == counts {
                best = Some(counts.to_vec());
            }
        }
    });
    assert!(best.is_none() || best.as_ref() == Some(&join), "more than one largest set in {queues:?}");
    best.as_deref().map(set)
}

/// The payments of `bank` to `other` that queue order allows in an offset.
fn list(queues: &Queues, bank: usize, other: usize) -> Vec<usize> {
    let is_to_other = |index: &usize| usize::from(queues.payments[*index].receiver) == other;
    whole_queue(queues, bank).into_iter().take_while(is_to_other).collect()
}

fn largest_of_pair(queues: &Queues, one: usize, other: usize) -> Option<Vec<usize>> {
    largest(queues, &[list(queues, one, other), list(queues, other, one)], 1)
}

/// The entry offset of a pair; both banks must find the same one.
fn entry_of_pair(queues: &Queues, one: usize, other: usize) -> Option<Vec<usize>> {
    let both = [(one, other), (other, one)].map(|(one, other)| {
        let (payments, opposite) = (list(queues, one, other), list(queues, other, one));
        let first = *payments.first().filter(|first| queues.payments[**first].is_new)?;
        let mut sets = (1..=opposite.len()).map(|count| [&[first], &opposite[..count]].concat());
        sets.find(|set| is_feasible(queues, set.iter().copied())).map(sorted)
    });
    if let [Some(one), Some(other)] = &both {
        assert_eq!(one, other, "two entry offsets of one pair in {queues:?}");
    }
    both.into_iter().flatten().next()
}

/// The accepted sets: each bank considers those that it pays net, in queue order.
fn settled_by_payers(queues: &Queues, of_pair: fn(&Queues, usize, usize) -> Option<Vec<usize>>) -> Vec<usize> {
    let banks = queues.capacity.len();
    let mut chosen = Vec::new();
    for bank in 0..banks {
        let others = (0..banks).filter(|other| *other != bank);
        let mut sets: Vec<Vec<usize>> = others.filter_map(|other| of_pair(queues, bank, other)).collect();
        sets.sort_by_key(|set| set.iter().copied().find(|index| sender(queues, *index) == bank));
        let mut spent = 0;
        for set in sets {
            let signed = |index: &usize| (sender(queues, *index) == bank, queues.payments[*index].amount.0);
            let net: i64 =
                set.iter().map(signed).map(|(is_outgoing, amount)| if is_outgoing { amount } else { -amount }).sum();
            if net == 0 || net > 0 && spent + net <= queues.capacity[bank].0 {
                spent += net;
                chosen.extend(set);
            }
        }
    }
    chosen = sorted(chosen);
    chosen.dedup();
    chosen
}

fn largest_of_all(queues: &Queues) -> Vec<usize> {
    let lists: Vec<Vec<usize>> = (0..queues.capacity.len()).map(|bank| whole_queue(queues, bank)).collect();
    largest(queues, &lists, 0).unwrap()
}

#[test]
fn multilateral_offset_is_the_largest_set_in_every_system_of_two_banks() {
    let mut offsets = Offsets::default();
    for payments in 0..=6 {
        family(2, payments, 3, 3, 4).for_each(false, |queues| {
            assert_eq!(chosen(Offsets::multilateral, &mut offsets, queues), largest_of_all(queues), "{queues:?}");
        });
    }
}

#[test]
fn multilateral_offset_is_the_largest_set_in_small_systems_of_three_or_four_banks() {
    let mut offsets = Offsets::default();
    let of_three = [family(3, 3, 3, 3, 1), family(3, 3, 2, 2, 3), family(3, 4, 3, 2, 1), family(3, 6, 2, 1, 1)];
    let of_four = [family(4, 3, 2, 2, 2), family(4, 4, 3, 1, 1), family(4, 5, 1, 2, 1), family(4, 6, 1, 1, 1)];
    for family in of_three.into_iter().chain(of_four) {
        family.for_each(false, |queues| {
            assert_eq!(chosen(Offsets::multilateral, &mut offsets, queues), largest_of_all(queues), "{queues:?}");
        });
    }
}

#[test]
fn bilateral_offset_is_the_largest_set_in_every_system_of_two_banks() {
    let mut offsets = Offsets::default();
    for payments in 0..=6 {
        family(2, payments, 3, 3, 3).for_each(false, |queues| {
            let expected = largest_of_pair(queues, 0, 1).unwrap_or_default();
            assert_eq!(chosen(Offsets::bilateral, &mut offsets, queues), expected, "{queues:?}");
        });
    }
}

#[test]
fn bilateral_offsets_are_the_largest_sets_of_pairs_with_blocking_heads() {
    let mut offsets = Offsets::default();
    for family in [family(3, 4, 2, 2, 2), family(3, 5, 2, 2, 1), family(4, 4, 2, 2, 1), family(4, 6, 1, 1, 1)] {
        family.for_each(false, |queues| {
            let pairs = (0..family.banks).flat_map(|one| (0..one).map(move |other| (one, other)));
            let sets = pairs.filter_map(|(one, other)| largest_of_pair(queues, one, other));
            let expected = sorted(sets.flatten().collect());
            assert_eq!(chosen(Offsets::bilateral, &mut offsets, queues), expected, "{queues:?}");
        });
    }
}

#[test]
fn entry_offset_is_the_smallest_cover_in_small_systems_of_two_banks() {
    let mut offsets = Offsets::default();
    for payments in 0..=4 {
        Family { ages: 2, ..family(2, payments, 3, 3, 2) }.for_each(false, |queues| {
            let expected = entry_of_pair(queues, 0, 1).unwrap_or_default();
            assert_eq!(chosen(Offsets::entry, &mut offsets, queues), expected, "{queues:?}");
        });
    }
}

fn keeps_queue_order(queues: &Queues, set: &[usize]) -> bool {
    let banks = 0..queues.capacity.len();
    banks.into_iter().all(|bank| whole_queue(queues, bank).is_sorted_by_key(|index| !set.contains(index)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn offsets_equal_brute_force(queues in systems()) {
        let queues = Queues { may_bypass: false, ..queues };
        let mut offsets = Offsets::default();
        prop_assert_eq!(chosen(Offsets::multilateral, &mut offsets, &queues), largest_of_all(&queues));
        let [entry, bilateral] = [entry_of_pair, largest_of_pair].map(|of_pair| settled_by_payers(&queues, of_pair));
        prop_assert_eq!(chosen(Offsets::entry, &mut offsets, &queues), entry);
        prop_assert_eq!(chosen(Offsets::bilateral, &mut offsets, &queues), bilateral);
    }

    #[test]
    fn offsets_are_feasible_and_respect_queue_order(queues in systems()) {
        for method in METHODS {
            let set = chosen(method, &mut Offsets::default(), &queues);
            prop_assert!(set.is_sorted_by(|one, next| one < next));
            prop_assert!(is_feasible(&queues, set.iter().copied()));
            prop_assert!(queues.may_bypass || keeps_queue_order(&queues, &set));
        }
    }

    #[test]
    fn relabelling_banks_relabels_the_offsets(
        (queues, names) in systems().prop_flat_map(|queues| {
            let names: Vec<u16> = (0_u16..).take(queues.banks()).collect();
            (Just(queues), Just(names).prop_shuffle())
        })
    ) {
        let (renamed, positions) = renamed(&queues, &names);
        let mut offsets = Offsets::default();
        for method in METHODS {
            let set = chosen(method, &mut offsets, &queues);
            let expected = sorted(set.into_iter().map(|index| positions[index]).collect());
            prop_assert_eq!(chosen(method, &mut offsets, &renamed), expected);
        }
    }
}

#[test]
fn a_ring_of_four_banks_without_liquidity_settles_only_multilaterally() {
    for may_bypass in [false, true] {
        let ring = [(&[(1, 10)][..], 0, &[][..]), (&[(2, 10)], 0, &[]), (&[(3, 10)], 0, &[]), (&[(0, 10)], 0, &[])];
        assert_eq!(all_chosen(&queues(may_bypass, &ring, &[0, 1, 2, 3])), [vec![], vec![], vec![0, 1, 2, 3]]);
    }
}

#[test]
fn a_bilateral_limit_prevents_an_offset() {
    let with = |headroom| queues(false, &[(&[(1, 100), (1, 5)], 30, headroom), (&[(0, 80)], 0, &[])], &[]);
    assert_eq!(all_chosen(&with(&[])), [vec![], vec![0, 1, 2], vec![0, 1, 2]]);
    assert_eq!(all_chosen(&with(&[0, 20])), [vec![], vec![0, 2], vec![0, 2]]);
    assert_eq!(all_chosen(&with(&[0, 19])), NOTHING);
}

#[test]
fn a_blocked_head_prevents_bilateral_offsets_unless_payments_may_bypass() {
    // 0 -> 2 is blocked; behind it, 0 and 1 have equal payments to each other.
    let banks = [(&[(2, 50), (1, 10)][..], 0, &[][..]), (&[(0, 10)], 0, &[]), (&[], 0, &[])];
    assert_eq!(all_chosen(&queues(false, &banks, &[])), NOTHING);
    assert_eq!(all_chosen(&queues(true, &banks, &[])), [vec![], vec![1, 2], vec![1, 2]]);
}

#[test]
fn an_entry_offset_uses_the_minimum_number_of_payments() {
    // 100 against 60 + 30 leaves 10, which bank 0 has; the third payment is not needed.
    let banks = |capacity| [(&[(1, 100)][..], capacity, &[][..]), (&[(0, 60), (0, 30), (0, 5)], 1000, &[])];
    assert_eq!(all_chosen(&queues(false, &banks(10), &[0]))[0], [0, 1, 2]);
    assert_eq!(all_chosen(&queues(false, &banks(40), &[0]))[0], [0, 1]);
    assert!(all_chosen(&queues(false, &banks(4), &[0]))[0].is_empty());
    // Payments that are not new have no entry offset.
    assert!(all_chosen(&queues(false, &banks(10), &[]))[0].is_empty());
    // Bank 1's new payment is behind older ones.
    assert!(all_chosen(&queues(false, &banks(10), &[3]))[0].is_empty());
}

#[test]
fn an_entry_offset_respects_the_capacity_of_the_receiver() {
    let banks = |capacity| [(&[(1, 10)][..], 0, &[][..]), (&[(0, 4), (0, 9)], capacity, &[])];
    assert_eq!(all_chosen(&queues(false, &banks(3), &[0]))[0], [0, 1, 2]);
    assert!(all_chosen(&queues(false, &banks(2), &[0]))[0].is_empty());
}

#[test]
fn a_net_payer_accepts_offsets_in_its_queue_order() {
    // Bank 1 would pay net 6 to bank 2 and 5 to bank 0, and has 8: only the first in its queue settles.
    let banks = |queue| [(&[(1, 10)][..], 0, &[][..]), (queue, 8, &[]), (&[(1, 10)], 0, &[])];
    assert_eq!(all_chosen(&queues(true, &banks(&[(2, 16), (0, 15)]), &[]))[1], [1, 3]);
    assert_eq!(all_chosen(&queues(true, &banks(&[(0, 15), (2, 16)]), &[]))[1], [0, 1]);
    // Receipts of the same round do not count; an offset within the remaining capacity settles.
    assert_eq!(all_chosen(&queues(true, &banks(&[(0, 15), (2, 13)]), &[]))[1], [0, 1, 2, 3]);
}

#[test]
fn offsets_of_very_large_amounts_do_not_overflow() {
    let huge = 1 << 60;
    let limits: &[i64] = &[NO_LIMIT, NO_LIMIT];
    let banks = [(&[(1, huge), (1, huge)][..], NO_LIMIT, limits), (&[(0, huge), (0, huge - 1)], NO_LIMIT, limits)];
    assert_eq!(all_chosen(&queues(true, &banks, &[0, 2])), [vec![0, 2], vec![0, 1, 2, 3], vec![0, 1, 2, 3]]);
}
