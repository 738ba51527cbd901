//! Checks of the settlement rules on the event log of a tick.
//!
//! Every settlement is feasible, and at the end of the tick a search over sets of payments finds none that could
//! still settle.

use crate::strategies::Snapshot;
use paysim_engine::events::{Event, Mechanism};
use paysim_engine::ledger::Ledger;
use paysim_engine::scenario::{LsmConfig, QueueDiscipline};
use paysim_engine::system_setup::Settlement;
use paysim_engine::units::{Cents, PaymentId, RailId, Tick};
use std::collections::HashMap;

/// Maximum number of sets in a search.
const MAX_SETS: usize = 3_000;

#[derive(Clone, Copy, Debug)]
struct Transfer {
    rail: RailId,
    sender: usize,
    receiver: usize,
    amount: Cents,
}

/// Liquidity and limits of all banks during the settlements of a tick.
struct Accounts {
    /// Balance without deferred receipts.
    usable: Vec<Cents>,
    /// Part of the usable balance that the log does not determine.
    uncertain: Vec<Cents>,
    deferred: Vec<Cents>,
    credit: Vec<Cents>,
    multilateral: Vec<Option<Cents>>,
    bilateral: Vec<Vec<Option<Cents>>>,
}

impl Accounts {
    fn new(ledger: &Ledger, before: &Snapshot) -> Self {
        let accounts = || before.accounts.iter();
        Self {
            usable: accounts().map(|account| account.balance).collect(),
            uncertain: vec![Cents::ZERO; ledger.banks.len()],
            deferred: vec![Cents::ZERO; ledger.banks.len()],
            credit: ledger.banks.iter().map(|bank| bank.credit_limit + bank.collateral_credit).collect(),
            multilateral: accounts().map(|account| account.multilateral_headroom).collect(),
            bilateral: accounts().map(|account| account.bilateral_headroom.clone()).collect(),
        }
    }

    /// Maximum net amount that a bank can pay, without uncertain receipts.
    fn capacity(&self, bank: usize) -> Cents {
        let liquidity = self.usable[bank] - self.uncertain[bank] + self.credit[bank];
        self.multilateral[bank].map_or(liquidity, |headroom| headroom.min(liquidity)).max(Cents::ZERO)
    }

    /// Whether the transfers can settle together.
    fn allow(&self, transfers: &[Transfer]) -> bool {
        let banks = self.usable.len();
        let paid = |from: usize, to: usize| -> Cents {
            let selected = transfers.iter().filter(|transfer| transfer.sender == from && transfer.receiver == to);
            selected.map(|transfer| transfer.amount).sum()
        };
        (0..banks).all(|bank| {
            let net = |other: usize| paid(bank, other) - paid(other, bank);
            let keeps_limit = |other: usize| {
                self.bilateral[bank][other].is_none_or(|headroom| net(other) <= headroom.max(Cents::ZERO))
            };
            (0..banks).map(net).sum::<Cents>() <= self.capacity(bank) && (0..banks).all(keeps_limit)
        })
    }

    /// Settles a group of simultaneous transfers.
    fn settle(&mut self, group: &[Transfer], is_deferred: bool, mechanism: Mechanism) {
        let mut received = vec![Cents::ZERO; self.usable.len()];
        let mut paid = received.clone();
        for Transfer { sender, receiver, amount, .. } in group.iter().copied() {
            paid[sender] += amount;
            received[receiver] += amount;
            for (bank, other, change) in [(sender, receiver, -amount), (receiver, sender, amount)] {
                self.multilateral[bank] = self.multilateral[bank].map(|headroom| headroom + change);
                self.bilateral[bank][other] = self.bilateral[bank][other].map(|headroom| headroom + change);
            }
        }
        for bank in 0..self.usable.len() {
            let used = if is_deferred { received[bank].min(paid[bank]) } else { received[bank] };
            self.usable[bank] += used - paid[bank];
            self.deferred[bank] += received[bank] - used;
            // The log does not separate two consecutive offsets; as one, they would use more receipts.
            if is_deferred && mechanism != Mechanism::Gross {
                self.uncertain[bank] += used;
            }
        }
    }
}

/// Checks a tick with these events; `ledger` is the state at its end.
pub fn check_tick(ledger: &Ledger, tick: Tick, before: &Snapshot, events: &[Event]) {
    let accounts = replay(ledger, before, events);
    for (index, rail) in ledger.setup.rails.iter().enumerate() {
        match rail.settlement {
            Settlement::DeferredNet { .. } => assert!(!ended_cycle_can_settle(ledger, &accounts, index)),
            Settlement::Gross(lsm) => check_gross_rail(ledger, &accounts, index, lsm, tick),
        }
    }
}

/// Replays the settlements of a tick and checks that each is feasible.
fn replay(ledger: &Ledger, before: &Snapshot, events: &[Event]) -> Accounts {
    let mut rails: HashMap<PaymentId, RailId> = before.rails.clone();
    let mut accounts = Accounts::new(ledger, before);
    let mut group: Vec<Transfer> = Vec::new();
    let mut mechanism = Mechanism::Gross;
    for event in events {
        match *event {
            Event::Release { payment, parent: Some(parent), .. } => {
                rails.insert(payment, rails[&parent]);
            }
            Event::Settlement { mechanism: Mechanism::Close, .. } => break,
            Event::Settlement { payment, sender, receiver, amount, mechanism: next, .. } => {
                let rail = rails[&payment];
                let is_same = next != Mechanism::Gross
                    && next == mechanism
                    && group.first().is_some_and(|transfer| transfer.rail == rail);
                if !is_same {
                    settle_group(ledger, &mut accounts, &mut group, mechanism);
                }
                mechanism = next;
                group.push(Transfer { rail, sender: sender.index(), receiver: receiver.index(), amount });
            }
            _ => {}
        }
    }
    settle_group(ledger, &mut accounts, &mut group, mechanism);
    accounts
}

fn settle_group(ledger: &Ledger, accounts: &mut Accounts, group: &mut Vec<Transfer>, mechanism: Mechanism) {
    let Some(first) = group.first() else { return };
    let is_deferred = ledger.setup.rails[first.rail.index()].deferred_crediting;
    let uncertain = std::mem::replace(&mut accounts.uncertain, vec![Cents::ZERO; ledger.banks.len()]);
    assert!(accounts.allow(group), "{mechanism:?} {group:?} is infeasible");
    accounts.uncertain = uncertain;
    accounts.settle(group, is_deferred, mechanism);
    group.clear();
}

struct Waiting {
    transfer: Transfer,
    is_new: bool,
}

fn waiting(ledger: &Ledger, rail: usize, tick: Tick) -> Vec<Vec<Waiting>> {
    let queue = |bank: &paysim_engine::bank::Bank| {
        let payments = bank.central[rail].iter();
        let waiting = payments.map(|payment| Waiting {
            is_new: payment.released == tick,
            transfer: Transfer {
                rail: payment.rail,
                sender: payment.sender.index(),
                receiver: payment.receiver.index(),
                amount: payment.amount,
            },
        });
        waiting.collect()
    };
    ledger.banks.iter().map(queue).collect()
}

fn ended_cycle_can_settle(ledger: &Ledger, accounts: &Accounts, rail: usize) -> bool {
    let queues = waiting(ledger, rail, Tick(0));
    let ended = queues.iter().zip(&ledger.banks).flat_map(|(queue, bank)| &queue[..bank.in_ended_cycle[rail] as usize]);
    let transfers: Vec<Transfer> = ended.map(|waiting| waiting.transfer).collect();
    !transfers.is_empty() && accounts.allow(&transfers)
}

fn check_gross_rail(ledger: &Ledger, accounts: &Accounts, rail: usize, lsm: LsmConfig, tick: Tick) {
    let queues = waiting(ledger, rail, tick);
    let may_bypass = ledger.setup.rails[rail].queue_discipline == QueueDiscipline::FifoBypass;
    for queue in &queues {
        let heads = queue.iter().take(if may_bypass { usize::MAX } else { 1 });
        heads.for_each(|head| assert!(!accounts.allow(&[head.transfer]), "{head:?} can settle", head = head.transfer));
    }
    for (one, other) in (0..queues.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
        let sides = [offsettable(&queues, one, other, may_bypass), offsettable(&queues, other, one, may_bypass)];
        for first in 1..=sides[0].len() {
            for second in 1..=sides[1].len() {
                let both = sides[0][..first].iter().chain(&sides[1][..second]);
                let transfers: Vec<Transfer> = both.map(|waiting| waiting.transfer).collect();
                let is_entry =
                    lsm.entry_offset && (first == 1 && sides[0][0].is_new || second == 1 && sides[1][0].is_new);
                let is_tried = lsm.bilateral || is_entry;
                assert!(!is_tried || !accounts.allow(&transfers), "offset of {transfers:?} is missing");
            }
        }
    }
    if lsm.multilateral {
        check_multilateral(&queues, accounts);
    }
}

/// The payments of one bank to another that queue order allows in an offset.
fn offsettable(queues: &[Vec<Waiting>], from: usize, to: usize, may_bypass: bool) -> Vec<&Waiting> {
    let is_for = |waiting: &&Waiting| waiting.transfer.receiver == to;
    if may_bypass {
        queues[from].iter().filter(is_for).collect()
    } else {
        queues[from].iter().take_while(is_for).collect()
    }
}

/// Checks that no set of first payments of each queue can settle.
fn check_multilateral(queues: &[Vec<Waiting>], accounts: &Accounts) {
    let sets: usize = queues.iter().map(|queue| queue.len() + 1).product();
    for set in (1..sets).take(MAX_SETS) {
        let mut rest = set;
        let mut transfers = Vec::new();
        for queue in queues {
            let count = rest % (queue.len() + 1);
            rest /= queue.len() + 1;
            transfers.extend(queue[..count].iter().map(|waiting| waiting.transfer));
        }
        assert!(!accounts.allow(&transfers), "{transfers:?} can settle together");
    }
}

/// Checks that no payment took a balance below its credit limit.
pub fn check_limits(ledger: &Ledger, before: &Snapshot) {
    for (index, (bank, account)) in ledger.banks.iter().zip(&before.accounts).enumerate() {
        // The pool is returned at the end of a day.
        let returned_pool = if bank.committed == Cents::ZERO { account.committed } else { Cents::ZERO };
        let lowest = account.balance.min(-bank.credit());
        let balance = bank.balance + returned_pool;
        assert!(balance >= lowest, "bank {index}: {} < {}", balance.0, lowest.0);
    }
}
