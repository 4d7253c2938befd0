//! The instrument at work, at its smallest: every scenario against Hallway and the floor, and what it
//! writes. It needs Hallway's binary: `cargo build --release` in the repository.

#[expect(dead_code, reason = "the instrument is the only client here")]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use server::Server;

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(arguments).output().expect("it starts")
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A folder of a test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("JSON lines");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn every_scenario_measures_hallway_beside_the_floor() {
    let folder = folder("smoke");
    let path = |name: &str| folder.join(name).display().to_string();
    let (json, hgrm, svg) = (path("lab.json"), path("hgrm"), path("lab.svg"));
    let whom = ["--server", "hallway", "--server", "floor"];
    let how = ["--small", "--rounds", "1", "--warmup", "0.1", "--probe", "--wait", "sleep"];
    let results = ["--json", &json, "--hgrm", &hgrm, "--svg", &svg];
    let output = lab(&[&["all"], &whom[..], &how, &results].concat());
    let (table, errors) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{table}{errors}");
    assert!(table.contains("to floor's, round by round"), "{table}");
    for lost in ["never answered", " deliveries ", "were ended by"] {
        assert!(!table.contains(lost), "{table}");
    }

    let lines = lines(Path::new(&json));
    let environment = of_kind(&lines, "environment");
    assert!(environment[0]["servers"]["hallway"].as_str().unwrap().starts_with("hallway "));
    let runs = of_kind(&lines, "run");
    let scenarios: BTreeSet<&str> =
        runs.iter().map(|run| run["scenario"].as_str().unwrap()).collect();
    assert_eq!(
        scenarios.into_iter().collect::<Vec<_>>(),
        ["fanout", "idle-latency", "saturate", "stalled", "storm"]
    );
    assert_eq!(runs.len(), 2 * 6, "servers and steps");
    check_figures(&lines);
    check_histograms(Path::new(&hgrm));
    let svg = fs::read_to_string(&svg).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("hallway p99"), "{svg}");
}

/// Each scenario gives what it is for, above nothing and with a ratio.
fn check_figures(lines: &[Value]) {
    let summaries = of_kind(lines, "summary");
    for (scenario, name) in [
        ("idle-latency", "ping round trip, p99"),
        ("idle-latency", "chat to one other, p99.9"),
        ("fanout", "last receiver, p99"),
        ("fanout", "lone probe's ping, p99"),
        ("saturate", "deliveries a second"),
        ("storm", "until the last has all"),
        ("stalled", "each receiver, p50"),
    ] {
        for line in summaries.iter().filter(|line| line["scenario"] == scenario) {
            let figure = &line["figures"][name];
            let median = figure["median"].as_f64().unwrap_or_else(|| panic!("{name}: {line}"));
            assert!(median > 0.0 && figure["least"].as_f64().unwrap() <= median, "{name}: {line}");
            assert_eq!(figure["ratio"].is_object(), line["server"] == "hallway", "{name}: {line}");
        }
    }
}

/// All that was sent and counted is in them: 20 receivers, 50 messages a second for half of one.
fn check_histograms(folder: &Path) {
    let text =
        fs::read_to_string(folder.join("fanout-20x50-probe-floor-each-receiver.hgrm")).unwrap();
    let total = text.split("Total count    =").nth(1).and_then(|rest| rest.split(']').next());
    assert_eq!(total.map(str::trim), Some("500"), "{text}");
}

#[test]
fn a_server_that_runs_is_measured_by_its_url() {
    let floor = Server::start(Command::new(env!("CARGO_BIN_EXE_floor")).arg("127.0.0.1:0"));
    let url = format!("ws://{}/chat?room={{room}}", floor.address);
    let json = folder("url").join("lab.json").display().to_string();
    let output = lab(&[
        "fanout",
        "--url",
        &url,
        "--message",
        "[\"{name}\",\"{text}\"]",
        "--small",
        "--rounds",
        "1",
        "--warmup",
        "0.1",
        "--wait",
        "sleep",
        "--json",
        &json,
    ]);
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    let lines = lines(Path::new(&json));
    let figures = &of_kind(&lines, "summary")[0]["figures"];
    assert!(figures["each receiver, p50"]["median"].as_f64().unwrap() > 0.0);
    assert!(figures["server CPU a delivery"].is_null(), "whose process is not known");
}

#[test]
fn what_goes_wrong_is_said() {
    for (arguments, status, says) in [
        (&["fanoot", "--server", "floor"][..], 2, "no scenario fanoot"),
        (&["fanout", "--server", "floor", "--fast"], 2, "--fast"),
        (&["fanout", "--server", "nothing-of-that-name"], 1, "there is no nothing-of-that-name"),
        (&["fanout", "--url", "ws://127.0.0.1:1/", "--wait", "sleep"], 1, "connection refused"),
    ] {
        let output = lab(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(said(&output.stderr).contains(says), "{}", said(&output.stderr));
    }
}
