//! Branch and bound for sets of payments that can settle together.
//!
//! The largest set is NP-hard (Güntzer, Jungnickel and Leclerc, European Journal of Operational Research 106, 1998),
//! so the numbers of payments and steps are limited.

use super::queues::Queues;
use crate::hash::fingerprint_words;
use crate::units::Cents;
use std::cmp::Reverse;

/// Maximum number of payments of a search.
pub const MAX_SEARCHED: usize = 64;

/// Maximum number of steps of a search: all sets of 9 payments.
const MAX_STEPS: usize = 1_024;

/// Index of the account without a limit, for pairs without a bilateral limit.
const UNLIMITED: u8 = 0;

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The largest value, then the largest number of payments, of all banks.
    Multilateral,
    /// The same, of two banks that both pay.
    Bilateral,
    /// The smallest number of payments, one of them new, then the largest value.
    ///
    /// Both of two banks pay.
    Entry,
}

/// A search over sets of at most [`MAX_SEARCHED`] payments; contains only scratch buffers.
///
/// It adds payments in descending order of value, then of their position in the queue. Payments with the same role
/// for different banks are added together or not at all, so that relabelling the banks relabels the result.
#[derive(Clone, Debug, Default)]
pub struct Search {
    candidates: Vec<Candidate>,
    accounts: Vec<Account>,
    /// Role of the bank of each account.
    ///
    /// It is a hash of its limits, its payments and the roles of their banks.
    roles: Vec<u64>,
    next_roles: Vec<u64>,
    /// End of each group of candidates that are added together.
    ends: Vec<usize>,
    is_entry: bool,
    /// Every solution has a member in each of these sets.
    required: [u64; 3],
    set: Set,
    best: Set,
    /// Number of accounts that are overdrawn.
    overdrawn: usize,
    /// Upper bound of the value of further payments.
    spendable: Cents,
    steps: usize,
}

/// A set of candidates, one bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Set {
    members: u64,
    value: Cents,
    count: usize,
}

/// A payment that may settle.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Index in the queued payments.
    index: usize,
    amount: Cents,
    /// Number of payments before it in its queue.
    position: usize,
    /// Role of its sender; 0 if the amount and position are unique.
    role: u64,
    /// Accounts of the bank and of the pair that it debits.
    debits: [u8; 2],
    /// Accounts of the bank and of the pair that it credits.
    credits: [u8; 2],
    is_new: bool,
    is_incumbent: bool,
}

/// What a bank can pay, to all banks or to another one.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    bank: usize,
    /// The other bank of a bilateral limit.
    other: Option<usize>,
    /// Limit less the net amount of the set; negative if overdrawn.
    headroom: Cents,
    /// Value of undecided payments from it.
    payments: Cents,
    /// Value of undecided payments to it.
    receipts: Cents,
}

impl Account {
    fn is_overdrawn(&self) -> bool {
        self.headroom < Cents::ZERO
    }

    fn can_be_covered(&self) -> bool {
        self.headroom + self.receipts >= Cents::ZERO
    }

    /// Maximum value of further payments of a bank.
    fn spendable(&self) -> Cents {
        if self.other.is_none() { self.payments.min(self.headroom + self.receipts) } else { Cents::ZERO }
    }
}

impl Search {
    /// Removes all payments.
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.accounts.clear();
        let unlimited = Account { other: Some(0), headroom: Cents(i64::MAX / 2), ..Account::default() };
        self.accounts.push(unlimited);
    }

    /// Adds a payment of `bank`.
    ///
    /// The incumbents together are a solution, or there are none.
    pub fn push(&mut self, queues: &Queues, bank: usize, index: usize, is_incumbent: bool) {
        let payment = queues.payments[index];
        let other = usize::from(payment.receiver);
        let [debits, credits] = [(bank, other), (other, bank)].map(|(bank, other)| {
            let limit = queues.bilateral_limit(bank, other).filter(|limit| *limit < Cents(i64::MAX));
            let of_pair = limit.map_or(UNLIMITED, |limit| self.account(bank, Some(other), limit));
            [self.account(bank, None, queues.capacity[bank]), of_pair]
        });
        for account in debits {
            self.accounts[usize::from(account)].payments += payment.amount;
        }
        for account in credits {
            self.accounts[usize::from(account)].receipts += payment.amount;
        }
        self.candidates.push(Candidate {
            index,
            amount: payment.amount,
            position: index - queues.starts[bank],
            role: 0,
            debits,
            credits,
            is_new: payment.is_new,
            is_incumbent,
        });
    }

    /// The account of a bank or a pair; a new one has this limit.
    fn account(&mut self, bank: usize, other: Option<usize>, limit: Cents) -> u8 {
        let is_it = |account: &Account| (account.bank, account.other) == (bank, other);
        let position = self.accounts[1..].iter().position(is_it).map(|position| position + 1);
        let index = position.unwrap_or_else(|| {
            self.accounts.push(Account { bank, other, headroom: limit, ..Account::default() });
            self.accounts.len() - 1
        });
        u8::try_from(index).unwrap_or(UNLIMITED)
    }

    /// Adds the best set that it finds to `chosen`.
    ///
    /// Without a solution it adds nothing.
    pub fn find(&mut self, goal: Goal, chosen: &mut Vec<usize>) -> bool {
        // Larger limits have no effect, and sums of limits and amounts could overflow.
        for account in &mut self.accounts[1..] {
            account.headroom = account.headroom.min(account.payments);
        }
        self.order();
        self.require(goal);
        (self.set, self.best, self.overdrawn) = (Set::default(), self.incumbent(), 0);
        self.spendable = self.accounts.iter().map(Account::spendable).sum();
        self.steps = MAX_STEPS;
        self.branch(0);
        let best = self.best.members;
        let members = self.candidates.iter().enumerate().filter(|(position, _)| best & 1 << position != 0);
        chosen.extend(members.map(|(_, candidate)| candidate.index));
        best != 0
    }

    /// Sorts and groups the candidates.
    fn order(&mut self) {
        let is_same = |one: &Candidate, next: &Candidate| {
            (one.amount, one.position, one.role) == (next.amount, next.position, next.role)
        };
        self.candidates.sort_unstable_by_key(|one| (Reverse(one.amount), one.position));
        if self.candidates.windows(2).any(|pair| is_same(&pair[0], &pair[1])) {
            self.find_roles();
            self.candidates.sort_unstable_by_key(|one| (Reverse(one.amount), one.position, one.role));
        }
        self.ends.clear();
        let mut end = 0;
        for group in self.candidates.chunk_by(is_same) {
            end += group.len();
            self.ends.push(end);
        }
    }

    /// Sets the roles of the candidates by colour refinement (Weisfeiler and Leman 1968).
    fn find_roles(&mut self) {
        self.roles.clear();
        self.roles.extend(self.accounts.iter().map(|account| hash([1, bits(account.headroom)])));
        for _ in 0..self.accounts.len() {
            self.next_roles.clear();
            self.next_roles.extend(self.roles.iter().map(|role| hash([*role])));
            for candidate in &self.candidates {
                let [debited, credited] = [candidate.debits, candidate.credits].map(|pair| pair.map(usize::from));
                let limits = [debited[1], credited[1]].map(|account| bits(self.accounts[account].headroom));
                let position = 2 * candidate.position as u64 + u64::from(candidate.is_new);
                let edge = hash([bits(candidate.amount), position, limits[0], limits[1]]);
                for (tag, to, from) in [(2, debited[0], credited[0]), (3, credited[0], debited[0])] {
                    let role = &mut self.next_roles[to];
                    *role = role.wrapping_add(hash([tag, edge, self.roles[from]]));
                }
            }
            std::mem::swap(&mut self.roles, &mut self.next_roles);
        }
        for candidate in &mut self.candidates {
            candidate.role = self.roles[usize::from(candidate.debits[0])];
        }
    }

    fn require(&mut self, goal: Goal) {
        self.is_entry = goal == Goal::Entry;
        self.required = [u64::MAX; 3];
        if goal == Goal::Multilateral {
            return;
        }
        let payer = self.candidates.first().map(|candidate| candidate.debits[0]);
        let set_of = |is_member: &dyn Fn(&Candidate) -> bool| {
            let members = self.candidates.iter().map(is_member).enumerate();
            members.fold(0, |set, (position, is_member)| set | u64::from(is_member) << position)
        };
        let of_payer = set_of(&|candidate| Some(candidate.debits[0]) == payer);
        let new = if self.is_entry { set_of(&|candidate| candidate.is_new) } else { u64::MAX };
        self.required = [of_payer, !of_payer, new];
    }

    fn incumbent(&self) -> Set {
        let mut set = Set::default();
        for (position, candidate) in self.candidates.iter().enumerate().filter(|(_, one)| one.is_incumbent) {
            set = set.with(position, candidate.amount);
        }
        set
    }

    /// Decides about the groups from `group` on.
    fn branch(&mut self, group: usize) {
        if self.overdrawn == 0 && self.required.iter().all(|set| self.set.members & set != 0) && self.is_better() {
            self.best = self.set;
        }
        if self.steps == 0 || group == self.ends.len() || !self.can_improve(group) {
            return;
        }
        self.steps -= 1;
        let set = self.set;
        for is_added in [true, false] {
            let range = self.start(group)..self.ends[group];
            if is_added {
                for position in range.clone() {
                    self.set = self.set.with(position, self.candidates[position].amount);
                }
            }
            range.clone().for_each(|position| self.decide(position, is_added, false));
            if range.clone().all(|position| self.can_be_covered(position)) {
                self.branch(group + 1);
            }
            range.for_each(|position| self.decide(position, is_added, true));
            self.set = set;
        }
    }

    fn start(&self, group: usize) -> usize {
        if group == 0 { 0 } else { self.ends[group - 1] }
    }

    fn is_better(&self) -> bool {
        let Set { value, count, .. } = self.best;
        if self.is_entry && count > 0 {
            (Reverse(self.set.count), self.set.value) > (Reverse(count), value)
        } else {
            (self.set.value, self.set.count) > (value, count)
        }
    }

    /// Whether further payments can lead to a better set.
    fn can_improve(&self, group: usize) -> bool {
        let Set { value, count, .. } = self.best;
        if self.is_entry {
            return count == 0 || self.set.count < count;
        }
        let remaining = self.candidates.len() - self.start(group);
        (self.set.value + self.spendable, self.set.count + remaining) > (value, count)
    }

    /// Whether later receipts can cover the overdrafts of the payment's accounts.
    fn can_be_covered(&self, position: usize) -> bool {
        let Candidate { debits, credits, .. } = self.candidates[position];
        [debits, credits].as_flattened().iter().all(|account| self.accounts[usize::from(*account)].can_be_covered())
    }

    /// Adds a payment or rules it out, or takes that decision back.
    fn decide(&mut self, position: usize, is_added: bool, is_undone: bool) {
        let Candidate { amount, debits, credits, .. } = self.candidates[position];
        let undecided = if is_undone { amount } else { -amount };
        let moved = if is_added { undecided } else { Cents::ZERO };
        for (accounts, is_debit) in [(debits, true), (credits, false)] {
            for index in accounts {
                let account = &mut self.accounts[usize::from(index)];
                self.spendable -= account.spendable();
                self.overdrawn -= usize::from(account.is_overdrawn());
                if is_debit {
                    account.payments += undecided;
                    account.headroom += moved;
                } else {
                    account.receipts += undecided;
                    account.headroom -= moved;
                }
                self.spendable += account.spendable();
                self.overdrawn += usize::from(account.is_overdrawn());
            }
        }
    }
}

impl Set {
    fn with(self, position: usize, amount: Cents) -> Self {
        Self { members: self.members | 1 << position, value: self.value + amount, count: self.count + 1 }
    }
}

fn hash<const N: usize>(words: [u64; N]) -> u64 {
    fingerprint_words(words.into_iter())
}

fn bits(amount: Cents) -> u64 {
    amount.0.cast_unsigned()
}
