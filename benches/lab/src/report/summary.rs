//! Medians over rounds, and ratios pair by pair: round by round, since a machine that is slower for
//! a while is so for both sides of a round.

use super::figure::{Measurement, Unit};

/// One run: one step against one server in one round.
#[derive(Debug)]
pub struct Run {
    pub server: String,
    pub round: usize,
    pub measurement: Measurement,
}

/// Middle and extremes of a figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// None of no values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
        Some(Self { median: (values[low] + values[high]) / 2.0, least, most })
    }
}

/// One figure, for all servers.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub unit: Unit,
    /// By server; None where a server has not got that figure.
    pub spreads: Vec<Option<Spread>>,
    /// Each server's share of the reference's, by server; None for the reference itself.
    pub ratios: Vec<Option<Spread>>,
}

/// One step, for all servers and rounds.
#[derive(Debug)]
pub struct Summary {
    pub scenario: &'static str,
    pub step: String,
    /// Idle connections, where the step is one of many with more and more of them.
    pub connections: Option<usize>,
    pub servers: Vec<String>,
    /// Which of the servers the others are compared with.
    pub reference: Option<usize>,
    pub rows: Vec<Row>,
    /// What runs have said, each with the servers that it was said of.
    pub notes: Vec<(String, Vec<String>)>,
}

impl Summary {
    /// The summary of all runs of a step. The reference is the floor, or else the last server.
    pub fn new(scenario: &'static str, step: String, servers: &[String], runs: &[Run]) -> Self {
        let floor = servers.iter().position(|name| name.starts_with("floor"));
        let reference = floor.or((servers.len() > 1).then(|| servers.len() - 1));
        let reference = reference.filter(|_| servers.len() > 1);
        let rows = names(runs).into_iter().map(|(name, unit)| {
            let spread = |server: &String| {
                Spread::of(
                    values(runs, server, &name).into_iter().map(|(_, value)| value).collect(),
                )
            };
            let ratio = |(place, server): (usize, &String)| {
                let reference = reference.filter(|reference| *reference != place)?;
                Spread::of(ratios(
                    &values(runs, server, &name),
                    &values(runs, &servers[reference], &name),
                ))
            };
            let spreads = servers.iter().map(spread).collect();
            let ratios = servers.iter().enumerate().map(ratio).collect();
            Row { name, unit, spreads, ratios }
        });
        let rows = rows.collect();
        let (servers, notes) = (servers.to_vec(), notes(runs));
        Self { scenario, step, connections: None, servers, reference, rows, notes }
    }

    /// A figure of one server.
    pub fn spread(&self, name: &str, server: usize) -> Option<Spread> {
        self.rows.iter().find(|row| row.name == name)?.spreads[server]
    }
}

/// The figures of all runs in the order of their first mention.
fn names(runs: &[Run]) -> Vec<(String, Unit)> {
    let mut names: Vec<(String, Unit)> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.measurement.figures) {
        if !names.iter().any(|(name, _)| *name == figure.name) {
            names.push((figure.name.clone(), figure.unit));
        }
    }
    names
}

/// One figure of one server, by round.
fn values(runs: &[Run], server: &str, name: &str) -> Vec<(usize, f64)> {
    let runs = runs.iter().filter(|run| run.server == server);
    let value = |run: &Run| {
        let figure = run.measurement.figures.iter().find(|figure| figure.name == name)?;
        Some((run.round, figure.value))
    };
    runs.filter_map(value).collect()
}

fn ratios(of: &[(usize, f64)], to: &[(usize, f64)]) -> Vec<f64> {
    let pair = |(round, value): &(usize, f64)| {
        let (_, other) = to.iter().find(|(other_round, _)| other_round == round)?;
        (*other > 0.0).then(|| value / other)
    };
    of.iter().filter_map(pair).collect()
}

fn notes(runs: &[Run]) -> Vec<(String, Vec<String>)> {
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    for Run { server, measurement, .. } in runs {
        for note in &measurement.notes {
            match notes.iter_mut().find(|(known, _)| known == note) {
                None => notes.push((note.clone(), vec![server.clone()])),
                Some((_, servers)) if !servers.contains(server) => servers.push(server.clone()),
                Some(_) => {}
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(server: &str, round: usize, value: f64) -> Run {
        let mut measurement = Measurement::default();
        measurement.add("latency", Unit::Nanos, value);
        measurement.notes.push("slow".into());
        Run { server: server.into(), round, measurement }
    }

    #[test]
    fn a_median_is_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.to_vec()).map(|spread| spread.median);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 9.0, 1.0]), Some(3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine is three times slower in round 1; the ratio does not notice.
        let runs = [
            run("hallway", 0, 11.0),
            run("floor", 0, 10.0),
            run("hallway", 1, 36.0),
            run("floor", 1, 30.0),
            run("hallway", 2, 13.0),
            run("floor", 2, 10.0),
        ];
        let servers = ["hallway".to_owned(), "floor".to_owned()];
        let summary = Summary::new("fanout", String::new(), &servers, &runs);
        let row = &summary.rows[0];
        assert_eq!(summary.reference, Some(1));
        assert_eq!(row.spreads[0], Some(Spread { median: 13.0, least: 11.0, most: 36.0 }));
        assert_eq!(row.ratios, [Some(Spread { median: 1.2, least: 1.1, most: 1.3 }), None]);
        assert_eq!(summary.notes, [("slow".into(), servers.to_vec())]);
    }

    #[test]
    fn the_floor_is_the_reference_wherever_it_stands_and_one_alone_has_none() {
        let summary = |servers: &[&str]| {
            let servers: Vec<String> = servers.iter().map(|name| (*name).to_owned()).collect();
            Summary::new("fanout", String::new(), &servers, &[]).reference
        };
        assert_eq!(summary(&["hallway", "floor", "ws"]), Some(1));
        assert_eq!(summary(&["hallway", "ws"]), Some(1));
        assert_eq!(summary(&["floor"]), None);
    }
}
