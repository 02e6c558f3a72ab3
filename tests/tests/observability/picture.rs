//! Some panels of the dashboard, drawn from what Prometheus has read: Grafana is no program that a test could have.

use crate::listed;
use crate::prometheus::{Prometheus, Series};
use crate::repository;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::time::{Duration, Instant, SystemTime};

const SIZE: (u32, u32) = (1200, 900);
/// How long there is traffic for it.
const MINUTE: Duration = Duration::from_secs(75);
const PANELS: [&str; 9] = [
    "Reviews by operation",
    "Refusals by rule",
    "Latency",
    "CPU by quota",
    "Quotas: used and reserved of the limit",
    "Ledger: writes and conflicts",
    "Ledger: wait",
    "Holds",
    "Caches: silence",
];
/// Lines of a panel at most: those that reach highest.
const LINES: usize = 6;
const COLOURS: [RGBColor; LINES] = [
    RGBColor(115, 191, 105),
    RGBColor(242, 204, 12),
    RGBColor(87, 148, 242),
    RGBColor(255, 120, 10),
    RGBColor(184, 119, 217),
    RGBColor(242, 73, 92),
];
const GROUND: RGBColor = RGBColor(24, 27, 31);
const INK: RGBColor = RGBColor(204, 204, 220);
const GRID: RGBColor = RGBColor(50, 54, 60);

/// Lets traffic flow for a minute and writes docs/dashboard.svg.
pub fn draw(prometheus: &Prometheus, traffic: &mut dyn FnMut()) {
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    let start = now();
    let began = Instant::now();
    while began.elapsed() < MINUTE {
        traffic();
    }
    let end = now();
    let path = repository().join("docs/dashboard.svg");
    let root = SVGBackend::new(&path, SIZE).into_drawing_area();
    root.fill(&RGBColor(17, 18, 23)).unwrap();
    let areas = root.margin(6, 6, 6, 6).split_evenly((3, 3));
    for (title, area) in PANELS.iter().zip(areas) {
        let queries = listed::panels()
            .into_iter()
            .filter(|(panel, _)| panel == title);
        let mut all: Vec<Series> = queries
            .flat_map(|(_, expr)| prometheus.range(&expr, start, end).unwrap())
            .map(|series| named(series, start))
            .collect();
        assert!(!all.is_empty(), "{title}");
        all.sort_by(|a, b| peak(b).total_cmp(&peak(a)));
        all.truncate(LINES);
        panel(title, &all, seconds(end - start), &area);
    }
    root.present().unwrap();
}

fn peak(series: &Series) -> f64 {
    series
        .points
        .iter()
        .map(|(_, value)| *value)
        .fold(0.0, f64::max)
}

/// Seconds since the start, and no point that is not a number.
fn named(mut series: Series, start: u64) -> Series {
    series.points.retain(|(_, value)| value.is_finite());
    for (at, _) in &mut series.points {
        *at -= seconds(start);
    }
    series
}

fn label(series: &Series) -> String {
    let labels = series.labels.as_object();
    let words: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "__name__" | "job" | "instance" | "kind"))
        .filter_map(|(_, value)| value.as_str())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn panel(title: &str, all: &[Series], width: f64, area: &DrawingArea<SVGBackend<'_>, Shift>) {
    let area = area.margin(4, 4, 4, 4);
    area.fill(&GROUND).unwrap();
    let top = all.iter().map(peak).fold(0.0, f64::max).max(0.001) * 1.15;
    let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .caption(title, text(15))
        .x_label_area_size(22)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..width, 0.0..top)
        .unwrap();
    chart
        .configure_mesh()
        .light_line_style(GROUND)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(11))
        .x_labels(5)
        .y_labels(5)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .draw()
        .unwrap();
    for (series, colour) in all.iter().zip(COLOURS) {
        let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2));
        let drawn = chart.draw_series(line).unwrap();
        let name = label(series);
        if !name.is_empty() {
            drawn.label(name).legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 14, y)], colour.stroke_width(2))
            });
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(GROUND.mix(0.7))
        .border_style(GROUND)
        .label_font(text(11))
        .draw()
        .unwrap();
}

#[allow(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 are exact for millions of years"
)]
fn seconds(whole: u64) -> f64 {
    whole as f64
}
