//! See `hallway_fuzz::server`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hallway_fuzz::server(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run me with: fuzz/run server");
}
