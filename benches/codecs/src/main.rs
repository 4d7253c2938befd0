//! The frame handler beside others: how long each takes for a message, and how many instructions.
//!
//!     cargo run --release --manifest-path benches/codecs/Cargo.toml
//!     cargo run --release --manifest-path benches/codecs/Cargo.toml -- --instructions
//!
//! Instructions are counted by Valgrind (Debian: `valgrind`), in a process for each figure; what
//! the start of the process costs is taken off by counting twice as many messages as well.

mod codecs;
mod shapes;
mod stream;

use std::env;
use std::process::Command;
use std::time::Instant;

use codecs::{CODECS, Codec};
use shapes::{SHAPES, Shape};

/// Runs of a timed path, of which the fastest counts: what a machine adds to it is noise.
const RUNS: usize = 7;

/// Of the messages that are timed, the part that is counted: Valgrind is slow and has no noise.
const COUNTED_PART: u32 = 20;

/// Valgrind counts each byte that `rep movsb` copies as an instruction, so glibc must not use it.
const PLAIN_COPIES: &str = "glibc.cpu.x86_rep_movsb_threshold=1000000000";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => report("nanoseconds a message, the fastest of 7 runs", nanoseconds),
        ["--instructions"] => report("instructions a message", instructions),
        [task, shape, codec, count] => {
            let count = count.parse().expect("a number of messages");
            run(
                task,
                named(SHAPES, shape, |shape| shape.name),
                named(CODECS, codec, |codec| codec.name),
                count,
            );
        }
        _ => panic!("usage: codecs [--instructions]"),
    }
}

fn named<'t, T>(table: &'t [T], name: &str, name_of: fn(&T) -> &str) -> &'t T {
    table.iter().find(|entry| name_of(entry) == name).expect("a known name")
}

fn run(task: &str, shape: &Shape, codec: &Codec, count: u32) {
    match task {
        "decode" => (codec.decode)(shape.stream(), count),
        _ => assert_ne!((codec.encode)(&shape.text(), count), 0, "it was written"),
    }
}

fn report(unit: &str, measure: fn(&str, &Shape, &Codec) -> f64) {
    for task in ["decode", "encode"] {
        print!("{task:<26}");
        CODECS.iter().for_each(|codec| print!("{:>16}", codec.name));
        println!("   {unit}");
        for shape in SHAPES.iter().filter(|shape| task == "decode" || shape.is_written()) {
            print!("{:<26}", shape.name);
            for codec in CODECS {
                print!("{:>16.0}", measure(task, shape, codec));
            }
            println!();
        }
        println!();
    }
}

fn nanoseconds(task: &str, shape: &Shape, codec: &Codec) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        run(task, shape, codec, shape.count);
        start.elapsed().as_nanos() as f64 / f64::from(shape.count)
    });
    times.fold(f64::INFINITY, f64::min)
}

fn instructions(task: &str, shape: &Shape, codec: &Codec) -> f64 {
    let count = shape.count / COUNTED_PART;
    let of = |count| collected(task, shape, codec, count);
    (of(2 * count) - of(count)) / f64::from(count)
}

/// Instructions that a process executes for `count` messages.
fn collected(task: &str, shape: &Shape, codec: &Codec, count: u32) -> f64 {
    let program = env::current_exe().expect("this program");
    let output = Command::new("valgrind")
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([task, shape.name, codec.name, &count.to_string()])
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.contains("Collected :")).expect("a count");
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}
