//! See `hallway_fuzz::peer`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hallway_fuzz::peer(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run me with: fuzz/run peer");
}
