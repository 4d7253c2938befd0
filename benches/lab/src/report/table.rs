//! The table for people.

use super::figure::Unit;
use super::summary::{Row, Spread, Summary};
use crate::machine::Description;

/// Width of a figure's name, of a value and of a ratio.
const NAME: usize = 34;
const VALUE: usize = 28;
const RATIO: usize = 24;

/// What all the figures have in common.
pub fn print_heading(
    command: &str,
    instrument: &str,
    machine: &Description,
    versions: &[(String, String)],
) {
    let Description { cpu, cores, kernel, memory_mib, descriptors } = machine;
    println!("command     {command}");
    println!(
        "machine     {cpu}, {cores} cores, {memory_mib} MiB, {kernel}, {descriptors} descriptors"
    );
    println!("instrument  {instrument}");
    for (server, version) in versions {
        println!("server      {server}: {version}");
    }
}

/// A step's figures: medians with the least and the most, and ratios to the reference's.
pub fn print_summary(summary: &Summary) {
    println!("\n{}: {}\n", summary.scenario, summary.step);
    print!("{:NAME$}", "");
    summary.servers.iter().for_each(|server| print!("{server:>VALUE$}"));
    for (place, server) in summary.servers.iter().enumerate() {
        if let Some(reference) = summary.reference.filter(|reference| *reference != place) {
            print!("{:>RATIO$}", format!("{server} / {}", summary.servers[reference]));
        }
    }
    println!();
    summary.rows.iter().for_each(print_row);
    summary.notes.iter().for_each(|note| println!("  ! {note}"));
}

fn print_row(row: &Row) {
    print!("{:NAME$}", row.name);
    row.spreads.iter().for_each(|spread| print!("{:>VALUE$}", value(row.unit, *spread)));
    // A share of nothing, or of a count of mishaps, says nothing.
    if row.ratios.iter().any(Option::is_some) && row.unit != Unit::Percent {
        row.ratios.iter().flatten().for_each(|spread| print!("{:>RATIO$}", ratio(spread)));
    }
    println!();
}

fn value(unit: Unit, spread: Option<Spread>) -> String {
    let Some(Spread { median, least, most }) = spread else { return "-".into() };
    if least == most {
        return unit.write(median);
    }
    unit.write_spread(median, least, most)
}

fn ratio(Spread { median, least, most }: &Spread) -> String {
    format!("{median:.2} ({least:.2} to {most:.2})")
}
