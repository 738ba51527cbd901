//! Speed of an offset of 100 banks, by the number of queued payments.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use paysim_engine::settlement::{Offsets, Queued, Queues};
use paysim_engine::units::Cents;
use std::hint::black_box;

const BANKS: u64 = 100;

/// Random payments; a bank can pay about one, so most are removed again.
fn queues(payments: u64, limits: usize) -> Queues {
    let mut queues = Queues { may_bypass: true, ..Queues::default() };
    // A linear congruential generator.
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for bank in 0..BANKS {
        let queue = (0..payments / BANKS).map(|_| Queued {
            receiver: u16::try_from((bank + 1 + draw(BANKS - 1)) % BANKS).unwrap_or(0),
            amount: Cents(1 + i64::try_from(draw(1_000_000)).unwrap_or(0)),
            is_new: draw(10) == 0,
        });
        queues.push_bank(queue, Cents(500_000), vec![Cents(i64::MAX); limits]);
    }
    queues
}

fn offsets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offsets");
    for payments in [1_000, 10_000, 100_000] {
        group.throughput(Throughput::Elements(payments));
        let (unlimited, limited) = (queues(payments, 0), queues(payments, 100));
        let (mut offsets, mut chosen) = (Offsets::default(), Vec::new());
        group.bench_function(format!("entry/{payments}"), |bencher| {
            bencher.iter(|| offsets.entry(black_box(&unlimited), &mut chosen));
        });
        group.bench_function(format!("bilateral/{payments}"), |bencher| {
            bencher.iter(|| offsets.bilateral(black_box(&unlimited), &mut chosen));
        });
        group.bench_function(format!("multilateral/{payments}"), |bencher| {
            bencher.iter(|| offsets.multilateral(black_box(&unlimited), &mut chosen));
        });
        group.bench_function(format!("multilateral with bilateral limits/{payments}"), |bencher| {
            bencher.iter(|| offsets.multilateral(black_box(&limited), &mut chosen));
        });
    }
    group.finish();
}

criterion_group!(benches, offsets);
criterion_main!(benches);
