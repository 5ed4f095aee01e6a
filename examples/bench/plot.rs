//! Time against tenants as SVG: both axes logarithmic, a line a tool with its name at its end, colours that
//! are readable on light and on dark.

use std::fmt::Write as _;

use crate::report::{as_number, thousands};
use crate::results::{Key, Results, Wire, Work};
use crate::tools::Tool;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 470.0;
/// The edges of the field, right of which there is room for names.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 610.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 420.0;
/// From one name to the next.
const LINE: f64 = 16.0;

const STYLE: &str = "
  svg { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px }
  .ground { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d1d9e0 }
  .title { font-size: 16px; font-weight: 600 } .line { fill: none; stroke-width: 2 } .own { stroke-width: 3.5 }
  .limit { stroke-dasharray: 6 4 } .strong { font-weight: 600 }
  .fleet { color: #0969da } .raw { color: #59636e } .query { color: #9a6700 } .refinery { color: #bc4c00 }
  .dbmate { color: #1a7f37 } .alembic { color: #cf222e } .django { color: #8250df }
  .line { stroke: currentColor } .dot, .name { fill: currentColor }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } .ink { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d }
    .fleet { color: #58a6ff } .raw { color: #9198a1 } .query { color: #d29922 } .refinery { color: #f0883e }
    .dbmate { color: #3fb950 } .alembic { color: #ff7b72 } .django { color: #bc8cff }
  }
";

/// One tool's medians, by tenants.
struct Line {
    tool: Tool,
    /// Tenants and milliseconds.
    points: Vec<(f64, f64)>,
}

/// Where numbers lie in the field.
struct Field {
    tenants: (f64, f64),
    ms: (f64, f64),
}

impl Field {
    fn x(&self, tenants: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * share(tenants, self.tenants)
    }

    fn y(&self, ms: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * share(ms, self.ms)
    }
}

/// How far a number is between two others, by its logarithm.
fn share(number: f64, (least, most): (f64, f64)) -> f64 {
    (number / least).ln() / (most / least).ln()
}

/// The plot of a workload. None where there is no line to draw.
pub(crate) fn draw(results: &Results, work: Work, title: &str, note: &str) -> Option<String> {
    let lines = lines(results, work);
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let of_fleet = lines.iter().find(|line| line.tool == Tool::Fleet)?;
    if of_fleet.points.len() < 2 {
        return None;
    }
    let least = |number: fn((f64, f64)) -> f64| all().map(number).fold(f64::INFINITY, f64::min);
    let most = |number: fn((f64, f64)) -> f64| all().map(number).fold(0.0, f64::max);
    let field = Field {
        tenants: (least(|point| point.0), most(|point| point.0)),
        ms: (
            decade(least(|point| point.1)),
            10.0 * decade(most(|point| point.1) * 0.999),
        ),
    };
    let mut svg = String::new();
    begin(&mut svg, title, note);
    grid(&mut svg, &field, of_fleet);
    for line in &lines {
        curve(&mut svg, &field, line);
    }
    names(&mut svg, &field, &lines);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// The power of ten at or below a number.
fn decade(number: f64) -> f64 {
    10_f64.powf(number.log10().floor())
}

/// fleet's last, so that it lies on top.
fn lines(results: &Results, work: Work) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let keys = results
        .keys()
        .filter(|key| key.work == work && key.wire == Wire::Loopback);
    let mut keys: Vec<Key> = keys.collect();
    keys.sort_by_key(|key| (std::cmp::Reverse(key.tool), key.tenants));
    for key in keys {
        let Some(ms) = results.wall_ms(key) else {
            continue;
        };
        let point = (as_number(key.tenants), ms);
        match lines.last_mut() {
            Some(line) if line.tool == key.tool => line.points.push(point),
            _ => lines.push(Line {
                tool: key.tool,
                points: vec![point],
            }),
        }
    }
    lines
}

// writing to a String does not fail

fn begin(svg: &mut String, title: &str, note: &str) {
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n\
         <text class=\"ink title\" x=\"20\" y=\"30\">{title}</text>\n\
         <text class=\"faint\" x=\"20\" y=\"50\">{note}</text>\n"
    );
}

fn grid(svg: &mut String, field: &Field, of_fleet: &Line) {
    let mut ms = field.ms.0;
    while ms <= field.ms.1 * 1.001 {
        let y = field.y(ms);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"faint\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            time(ms)
        );
        ms *= 10.0;
    }
    for (tenants, _) in &of_fleet.points {
        let x = field.x(*tenants);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text class=\"faint\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 18.0,
            thousands(whole(*tenants))
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"faint\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">tenants</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 38.0
    );
}

fn curve(svg: &mut String, field: &Field, line: &Line) {
    let at = |(tenants, ms): &(f64, f64)| (field.x(*tenants), field.y(*ms));
    let points = line
        .points
        .iter()
        .map(at)
        .map(|(x, y)| format!("{x:.1},{y:.1}"));
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = write!(
        svg,
        "<g class=\"{}\"><polyline class=\"line{}\" points=\"{points}\"/>",
        class(line.tool),
        match line.tool {
            Tool::Fleet => " own",
            Tool::Raw | Tool::Read => " limit",
            _ => "",
        }
    );
    let radius = if line.tool == Tool::Fleet { 5 } else { 3 };
    for (x, y) in line.points.iter().map(at) {
        let _ = write!(
            svg,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
        );
    }
    svg.push_str("</g>\n");
}

/// Each name right of the last point of its line, and below the one above it.
fn names(svg: &mut String, field: &Field, lines: &[Line]) {
    let ends = lines
        .iter()
        .filter_map(|line| Some((line.tool, *line.points.last()?)));
    let mut ends: Vec<(Tool, f64, f64, f64)> = ends
        .map(|(tool, (tenants, ms))| (tool, field.x(tenants), field.y(ms) + 4.0, ms))
        .collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    for index in 1..ends.len() {
        let (_, x, y, _) = ends[index - 1];
        if (ends[index].1 - x).abs() < 1.0 {
            ends[index].2 = ends[index].2.max(y + LINE);
        }
    }
    for (tool, x, y, ms) in ends {
        let strong = if tool == Tool::Fleet { " strong" } else { "" };
        let _ = writeln!(
            svg,
            "<text class=\"name {}{strong}\" x=\"{:.1}\" y=\"{y:.1}\">{}, {}</text>",
            class(tool),
            x + 10.0,
            tool.name().split(',').next().unwrap_or_default(),
            time(ms)
        );
    }
}

fn class(tool: Tool) -> &'static str {
    match tool {
        Tool::Fleet | Tool::Verify => "fleet",
        Tool::Raw | Tool::Read | Tool::Catalogue | Tool::CatalogueAlone => "raw",
        Tool::Query => "query",
        Tool::Refinery => "refinery",
        Tool::Dbmate => "dbmate",
        Tool::Alembic => "alembic",
        Tool::Django => "django",
    }
}

/// `8 ms`, `1.2 s`, `40 s`.
fn time(ms: f64) -> String {
    match ms {
        ..1_000.0 => format!("{ms:.0} ms"),
        ..10_000.0 if (ms / 1e3).fract() > 0.05 => format!("{:.1} s", ms / 1e3),
        _ => format!("{:.0} s", ms / 1e3),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of tenants that was one before"
)]
fn whole(tenants: f64) -> usize {
    tenants as usize
}
