//! Declares the event enums and keeps their documentation as data.

use crate::units::{BankId, Cents, PaymentId, RailId, Tick};

/// One event type of the schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventType {
    /// Value of `type`.
    pub name: String,
    /// When the event occurs.
    pub doc: &'static str,
    /// Its keys beside `tick` and `type`, in order.
    pub keys: Vec<EventKey>,
}

/// One key of an event type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventKey {
    /// The key.
    pub name: &'static str,
    /// Type of its value.
    pub value: String,
    /// Its meaning.
    pub doc: &'static str,
}

/// A type that occurs in events.
pub trait EventValue {
    /// The type as it appears outside the engine, with its unit.
    fn describe() -> String;
}

macro_rules! event_values {
    ($($type:ty: $text:literal,)+) => {
        $(impl EventValue for $type {
            fn describe() -> String {
                $text.to_owned()
            }
        })+
    };
}

event_values! {
    BankId: "bank id",
    PaymentId: "payment id",
    RailId: "rail id",
    Cents: "cents",
    Tick: "tick",
    u8: "integer",
    u32: "integer",
    f64: "number",
    bool: "boolean",
    &'static str: "string",
}

impl<T: EventValue> EventValue for Option<T> {
    fn describe() -> String {
        format!("{} or null", T::describe())
    }
}

/// Docs of common keys; a doc beside the key replaces it.
const COMMON_KEYS: [(&str, &str); 13] = [
    ("payment", "The payment."),
    ("parent", "The payment that this one is a part of."),
    ("sender", "Paying bank."),
    ("receiver", "Receiving bank."),
    ("amount", "Amount of the payment."),
    ("arrival_tick", "Tick in which the order arrived."),
    ("deadline_tick", "Last tick on time."),
    ("urgency", "Priority including the escalation near the deadline."),
    ("rail", "Rail of the payment."),
    ("bank", "The bank."),
    ("collateral_credit", "Credit that the collateral adds."),
    ("fee", "Split fee."),
    ("day", "The day, from 0."),
];

/// The doc beside a key, or that of `COMMON_KEYS`.
pub(crate) fn key_doc(key: &str, doc: &'static str) -> &'static str {
    let common = COMMON_KEYS.iter().find(|(name, _)| *name == key).map_or("", |(_, doc)| doc);
    if doc.is_empty() { common } else { doc }
}

/// The name that serde's `snake_case` gives to a variant.
pub(crate) fn snake_case(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// Declares the enum of events and derives `Event::types` from its documentation.
macro_rules! event_schema {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident $({
            $($(#[doc = $key_doc:literal])* $key:ident: $value:ty),+ $(,)?
        })?,)+
    }) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[doc = $doc])+ $variant $({ $($(#[doc = $key_doc])* $key: $value),+ })?,)+
        }

        impl $name {
            /// Every event type and its keys, in the order of declaration.
            pub fn types() -> Vec<super::schema::EventType> {
                vec![$(super::schema::EventType {
                    name: super::schema::snake_case(stringify!($variant)),
                    doc: concat!($($doc),+).trim(),
                    keys: vec![$($(super::schema::EventKey {
                        name: stringify!($key),
                        value: <$value as super::schema::EventValue>::describe(),
                        doc: super::schema::key_doc(stringify!($key), concat!("", $($key_doc),*).trim()),
                    }),+)?],
                }),+]
            }
        }
    };
}

/// Declares an enum without data whose variants are the allowed values of a key.
macro_rules! string_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[doc = $doc:literal])+ $variant:ident,)+ }) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl super::schema::EventValue for $name {
            fn describe() -> String {
                let values = [$(super::schema::snake_case(stringify!($variant))),+];
                format!("one of {}", values.join(", "))
            }
        }
    };
}

pub(crate) use {event_schema, string_enum};
