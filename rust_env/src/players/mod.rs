//! Players: what decides for a bank with the bank's whole observation in view.

mod mlp;
pub mod network;
mod network_file;
mod network_player;

pub use mlp::Scratch;
pub use network_file::NetworkError;
pub use network_player::NetworkPlayer;
