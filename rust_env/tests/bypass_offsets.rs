//! Tests of offsets where payments may bypass blocked ones.

#![allow(clippy::unwrap_used, missing_docs)]

mod small_queues;

use paysim_engine::settlement::{Offsets, Queued, Queues};
use paysim_engine::units::Cents;
use proptest::prelude::*;
use small_queues::{
    METHODS, all_chosen, chosen, is_feasible, queues, renamed, sender, sorted, systems, systems_of, whole_queue,
};
use std::cmp::Reverse;

fn value(queues: &Queues, set: &[usize]) -> i64 {
    set.iter().map(|index| queues.payments[*index].amount.0).sum()
}

/// Value and number of payments of each feasible set that `is_allowed`.
fn feasible_sets(queues: &Queues, is_allowed: impl Fn(&[usize]) -> bool) -> Vec<(i64, usize)> {
    let payments = queues.payments.len();
    let sets = (1..1_u32 << payments).map(|set| (0..payments).filter(|index| set & 1 << index != 0).collect());
    let feasible = sets.filter(|set: &Vec<usize>| is_allowed(set) && is_feasible(queues, set.iter().copied()));
    feasible.map(|set| (value(queues, &set), set.len())).collect()
}

fn both_pay(queues: &Queues, set: &[usize]) -> bool {
    [0, 1].iter().all(|bank| set.iter().any(|index| sender(queues, *index) == *bank))
}

fn has_new(queues: &Queues, set: &[usize]) -> bool {
    set.iter().any(|index| queues.payments[*index].is_new)
}

/// Value and number of payments of the chosen set.
fn found(queues: &Queues, set: &[usize]) -> (i64, usize) {
    (value(queues, set), set.len())
}

/// `queues` with bypassing, at most `max` payments and unique amounts.
fn unlike(queues: Queues, max: usize) -> Queues {
    let mut unlike = Queues { may_bypass: true, ..Queues::default() };
    let mut left = max;
    for bank in 0..queues.banks() {
        let queue = whole_queue(&queues, bank).into_iter().take(left);
        left -= queue.len();
        let numbered = queue.map(|index| {
            let payment = queues.payments[index];
            let number = i64::try_from(index).unwrap();
            Queued { amount: Cents(100 * payment.amount.0 + number), ..payment }
        });
        let headroom = queues.headroom[bank].iter().map(|limit| Cents(limit.0.saturating_mul(100)));
        unlike.push_bank(numbered, Cents(100 * queues.capacity[bank].0), headroom);
    }
    unlike
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The limit of steps allows all sets of 8 payments.
    #[test]
    fn the_multilateral_set_of_eight_payments_is_the_largest(queues in systems()) {
        let queues = unlike(queues, 8);
        let best = feasible_sets(&queues, |_| true).into_iter().max().unwrap_or_default();
        prop_assert_eq!(found(&queues, &chosen(METHODS[2], &mut Offsets::default(), &queues)), best);
    }

    #[test]
    fn the_bilateral_set_of_two_banks_is_the_largest(queues in systems_of(2..=2, 4, 4, 3)) {
        let queues = unlike(queues, 8);
        let best = feasible_sets(&queues, |set| both_pay(&queues, set)).into_iter().max().unwrap_or_default();
        prop_assert_eq!(found(&queues, &chosen(METHODS[1], &mut Offsets::default(), &queues)), best);
    }

    #[test]
    fn the_entry_offset_of_two_banks_has_the_fewest_payments(queues in systems_of(2..=2, 4, 4, 3)) {
        let queues = unlike(queues, 8);
        let sets = feasible_sets(&queues, |set| both_pay(&queues, set) && has_new(&queues, set));
        let best = sets.into_iter().max_by_key(|(value, count)| (Reverse(*count), *value)).unwrap_or_default();
        prop_assert_eq!(found(&queues, &chosen(METHODS[0], &mut Offsets::default(), &queues)), best);
    }

    /// The networks are below and above the maximum size of a search.
    #[test]
    fn a_multilateral_set_settles_at_least_what_queue_order_allows(
        queues in prop_oneof![systems(), systems_of(2..=5, 12, 9, 20), systems_of(2..=5, 40, 50, 60), systems_of(2..=5, 90, 50, 60)]
    ) {
        let in_order = chosen(METHODS[2], &mut Offsets::default(), &Queues { may_bypass: false, ..queues.clone() });
        let queues = Queues { may_bypass: true, ..queues };
        let set = chosen(METHODS[2], &mut Offsets::default(), &queues);
        prop_assert!(is_feasible(&queues, set.iter().copied()));
        prop_assert!(value(&queues, &set) >= value(&queues, &in_order));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn relabelling_banks_relabels_the_offsets_of_long_queues(
        (queues, names) in systems_of(2..=5, 90, 5, 6).prop_flat_map(|queues| {
            let names: Vec<u16> = (0_u16..).take(queues.banks()).collect();
            (Just(Queues { may_bypass: true, ..queues }), Just(names).prop_shuffle())
        })
    ) {
        let (renamed, positions) = renamed(&queues, &names);
        for method in METHODS {
            let set = chosen(method, &mut Offsets::default(), &queues);
            let expected = sorted(set.into_iter().map(|index| positions[index]).collect());
            prop_assert_eq!(chosen(method, &mut Offsets::default(), &renamed), expected);
        }
    }
}

#[test]
fn a_cycle_behind_blocked_payments_settles() {
    // Banks A to E; what is left after gross settlement of the example. A -> E -> D -> A settles.
    let banks = [
        (&[(1, 30_000), (4, 7_000)][..], 3_000, &[][..]),
        (&[(2, 5_000)], 4_000, &[]),
        (&[(0, 6_000)], 5_000, &[]),
        (&[(0, 5_000)], 4_000, &[]),
        (&[(3, 4_000)], 3_000, &[]),
    ];
    assert_eq!(all_chosen(&queues(true, &banks, &[])), [vec![], vec![], vec![1, 4, 5]]);
    assert!(all_chosen(&queues(false, &banks, &[]))[2].is_empty());
}

#[test]
fn a_bilateral_limit_changes_the_best_set() {
    // Bank 0 can pay 10 against bank 1's 9; with a limit of 0, it pays 8.
    let with = |headroom| queues(true, &[(&[(1, 10), (1, 8)], 1, headroom), (&[(0, 9)], 0, &[])], &[]);
    assert_eq!(all_chosen(&with(&[])), [vec![], vec![0, 2], vec![0, 2]]);
    let limited = with(&[0, 0]);
    assert!(all_chosen(&limited)[2].is_empty());
    let richer = queues(true, &[(&[(1, 10), (1, 8)], 1, &[0, 0]), (&[(0, 9)], 1, &[])], &[]);
    assert_eq!(all_chosen(&richer), [vec![], vec![1, 2], vec![1, 2]]);
}

#[test]
fn an_entry_offset_bypasses_payments_that_do_not_cover_the_new_one() {
    let banks = [(&[(1, 50), (1, 100)][..], 0, &[][..]), (&[(0, 60), (0, 101), (0, 40)], 0, &[])];
    // Bank 0's new payment of 100 settles against 60 + 40, the only subset of equal value.
    assert_eq!(all_chosen(&queues(true, &banks, &[1]))[0], [1, 2, 4]);
    assert!(all_chosen(&queues(false, &banks, &[1]))[0].is_empty());
}

#[test]
fn payments_with_the_same_role_settle_together_or_not_at_all() {
    // Banks 0 and 1 are alike, and so are 2 and 3. The largest sets, of 11 + 6 + 1, favour either 0 or 1; the
    // payments of 6 settle instead.
    let banks =
        [(&[(2, 11), (1, 6)][..], 5, &[][..]), (&[(3, 11), (0, 6)], 5, &[]), (&[(1, 1)], 0, &[]), (&[(0, 1)], 0, &[])];
    let alike = queues(true, &banks, &[]);
    assert_eq!(all_chosen(&alike)[2], [1, 3]);
    let best = feasible_sets(&alike, |_| true).into_iter().max();
    assert_eq!(best, Some((18, 3)));
}

#[test]
fn a_gridlock_of_long_queues_settles_behind_a_blocked_payment() {
    // Ten banks in a ring pay 1 to 40 to the next one; before that, bank 0 has a payment that nothing covers.
    let ring = (0..10_u16).map(|bank| (1..=40).map(|amount| ((bank + 1) % 10, amount)).collect());
    let mut lists: Vec<Vec<(u16, i64)>> = ring.collect();
    lists[0].insert(0, (5, 100_000));
    let banks: Vec<(&[(u16, i64)], i64, &[i64])> = lists.iter().map(|list| (&list[..], 0, &[][..])).collect();
    assert!(all_chosen(&queues(false, &banks, &[]))[2].is_empty());
    assert_eq!(all_chosen(&queues(true, &banks, &[]))[2], (1..401).collect::<Vec<usize>>());
}
