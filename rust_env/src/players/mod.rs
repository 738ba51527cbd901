//! Players that decide from a full observation.

mod mlp;
pub mod network;
mod network_file;
mod network_player;

pub use mlp::Scratch;
pub use network_file::NetworkError;
pub use network_player::NetworkPlayer;
