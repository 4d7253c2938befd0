//! See `hallway_fuzz::envelope`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hallway_fuzz::envelope(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run me with: fuzz/run envelope");
}
