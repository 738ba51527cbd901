//! Offsets against brute force, under new names for the banks, and in cases worked out by hand.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::settlement::{Offsets, Queued, Queues};
use paysim_engine::units::Cents;
use proptest::collection::vec;
use proptest::prelude::*;

const NO_LIMIT: i64 = i64::MAX;
const NOTHING: [Vec<usize>; 3] = [const { Vec::new() }; 3];

/// Calls `visit` with all vectors of digits, where digit `i` is below `bases[i]`.
fn for_each_digits(bases: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut digits = vec![0; bases.len()];
    loop {
        visit(&digits);
        let Some(place) = (0..bases.len()).rev().find(|place| digits[*place] + 1 < bases[*place]) else { return };
        digits[place] += 1;
        digits[place + 1..].fill(0);
    }
}

/// All systems of so many banks and payments, amounts from 1, capacities from 0, without limits or with one headroom
/// from 0 towards all others.
#[derive(Clone, Copy)]
struct Family {
    banks: usize,
    payments: usize,
    amounts: usize,
    capacities: usize,
    /// 1: none; 2: none or 0; and so on.
    headrooms: usize,
    /// 1: no payment is new; 2: each is or is not.
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
        let own = (0..senders.len()).filter(|index| senders[*index] == bank);
        let queue = own.map(|index| Queued {
            receiver: u16::try_from((bank + 1 + receivers[index]) % banks).unwrap(),
            amount: cents(amounts[index] + 1),
            is_new: ages[index] == 1,
        });
        let headroom = (0..banks).filter(|_| headrooms[bank] > 0).map(|_| cents(headrooms[bank] - 1));
        queues.push_bank(queue, cents(capacities[bank]), headroom);
    }
}

fn sender(queues: &Queues, index: usize) -> usize {
    queues.starts.iter().rposition(|start| *start <= index).unwrap()
}

fn is_feasible(queues: &Queues, set: impl IntoIterator<Item = usize>) -> bool {
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

/// The feasible set with the most of the first payments of each list, at least `least` of each; unique.
fn largest(queues: &Queues, lists: &[Vec<usize>], least: usize) -> Option<Vec<usize>> {
    let set = |counts: &[usize]| {
        let taken = lists.iter().zip(counts).flat_map(|(list, count)| &list[..count + least]).copied();
        taken.collect::<Vec<usize>>()
    };
    let bases: Vec<usize> = lists.iter().map(|list| list.len() + 1 - least).collect();
    if bases.contains(&0) {
        return None;
    }
    // The largest is unique if it is at least every other in every place.
    let (mut join, mut best) = (vec![0; lists.len()], None);
    for_each_digits(&bases, |counts| {
        if is_feasible(queues, set(counts)) {
            join.iter_mut().zip(counts).for_each(|(most, count)| *most = (*most).max(*count));
            if join == counts {
                best = Some(counts.to_vec());
            }
        }
    });
    assert!(best.is_none() || best.as_ref() == Some(&join), "more than one largest set in {queues:?}");
    best.as_deref().map(set)
}

fn whole_queue(queues: &Queues, bank: usize) -> Vec<usize> {
    (queues.starts[bank]..queues.starts[bank + 1]).collect()
}

/// What `bank` has for `other` that its queue order lets go.
fn list(queues: &Queues, bank: usize, other: usize) -> Vec<usize> {
    let is_to_other = |index: &usize| usize::from(queues.payments[*index].receiver) == other;
    let queue = whole_queue(queues, bank).into_iter();
    if queues.may_bypass { queue.filter(is_to_other).collect() } else { queue.take_while(is_to_other).collect() }
}

fn largest_of_pair(queues: &Queues, one: usize, other: usize) -> Option<Vec<usize>> {
    largest(queues, &[list(queues, one, other), list(queues, other, one)], 1)
}

/// Where both banks have a new first payment, they must want the same.
fn entry_of_pair(queues: &Queues, one: usize, other: usize) -> Option<Vec<usize>> {
    let both = [(one, other), (other, one)].map(|(one, other)| {
        let (own, theirs) = (list(queues, one, other), list(queues, other, one));
        let first = *own.first().filter(|first| queues.payments[**first].is_new)?;
        let mut sets = (1..=theirs.len()).map(|count| [&[first], &theirs[..count]].concat());
        sets.find(|set| is_feasible(queues, set.iter().copied())).map(sorted)
    });
    if let [Some(one), Some(other)] = &both {
        assert_eq!(one, other, "two entry offsets of one pair in {queues:?}");
    }
    both.into_iter().flatten().next()
}

/// Every bank decides, in its queue's order, about the sets in which it pays on balance.
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
            let net: i64 = set.iter().map(signed).map(|(is_own, amount)| if is_own { amount } else { -amount }).sum();
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

fn sorted(mut set: Vec<usize>) -> Vec<usize> {
    set.sort_unstable();
    set
}

type Method = fn(&mut Offsets, &Queues, &mut Vec<usize>) -> bool;

const METHODS: [Method; 3] = [Offsets::entry, Offsets::bilateral, Offsets::multilateral];

fn chosen(method: Method, offsets: &mut Offsets, queues: &Queues) -> Vec<usize> {
    let mut chosen = vec![usize::MAX];
    let any = method(offsets, queues, &mut chosen);
    assert_eq!(any, !chosen.is_empty());
    chosen
}

fn largest_of_all(queues: &Queues) -> Vec<usize> {
    let lists: Vec<Vec<usize>> = (0..queues.capacity.len()).map(|bank| whole_queue(queues, bank)).collect();
    largest(queues, &lists, 0).unwrap()
}

#[test]
fn multilateral_is_the_largest_set_in_every_system_of_two_banks() {
    let mut offsets = Offsets::default();
    for payments in 0..=6 {
        family(2, payments, 3, 3, 4).for_each(false, |queues| {
            assert_eq!(chosen(Offsets::multilateral, &mut offsets, queues), largest_of_all(queues), "{queues:?}");
        });
    }
}

#[test]
fn multilateral_is_the_largest_set_in_every_small_system_of_three_or_four_banks() {
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
fn bilateral_is_the_largest_set_in_every_system_of_two_banks() {
    let mut offsets = Offsets::default();
    for (payments, may_bypass) in (0..=6).flat_map(|payments| [(payments, false), (payments, true)]) {
        family(2, payments, 3, 3, 3).for_each(may_bypass, |queues| {
            let expected = largest_of_pair(queues, 0, 1).unwrap_or_default();
            assert_eq!(chosen(Offsets::bilateral, &mut offsets, queues), expected, "{queues:?}");
        });
    }
}

#[test]
fn bilateral_is_the_largest_set_of_every_pair_whose_banks_block_each_other() {
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
fn entry_is_the_least_cover_in_every_small_system_of_two_banks() {
    let mut offsets = Offsets::default();
    for (payments, may_bypass) in (0..=4).flat_map(|payments| [(payments, false), (payments, true)]) {
        Family { ages: 2, ..family(2, payments, 3, 3, 2) }.for_each(may_bypass, |queues| {
            let expected = entry_of_pair(queues, 0, 1).unwrap_or_default();
            assert_eq!(chosen(Offsets::entry, &mut offsets, queues), expected, "{queues:?}");
        });
    }
}

/// A random system of up to 5 banks, with any limits.
fn systems() -> impl Strategy<Value = Queues> {
    (2..=5_u16).prop_flat_map(|banks| {
        let other = (1..banks, 1..=4_i64, any::<bool>());
        let headroom = prop_oneof![3 => 0..=3_i64, 1 => Just(NO_LIMIT)];
        let headrooms = prop_oneof![2 => Just(Vec::new()), 1 => vec(headroom, usize::from(banks))];
        let bank = (vec(other, 0..=4), 0..=3_i64, headrooms);
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

/// `queues` where bank `i` is called `names[i]`, and where each payment is then.
fn renamed(queues: &Queues, names: &[u16]) -> (Queues, Vec<usize>) {
    let mut renamed = Queues { may_bypass: queues.may_bypass, ..Queues::default() };
    let mut places = vec![0; queues.payments.len()];
    for name in 0_u16.. {
        let Some(bank) = names.iter().position(|other| *other == name) else { break };
        for index in whole_queue(queues, bank) {
            places[index] = renamed.payments.len() + index - queues.starts[bank];
        }
        let payments = &queues.payments[queues.starts[bank]..queues.starts[bank + 1]];
        let queue = payments.iter().map(|p| Queued { receiver: names[usize::from(p.receiver)], ..*p });
        let mut headroom = queues.headroom[bank].clone();
        for (most, other) in queues.headroom[bank].iter().zip(names) {
            headroom[usize::from(*other)] = *most;
        }
        renamed.push_bank(queue, queues.capacity[bank], headroom);
    }
    (renamed, places)
}

fn keeps_queue_order(queues: &Queues, is_chosen: impl Fn(&usize) -> bool, may_bypass: bool) -> bool {
    let banks = 0..queues.capacity.len();
    let starts_with_chosen = |list: Vec<usize>| list.is_sorted_by_key(|index| !is_chosen(index));
    banks.clone().all(|bank| {
        if may_bypass {
            banks.clone().all(|other| starts_with_chosen(list(queues, bank, other)))
        } else {
            starts_with_chosen(whole_queue(queues, bank))
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn offsets_equal_brute_force(queues in systems()) {
        let mut offsets = Offsets::default();
        prop_assert_eq!(chosen(Offsets::multilateral, &mut offsets, &queues), largest_of_all(&queues));
        let [entry, bilateral] = [entry_of_pair, largest_of_pair].map(|of_pair| settled_by_payers(&queues, of_pair));
        prop_assert_eq!(chosen(Offsets::entry, &mut offsets, &queues), entry);
        prop_assert_eq!(chosen(Offsets::bilateral, &mut offsets, &queues), bilateral);
    }

    #[test]
    fn what_settles_is_feasible_and_keeps_queue_order(queues in systems()) {
        for (place, method) in METHODS.into_iter().enumerate() {
            let set = chosen(method, &mut Offsets::default(), &queues);
            prop_assert!(set.is_sorted_by(|one, next| one < next));
            prop_assert!(is_feasible(&queues, set.iter().copied()));
            // Multilateral offsets take whole queues in order, whoever may pass.
            let may_bypass = queues.may_bypass && place < 2;
            prop_assert!(keeps_queue_order(&queues, |index| set.contains(index), may_bypass));
        }
    }

    #[test]
    fn new_names_for_banks_change_nothing_else(
        (queues, names) in systems().prop_flat_map(|queues| {
            let names: Vec<u16> = (0_u16..).take(queues.banks()).collect();
            (Just(queues), Just(names).prop_shuffle())
        })
    ) {
        let (renamed, places) = renamed(&queues, &names);
        let mut offsets = Offsets::default();
        for method in METHODS {
            let set = chosen(method, &mut offsets, &queues);
            let expected = sorted(set.into_iter().map(|index| places[index]).collect());
            prop_assert_eq!(chosen(method, &mut offsets, &renamed), expected);
        }
    }
}

/// One bank: its queue as (receiver, amount), its capacity, its headroom.
type Bank<'a> = (&'a [(u16, i64)], i64, &'a [i64]);

/// Queues in which the payments at the indices in `new` are new.
fn queues(may_bypass: bool, banks: &[Bank], new: &[usize]) -> Queues {
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

fn all_chosen(queues: &Queues) -> [Vec<usize>; 3] {
    METHODS.map(|method| chosen(method, &mut Offsets::default(), queues))
}

#[test]
fn a_ring_of_four_banks_without_liquidity_settles_only_multilaterally() {
    for may_bypass in [false, true] {
        let ring = [(&[(1, 10)][..], 0, &[][..]), (&[(2, 10)], 0, &[]), (&[(3, 10)], 0, &[]), (&[(0, 10)], 0, &[])];
        assert_eq!(all_chosen(&queues(may_bypass, &ring, &[0, 1, 2, 3])), [vec![], vec![], vec![0, 1, 2, 3]]);
    }
}

#[test]
fn a_bilateral_limit_forbids_an_offset() {
    let with = |headroom| queues(false, &[(&[(1, 100), (1, 5)], 30, headroom), (&[(0, 80)], 0, &[])], &[]);
    assert_eq!(all_chosen(&with(&[])), [vec![], vec![0, 1, 2], vec![0, 1, 2]]);
    assert_eq!(all_chosen(&with(&[0, 20])), [vec![], vec![0, 2], vec![0, 2]]);
    assert_eq!(all_chosen(&with(&[0, 19])), NOTHING);
}

#[test]
fn a_blocked_head_stops_bilateral_offsets_unless_later_payments_may_pass() {
    // 0 -> 2 is not covered; behind it, 0 and 1 owe each other the same.
    let banks = [(&[(2, 50), (1, 10)][..], 0, &[][..]), (&[(0, 10)], 0, &[]), (&[], 0, &[])];
    assert_eq!(all_chosen(&queues(false, &banks, &[])), NOTHING);
    assert_eq!(all_chosen(&queues(true, &banks, &[])), [vec![], vec![1, 2], vec![]]);
}

#[test]
fn entry_takes_only_as_many_payments_as_cover_the_new_one() {
    // 100 against 60 + 30 leaves 10, which bank 0 has; a third payment is not needed.
    let banks = |capacity| [(&[(1, 100)][..], capacity, &[][..]), (&[(0, 60), (0, 30), (0, 5)], 1000, &[])];
    assert_eq!(all_chosen(&queues(false, &banks(10), &[0]))[0], [0, 1, 2]);
    assert_eq!(all_chosen(&queues(false, &banks(40), &[0]))[0], [0, 1]);
    assert!(all_chosen(&queues(false, &banks(4), &[0]))[0].is_empty());
    // Not new: not for entry.
    assert!(all_chosen(&queues(false, &banks(10), &[]))[0].is_empty());
    // Bank 1's new payment stands behind older ones.
    assert!(all_chosen(&queues(false, &banks(10), &[3]))[0].is_empty());
}

#[test]
fn entry_does_not_take_what_the_receiver_cannot_pay() {
    let banks = |capacity| [(&[(1, 10)][..], 0, &[][..]), (&[(0, 4), (0, 9)], capacity, &[])];
    assert_eq!(all_chosen(&queues(false, &banks(3), &[0]))[0], [0, 1, 2]);
    assert!(all_chosen(&queues(false, &banks(2), &[0]))[0].is_empty());
}

#[test]
fn the_payer_serves_its_offsets_in_its_own_queue_order() {
    // On balance bank 1 would pay 6 to bank 2 and 5 to bank 0, and has 8: only the first in its queue settles.
    let banks = |queue| [(&[(1, 10)][..], 0, &[][..]), (queue, 8, &[]), (&[(1, 10)], 0, &[])];
    assert_eq!(all_chosen(&queues(true, &banks(&[(2, 16), (0, 15)]), &[]))[1], [1, 3]);
    assert_eq!(all_chosen(&queues(true, &banks(&[(0, 15), (2, 16)]), &[]))[1], [0, 1]);
    // What it would receive in the same round does not help; what still fits settles.
    assert_eq!(all_chosen(&queues(true, &banks(&[(0, 15), (2, 13)]), &[]))[1], [0, 1, 2, 3]);
}

#[test]
fn amounts_near_the_largest_do_not_overflow() {
    let huge = 1 << 60;
    let limits: &[i64] = &[NO_LIMIT, NO_LIMIT];
    let banks = [(&[(1, huge), (1, huge)][..], NO_LIMIT, limits), (&[(0, huge), (0, huge - 1)], NO_LIMIT, limits)];
    assert_eq!(all_chosen(&queues(true, &banks, &[0, 2])), [vec![0, 2], vec![0, 1, 2, 3], vec![0, 1, 2, 3]]);
}
