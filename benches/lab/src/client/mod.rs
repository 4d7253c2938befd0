//! The client's side of WebSocket, no more of it than a load needs.

mod connection;
pub mod frame;
mod load;
mod schedule;
mod stamp;
mod target;

pub use connection::End;
pub use load::{Join, Load, Waiting};
pub use schedule::{Nanos, SECOND, Schedule};
pub use stamp::{Finder, STAMP_BYTES, Stamp};
pub use target::Target;
