//! See `hallway_fuzz::upgrade`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hallway_fuzz::upgrade(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run me with: fuzz/run upgrade");
}
