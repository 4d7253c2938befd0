//! The bodies of the fuzz targets, one a layer, as plain functions: libFuzzer calls them with
//! inputs of its own, and tests/replay.rs with those of the corpora, on any toolchain.
//!
//! Each function panics where the server breaks a promise; README.md says which promises.

mod envelope;
mod frame;
mod input;
mod oracle;
mod peer;
mod server;
mod stream;
mod upgrade;
mod watch;

pub use envelope::envelope;
pub use frame::frame;
pub use peer::peer;
pub use server::server;
pub use upgrade::upgrade;

/// Counts the memory that the server holds.
#[global_allocator]
static ALLOCATOR: testkit::heap::Counting = testkit::heap::Counting;
