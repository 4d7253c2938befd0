//! What all figures of a run have in common.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::machine::Description;

#[derive(Debug)]
pub struct Heading {
    /// As it was typed.
    pub command: String,
    pub machine: Description,
    /// Name and revision of the instrument.
    pub instrument: String,
    /// Names of the servers, and what they say of their versions.
    pub versions: Vec<(String, String)>,
    /// Who has which core, and how the load waits.
    pub cores: String,
}

impl Heading {
    /// As the fields of a JSON object.
    pub fn json(&self) -> Value {
        let Description { cpu, cores, kernel, memory_mib, descriptors } = &self.machine;
        let version = |(server, version): &(String, String)| (server.clone(), json!(version));
        let versions: Map<String, Value> = self.versions.iter().map(version).collect();
        json!({
            "command": self.command, "instrument": self.instrument, "servers": versions,
            "pinning": self.cores, "cpu": cpu, "cores": cores, "kernel": kernel,
            "memory_mib": memory_mib, "descriptors": descriptors,
        })
    }
}

impl fmt::Display for Heading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description { cpu, cores, kernel, memory_mib, descriptors } = &self.machine;
        writeln!(formatter, "command     {}", self.command)?;
        writeln!(
            formatter,
            "machine     {cpu}, {cores} cores, {memory_mib} MiB, {kernel}, {descriptors} descriptors"
        )?;
        writeln!(formatter, "instrument  {}", self.instrument)?;
        for (server, version) in &self.versions {
            writeln!(formatter, "server      {server}: {version}")?;
        }
        writeln!(formatter, "cores       {}", self.cores)
    }
}
