//! Multilateral sets where payments may bypass blocked ones.

use super::queues::Queues;
use super::repair::Repair;
use super::search::{Goal, MAX_SEARCHED, Search};
use crate::units::Cents;

/// Queued payments up to which a search follows whatever else is found.
///
/// In longer queues it would take most of the time, so it waits until nothing else settles.
pub const LONG_QUEUES: usize = 256;

/// Maximum number of passes that rule out payments.
const MAX_PASSES: usize = 16;

/// Search for a multilateral set; contains only scratch buffers.
///
/// It rules out payments that no receipts can cover, and takes the payments of banks that are connected by the
/// others one network at a time. Of each network, the largest of three sets settles: the one that respects queue
/// order, the one that a repair finds, and the one that a search finds in a small network.
#[derive(Clone, Debug, Default)]
pub struct Bypass {
    /// Whether each payment may settle in some set.
    is_possible: Vec<bool>,
    in_order: Vec<bool>,
    repaired: Vec<bool>,
    receipts: Vec<Cents>,
    /// The network of each bank, as one of its banks.
    networks: Vec<usize>,
    /// Possible payments: the network, the sender and the index.
    payments: Vec<[usize; 3]>,
    repair: Repair,
}

impl Bypass {
    /// Replaces the set in queue order by one of at least its value.
    pub fn improve(&mut self, queues: &Queues, search: &mut Search, chosen: &mut Vec<usize>) {
        let payments = queues.payments.len();
        if chosen.len() == payments || payments > LONG_QUEUES && !chosen.is_empty() {
            return;
        }
        self.in_order.clear();
        self.in_order.resize(payments, false);
        chosen.drain(..).for_each(|index| self.in_order[index] = true);
        self.rule_out(queues);
        self.repaired.clone_from(&self.is_possible);
        self.repair.reduce(queues, &mut self.repaired);
        self.connect(queues);
        for network in self.payments.chunk_by(|one, next| one[0] == next[0]) {
            let value = |set: &[bool]| -> Cents {
                let members = network.iter().filter(|[.., index]| set[*index]);
                members.map(|[.., index]| queues.payments[*index].amount).sum()
            };
            let is_repaired_larger = value(&self.repaired) > value(&self.in_order);
            let incumbent = if is_repaired_larger { &self.repaired } else { &self.in_order };
            if network.len() <= MAX_SEARCHED {
                search.clear();
                network.iter().for_each(|[_, bank, index]| search.push(queues, *bank, *index, incumbent[*index]));
                search.find(Goal::Multilateral, chosen);
            } else {
                chosen.extend(network.iter().map(|[.., index]| *index).filter(|index| incumbent[*index]));
            }
        }
        chosen.sort_unstable();
    }

    /// Rules out payments above the capacity and all possible receipts of their bank.
    ///
    /// Every pass uses the receipts before it, so the order of the banks does not matter.
    fn rule_out(&mut self, queues: &Queues) {
        self.is_possible.clear();
        self.is_possible.resize(queues.payments.len(), true);
        self.receipts.clear();
        self.receipts.resize(queues.banks(), Cents::ZERO);
        for payment in &queues.payments {
            self.receipts[usize::from(payment.receiver)] += payment.amount;
        }
        for _ in 0..MAX_PASSES {
            self.payments.clear();
            for bank in 0..queues.banks() {
                let (capacity, receipts) = (queues.capacity[bank], self.receipts[bank]);
                let impossible = queues
                    .queue(bank)
                    .filter(|index| self.is_possible[*index] && queues.payments[*index].amount - receipts > capacity);
                self.payments.extend(impossible.map(|index| [bank, bank, index]));
            }
            if self.payments.is_empty() {
                return;
            }
            for [.., index] in &self.payments {
                let payment = queues.payments[*index];
                self.is_possible[*index] = false;
                self.receipts[usize::from(payment.receiver)] -= payment.amount;
            }
        }
    }

    /// Sets `payments` to the possible ones, sorted by network.
    fn connect(&mut self, queues: &Queues) {
        self.networks.clear();
        self.networks.extend(0..queues.banks());
        self.payments.clear();
        for bank in 0..queues.banks() {
            for index in queues.queue(bank) {
                if self.is_possible[index] {
                    let (one, other) = (self.network(bank), self.network(usize::from(queues.payments[index].receiver)));
                    self.networks[one] = other;
                    self.payments.push([bank, bank, index]);
                }
            }
        }
        for position in 0..self.payments.len() {
            self.payments[position][0] = self.network(self.payments[position][1]);
        }
        self.payments.sort_unstable();
    }

    fn network(&mut self, mut bank: usize) -> usize {
        while self.networks[bank] != bank {
            self.networks[bank] = self.networks[self.networks[bank]];
            bank = self.networks[bank];
        }
        bank
    }
}
