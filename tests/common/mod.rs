//! What the tests of the real program share.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod program;
