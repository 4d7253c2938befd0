//! The process on its machine: as which user it runs, what it may call, what it holds, and whom
//! it tells how it is. Nothing here knows a connection.

#[cfg(feature = "confine")]
mod confine;
mod files;
pub mod logger;
mod resources;
mod stderr;
mod supervisor;
mod user;

#[cfg(feature = "confine")]
pub use confine::confine;
pub use files::read_text;
pub use resources::{memory_limit, raise_descriptor_limit, resident_bytes};
pub(crate) use supervisor::Supervisor;
pub use user::{Identity, User, drop_privileges};
