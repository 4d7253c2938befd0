//! The table for people.

use super::figure::Unit;
use super::summary::{Spread, Summary};

/// Width of a figure's name, of a server's at least, and of a value.
const NAME: usize = 30;
const SERVER: usize = 8;
const VALUE: usize = 28;

/// A step's figures: medians with the least and the most, and ratios to the reference's.
pub fn table(summary: &Summary) -> String {
    let mut lines =
        vec![String::new(), format!("{}: {}", summary.scenario, summary.step), String::new()];
    let widest = summary.servers.iter().map(|server| server.chars().count()).max();
    let width = widest.unwrap_or(0).max(SERVER);
    let reference = summary.reference.map_or(String::new(), |place| {
        format!("    to {}'s, round by round", summary.servers[place])
    });
    lines.push(format!(
        "{:NAME$}  {:width$}  {:VALUE$}{reference}",
        "", "", "median (least to most)"
    ));
    for row in &summary.rows {
        let mut name = row.name.as_str();
        for (place, server) in summary.servers.iter().enumerate() {
            let Some(spread) = row.spreads[place] else { continue };
            let value = value(row.unit, spread);
            let ratio = row.ratios[place].filter(|_| is_compared(row.unit)).map(ratio);
            let ratio = ratio.map_or(String::new(), |ratio| format!("    {ratio}"));
            let line = format!("{name:NAME$}  {server:width$}  {value:VALUE$}{ratio}");
            lines.push(line.trim_end().to_owned());
            name = "";
        }
    }
    for (note, servers) in &summary.notes {
        lines.push(format!("! {}: {note}", servers.join(", ")));
    }
    lines.join("\n") + "\n"
}

/// A share of a share, or of a count of mishaps, says nothing.
fn is_compared(unit: Unit) -> bool {
    !matches!(unit, Unit::Percent | Unit::Count)
}

fn value(unit: Unit, Spread { median, least, most }: Spread) -> String {
    if least == most {
        return unit.write(median);
    }
    unit.write_spread(median, least, most)
}

fn ratio(Spread { median, least, most }: Spread) -> String {
    format!("{median:.2} ({least:.2} to {most:.2})")
}

#[cfg(test)]
mod tests {
    use super::super::figure::Measurement;
    use super::super::summary::Run;
    use super::*;

    #[test]
    fn a_figure_stands_over_its_servers_and_a_note_names_them() {
        let run = |server: &str, round, value| {
            let mut measurement = Measurement::default();
            measurement.add("latency, p50", Unit::Nanos, value);
            measurement.add("load busy", Unit::Percent, 50.0);
            measurement.notes.push("late".into());
            Run { server: server.into(), round, measurement }
        };
        let runs = [
            run("hallway", 0, 1_100.0),
            run("floor", 0, 1_000.0),
            run("hallway", 1, 1_200.0),
            run("floor", 1, 1_000.0),
        ];
        let servers = ["hallway".to_owned(), "floor".to_owned()];
        let table = table(&Summary::new("fanout", "small".into(), &servers, &runs));
        let lines: Vec<Vec<&str>> =
            table.lines().skip(4).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[0].join(" "),
            "latency, p50 hallway 1.15 µs (1.10 to 1.20) 1.15 (1.10 to 1.20)"
        );
        assert_eq!(lines[1].join(" "), "floor 1.00 µs");
        assert_eq!(lines[2].join(" "), "load busy hallway 50.0 %");
        assert_eq!(lines[4].join(" "), "! hallway, floor: late");
    }
}
