//! Settlement of the released payments in the central queues.

mod bypass;
mod gross;
mod heads;
mod net;
mod netting;
mod offset;
mod queues;
mod repair;
mod search;

pub use offset::Offsets;
pub use queues::{Queued, Queues};

use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::scenario::{LsmConfig, QueueDiscipline};
use crate::system_setup::Settlement;
use crate::units::{Cents, RailId};
use gross::Gross;
use heads::Heads;
use net::Net;
use std::cell::RefCell;

/// Settlement of all rails; contains only scratch buffers.
#[derive(Clone, Debug, Default)]
struct Settler {
    gross: Gross,
    net: Net,
    heads: Heads,
    touched: Vec<usize>,
    offsets: Offsets,
    queues: Queues,
    chosen: Vec<usize>,
    payments: Vec<Payment>,
}

thread_local! {
    /// Scratch buffers of a thread, shared by all systems so they stay in cache.
    static SETTLER: RefCell<Settler> = RefCell::default();
}

/// Settles payments until none can; returns the number of settled payments.
pub fn settle(ledger: &mut Ledger) -> u32 {
    SETTLER.with_borrow_mut(|settler| settler.settle(ledger))
}

impl Settler {
    /// Settles the rails in turn, as they share the accounts of the banks.
    fn settle(&mut self, ledger: &mut Ledger) -> u32 {
        let rails = u8::try_from(ledger.setup.rails.len()).unwrap_or(u8::MAX);
        let mut settled = 0;
        loop {
            let in_this_round: u32 = (0..rails).map(|rail| self.settle_rail(ledger, RailId(rail))).sum();
            settled += in_this_round;
            if in_this_round == 0 || rails == 1 {
                return settled;
            }
        }
    }

    fn settle_rail(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        let lsm = match ledger.setup.rails[rail.index()].settlement {
            Settlement::DeferredNet { .. } => return self.net.settle(ledger, rail),
            Settlement::Gross(lsm) => lsm,
        };
        let settled = self.gross.settle(ledger, rail);
        if lsm == LsmConfig::default() {
            return settled;
        }
        let may_bypass = ledger.setup.rails[rail.index()].queue_discipline == QueueDiscipline::FifoBypass;
        settled + if may_bypass { self.offset_queues(ledger, rail, lsm) } else { self.offset_heads(ledger, rail, lsm) }
    }

    /// Offsets payments on rails where heads block; returns the number of settled payments.
    ///
    /// Entry and bilateral offsets are tried for the banks that changed, then a multilateral one. Gross settlement
    /// follows each offset.
    fn offset_heads(&mut self, ledger: &mut Ledger, rail: RailId, lsm: LsmConfig) -> u32 {
        self.touched.clear();
        self.touched.extend(0..ledger.banks.len());
        let mut settled = 0;
        loop {
            let mut offset = self.heads.offset(ledger, rail, lsm, &mut self.offsets, &mut self.touched);
            if offset == 0 {
                let multilateral = LsmConfig { entry_offset: false, bilateral: false, ..lsm };
                offset = self.offset_once(ledger, rail, multilateral);
                self.touched.extend(0..ledger.banks.len());
            }
            if offset == 0 {
                return settled;
            }
            settled += offset + self.gross.settle(ledger, rail);
            self.touched.extend(self.gross.touched());
        }
    }

    /// Offsets payments on rails with bypassing; returns the number of settled payments.
    fn offset_queues(&mut self, ledger: &mut Ledger, rail: RailId, lsm: LsmConfig) -> u32 {
        let mut settled = 0;
        loop {
            let offset = self.offset_once(ledger, rail, lsm);
            if offset == 0 {
                return settled;
            }
            settled += offset + self.gross.settle(ledger, rail);
        }
    }

    /// Settles the first possible type of offset; returns the number of settled payments.
    ///
    /// The multilateral one comes first, as it contains the others: an offset of two banks before it could use up
    /// the liquidity that a larger set needs.
    fn offset_once(&mut self, ledger: &mut Ledger, rail: RailId, lsm: LsmConfig) -> u32 {
        let Self { offsets, queues, chosen, payments, .. } = self;
        if lsm == LsmConfig::default() || !fill(queues, ledger, rail) {
            return 0;
        }
        let mechanism = if lsm.multilateral && offsets.multilateral(queues, chosen) {
            Mechanism::Multilateral
        } else if lsm.entry_offset && offsets.entry(queues, chosen) {
            Mechanism::EntryOffset
        } else if lsm.bilateral && offsets.bilateral(queues, chosen) {
            Mechanism::Bilateral
        } else {
            return 0;
        };
        remove_chosen(ledger, rail, queues, chosen, payments);
        ledger.settle_together(payments, mechanism);
        u32::try_from(payments.len()).unwrap_or(u32::MAX)
    }
}

/// Copies the central queues of a rail to `queues`.
///
/// Returns false if fewer than two banks have a queue.
fn fill(queues: &mut Queues, ledger: &Ledger, rail: RailId) -> bool {
    queues.clear();
    queues.may_bypass = ledger.setup.rails[rail.index()].queue_discipline == QueueDiscipline::FifoBypass;
    let mut waiting = 0;
    for (index, bank) in ledger.banks.iter().enumerate() {
        let queue = &bank.central[rail.index()];
        waiting += u32::from(!queue.is_empty());
        let payments = queue.iter().map(|payment| Queued {
            receiver: payment.receiver.0,
            amount: payment.amount,
            is_new: payment.released == ledger.now,
        });
        let limits = &ledger.setup.banks[index].limits.bilateral;
        let headroom =
            (0..limits.len()).map(|other| ledger.bilateral_headroom(index, other).unwrap_or(Cents(i64::MAX)));
        queues.push_bank(payments, bank.capacity(), headroom);
    }
    waiting > 1
}

fn remove_chosen(ledger: &mut Ledger, rail: RailId, queues: &Queues, chosen: &[usize], payments: &mut Vec<Payment>) {
    payments.clear();
    let mut chosen = chosen.iter().copied().peekable();
    for (index, bank) in ledger.banks.iter_mut().enumerate() {
        let queue = &mut bank.central[rail.index()];
        let mut position = queues.starts[index];
        let end = position + queue.len();
        if chosen.peek().is_none_or(|next| *next >= end) {
            continue;
        }
        queue.retain(|payment| {
            let is_chosen = chosen.next_if_eq(&position).is_some();
            position += 1;
            if is_chosen {
                payments.push(*payment);
            }
            !is_chosen
        });
    }
}
