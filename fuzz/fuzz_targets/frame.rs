//! See `hallway_fuzz::frame`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hallway_fuzz::frame(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run me with: fuzz/run frame");
}
