//! Latency against idle connections, as an SVG that stands by itself, in light and in dark.

use std::fmt::{self, Write as _};

use super::figure::Unit;
use super::summary::{Spread, Summary};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 440.0;
/// Where the panels begin and end.
const TOP: f64 = 96.0;
const BOTTOM: f64 = 372.0;
/// A panel's axis, its plot, and the labels to its right.
const AXIS: f64 = 62.0;
const LABELS: f64 = 104.0;
const PANEL: f64 = WIDTH / 2.0;
/// Labels do not come closer than this.
const LABEL_GAP: f64 = 15.0;
const LABEL_WIDTH: f64 = 44.0;

/// What is drawn: the name of the latency, and its title.
const PANELS: [(&str, &str); 2] =
    [("ping round trip", "Ping round trip"), ("chat to one other", "Chat message, one to another")];

/// The middle as a line, the tail as a dashed one.
const QUANTILES: [(&str, &str); 2] = [("p50", ""), ("p99", "tail")];

const STYLE: &str = "\
:root{--paper:#fffdf9;--ink:#26221d;--soft:#7d756a;--rule:#e9e2d6;\
--s0:#c2451e;--s1:#5b6b7b;--s2:#2f7d5b;--s3:#7a4fa3;--s4:#a67c00}\
@media(prefers-color-scheme:dark){:root{--paper:#1b1917;--ink:#ece5da;--soft:#a0978a;--rule:#37322c;\
--s0:#ff8a5c;--s1:#a9b8c6;--s2:#6fcf9f;--s3:#c39be8;--s4:#e0b93f}}\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:var(--soft)}\
.title{font-size:18px;font-weight:600;fill:var(--ink)}.panel{font-size:13px;font-weight:600;fill:var(--ink)}\
.rule{stroke:var(--rule)}.line{fill:none;stroke-width:2;stroke-linejoin:round}\
.spread{stroke-width:5;opacity:.25;stroke-linecap:round}\
.tail{stroke-dasharray:2 5;stroke-linecap:round}";

/// Colours of servers, as many as the style has; more begin again.
const COLOURS: usize = 5;

/// The plot of all steps that have a number of connections, and what they were measured on. None
/// where there is no such step.
pub fn draw(summaries: &[Summary], machine: &str) -> Option<String> {
    let steps: Vec<(f64, &Summary)> = summaries
        .iter()
        .filter_map(|summary| Some((summary.connections? as f64, summary)))
        .collect();
    if steps.is_empty() {
        return None;
    }
    let mut svg = String::new();
    write(&mut svg, &steps, machine).expect("a string takes everything");
    Some(svg)
}

fn write(svg: &mut String, steps: &[(f64, &Summary)], machine: &str) -> fmt::Result {
    let middle = WIDTH / 2.0;
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Latency against idle connections\"><style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>\n\
         <text class=\"title\" x=\"24\" y=\"36\">Latency while thousands are connected and idle</text>\n\
         <text x=\"24\" y=\"56\">Solid: median. Dotted: p99. Bars: least and most of all rounds. {}</text>\n\
         <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">idle connections</text>",
        escaped(machine),
        HEIGHT - 24.0
    )?;
    let scale = Scale::of(steps);
    for (place, (name, title)) in PANELS.iter().enumerate() {
        let left = place as f64 * PANEL + AXIS;
        writeln!(svg, "<text class=\"panel\" x=\"{left}\" y=\"{}\">{title}</text>", TOP - 16.0)?;
        scale.write_axes(svg, left, steps)?;
        write_panel(svg, &scale, left, name, steps)?;
    }
    writeln!(svg, "</svg>")
}

fn write_panel(
    svg: &mut String,
    scale: &Scale,
    left: f64,
    latency: &str,
    steps: &[(f64, &Summary)],
) -> fmt::Result {
    let mut labels = Vec::new();
    for (place, server) in steps[0].1.servers.iter().enumerate() {
        let colour = format!("var(--s{})", place % COLOURS);
        for (quantile, class) in QUANTILES {
            let points: Vec<(f64, Spread)> = steps
                .iter()
                .filter_map(|(x, step)| {
                    Some((*x, step.spread(&format!("{latency}, {quantile}"), place)?))
                })
                .collect();
            let Some((_, last)) = points.last() else { continue };
            labels.push((scale.y(last.median), format!("{server} {quantile}"), colour.clone()));
            let mut path = String::new();
            for (at, (x, Spread { median, least, most })) in points.iter().enumerate() {
                let (x, y) = (left + scale.x(*x), scale.y(*median));
                write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' })?;
                writeln!(
                    svg,
                    "<line class=\"spread\" stroke=\"{colour}\" x1=\"{x:.1}\" x2=\"{x:.1}\" \
                     y1=\"{:.1}\" y2=\"{:.1}\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    scale.y(*least),
                    scale.y(*most)
                )?;
            }
            writeln!(svg, "<path class=\"line {class}\" stroke=\"{colour}\" d=\"{path}\"/>")?;
        }
    }
    for (y, label, colour) in apart(labels) {
        let x = left + scale.width + 10.0;
        let label = escaped(&label);
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" style=\"fill:{colour}\">{label}</text>",
            y + 4.0
        )?;
    }
    Ok(())
}

/// Labels from top to bottom, none on another.
fn apart(mut labels: Vec<(f64, String, String)>) -> Vec<(f64, String, String)> {
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    for next in 1..labels.len() {
        labels[next].0 = labels[next].0.max(labels[next - 1].0 + LABEL_GAP);
    }
    // Those that this has moved below the panel push the others up again.
    let mut floor = BOTTOM;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(floor);
        floor = label.0 - LABEL_GAP;
    }
    labels
}

/// Connections to the right, nanoseconds upwards by their logarithm.
struct Scale {
    connections: f64,
    width: f64,
    least: f64,
    most: f64,
}

impl Scale {
    /// One for all panels, so that they can be compared.
    fn of(steps: &[(f64, &Summary)]) -> Self {
        let names: Vec<String> = PANELS
            .iter()
            .flat_map(|(latency, _)| {
                QUANTILES.map(|(quantile, _)| format!("{latency}, {quantile}"))
            })
            .collect();
        let rows =
            steps.iter().flat_map(|(_, step)| &step.rows).filter(|row| names.contains(&row.name));
        let spreads: Vec<Spread> =
            rows.flat_map(|row| row.spreads.iter().flatten().copied()).collect();
        let least = spreads.iter().map(|spread| spread.least).fold(f64::INFINITY, f64::min);
        let most = spreads.iter().map(|spread| spread.most).fold(1.0, f64::max);
        Self {
            connections: steps.iter().map(|(x, _)| *x).fold(1.0, f64::max),
            width: PANEL - AXIS - LABELS,
            least: ticks().rev().find(|tick| *tick <= least).unwrap_or(1.0),
            most: ticks().find(|tick| *tick >= most).unwrap_or(most),
        }
    }

    fn x(&self, connections: f64) -> f64 {
        self.width * connections / self.connections
    }

    fn y(&self, nanos: f64) -> f64 {
        let share = (nanos.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        BOTTOM - share.min(1.0) * (BOTTOM - TOP)
    }

    fn write_axes(&self, svg: &mut String, left: f64, steps: &[(f64, &Summary)]) -> fmt::Result {
        let right = left + self.width;
        for tick in ticks().filter(|tick| (self.least..=self.most).contains(tick)) {
            let y = self.y(tick);
            writeln!(
                svg,
                "<line class=\"rule\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 10.0,
                y + 4.0,
                tick_label(tick)
            )?;
        }
        for connections in labelled(&steps.iter().map(|(x, _)| *x).collect::<Vec<_>>(), self) {
            let (x, y) = (left + self.x(connections), BOTTOM + 20.0);
            let label = grouped(connections as u64);
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>")?;
        }
        Ok(())
    }
}

/// Which places on the axis get a label: both ends, and what does not touch another from the right on.
fn labelled(places: &[f64], scale: &Scale) -> Vec<f64> {
    let mut labelled: Vec<f64> = Vec::new();
    let inner = places.iter().skip(1).rev();
    for place in places.first().into_iter().chain(inner) {
        let is_free = |other: &f64| (scale.x(*place) - scale.x(*other)).abs() >= LABEL_WIDTH;
        if labelled.iter().all(is_free) {
            labelled.push(*place);
        }
    }
    labelled
}

/// 1, 2, 5, 10 and so on, from a nanosecond to a hundred seconds.
fn ticks() -> impl DoubleEndedIterator<Item = f64> {
    (0..=11).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
}

/// As a figure, without the digits that a tick has not.
fn tick_label(nanos: f64) -> String {
    let text = Unit::Nanos.write(nanos);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// 19000 as 19,000
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::figure::Measurement;
    use super::super::summary::Run;
    use super::*;

    fn summary(connections: usize, micros: f64) -> Summary {
        let mut measurement = Measurement::default();
        for (latency, _) in PANELS {
            measurement.add(&format!("{latency}, p50"), Unit::Nanos, micros * 1e3);
            measurement.add(&format!("{latency}, p99"), Unit::Nanos, micros * 9e3);
        }
        let runs = [Run { server: "a<b".into(), round: 0, measurement }];
        let step = String::new();
        Summary {
            connections: Some(connections),
            ..Summary::new("idle-latency", step, &["a<b".into()], &runs)
        }
    }

    #[test]
    fn each_point_is_drawn_within_the_panel() {
        let svg = draw(&[summary(0, 20.0), summary(19_000, 30.0)], "a machine").unwrap();
        assert_eq!(svg.matches("<circle").count(), 2 * 2 * 2, "points, quantiles and panels");
        assert!(svg.contains(">19,000</text>") && svg.contains("a&lt;b p99"));
        for y in svg.split("cy=\"").skip(1) {
            let y: f64 = y[..y.find('"').unwrap()].parse().unwrap();
            assert!((TOP..=BOTTOM).contains(&y), "{y}");
        }
        assert!(draw(&[], "").is_none());
    }

    #[test]
    fn labels_keep_apart() {
        let label = |y: f64| (y, String::new(), String::new());
        let ys: Vec<f64> = apart(vec![label(BOTTOM), label(100.0), label(BOTTOM - 1.0)])
            .into_iter()
            .map(|(y, _, _)| y)
            .collect();
        assert_eq!(ys, [100.0, BOTTOM - LABEL_GAP, BOTTOM]);
    }

    #[test]
    fn the_axis_keeps_its_ends() {
        let steps =
            [summary(0, 1.0), summary(1_000, 1.0), summary(10_000, 1.0), summary(19_000, 1.0)];
        let steps: Vec<(f64, &Summary)> =
            steps.iter().map(|step| (step.connections.unwrap() as f64, step)).collect();
        let places: Vec<f64> = steps.iter().map(|(x, _)| *x).collect();
        assert_eq!(labelled(&places, &Scale::of(&steps)), [0.0, 19_000.0, 10_000.0]);
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(tick_label(50_000.0), "50 µs");
        assert_eq!(tick_label(200_000.0), "200 µs");
        assert_eq!(tick_label(1e6), "1 ms");
    }
}
