//! HTTP/1 (RFC 9110 and 9112): the head of a request, and a whole response.
//!
//! Knows no route and no WebSocket. There is one request per connection: each response but the
//! 101 of [`ws`](crate::ws) says `Connection: close`.

mod request;
mod response;

pub use request::{Request, head_len, parse, query_pairs};
pub use response::{REFUSAL_STATUSES, Response, method_not_allowed};
