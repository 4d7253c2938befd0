//! The same for machines: one JSON object a line.

use std::fs::File;
use std::io::{self, Write as _};

use serde_json::{Map, Value, json};

use super::figure::{Figure, Unit};
use super::heading::Heading;
use super::summary::{Run, Spread, Summary};

/// A file of JSON lines. Each line has a `kind`: `environment`, `run` or `summary`.
#[derive(Debug)]
pub struct Lines(File);

impl Lines {
    pub fn create(path: &str) -> io::Result<Self> {
        Ok(Self(File::create(path)?))
    }

    pub fn environment(&mut self, heading: &Heading) -> io::Result<()> {
        let mut line = heading.json();
        line["kind"] = json!("environment");
        self.line(line)
    }

    pub fn run(&mut self, scenario: &str, step: &str, run: &Run) -> io::Result<()> {
        let Run { server, round, measurement } = run;
        let figure = |figure: &Figure| {
            (figure.name.clone(), json!({ "value": figure.value, "unit": figure.unit.name() }))
        };
        let figures: Map<String, Value> = measurement.figures.iter().map(figure).collect();
        self.line(json!({
            "kind": "run", "scenario": scenario, "step": step, "server": server, "round": round,
            "figures": figures, "notes": measurement.notes,
        }))
    }

    pub fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        for (place, server) in summary.servers.iter().enumerate() {
            let figure = |row: &super::summary::Row| {
                let mut figure = spread(row.spreads[place]?, Some(row.unit));
                if let Some(ratio) = row.ratios[place] {
                    figure["ratio"] = spread(ratio, None);
                }
                Some((row.name.clone(), figure))
            };
            let figures: Map<String, Value> = summary.rows.iter().filter_map(figure).collect();
            let reference = summary.reference.map(|reference| &summary.servers[reference]);
            self.line(json!({
                "kind": "summary", "scenario": summary.scenario, "step": summary.step,
                "server": server, "reference": reference, "figures": figures,
            }))?;
        }
        Ok(())
    }

    fn line(&mut self, line: Value) -> io::Result<()> {
        writeln!(self.0, "{line}")
    }
}

fn spread(Spread { median, least, most }: Spread, unit: Option<Unit>) -> Value {
    let mut value = json!({ "median": median, "least": least, "most": most });
    if let Some(unit) = unit {
        value["unit"] = json!(unit.name());
    }
    value
}
