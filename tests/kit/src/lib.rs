//! What the tests, the simulator, the fuzz targets and the benches share: the server without
//! sockets ([`Driver`]), what clients send and read ([`client`]), another
//! application than the chat ([`echo`]), how much memory is held ([`heap`]), and what a test says that
//! cannot run here ([`skip`]).

pub mod client;
mod driver;
pub mod echo;
pub mod heap;
mod shortcuts;
mod skip;

pub use driver::{Driver, Socket};
pub use shortcuts::Checked;
pub use skip::skip;

use hallway::clock::Now;

/// A time like any other, for tests that do not care.
pub const NOW: Now = Now { mono_ms: 1_000_000, unix_ms: 1_700_000_000_123, utc_offset_s: 0 };
