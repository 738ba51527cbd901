//! Default values of scenario fields.

pub(super) fn one() -> i64 {
    1
}

pub(super) fn two() -> i64 {
    2
}

pub(super) fn five() -> i64 {
    5
}

pub(super) fn whole() -> f64 {
    1.0
}

pub(super) fn half() -> f64 {
    0.5
}

pub(super) fn yes() -> bool {
    true
}
