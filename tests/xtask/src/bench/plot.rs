//! Figures as a picture: an SVG that can be read on a light page and on a dark one.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};

use super::peer::Three;
use crate::image;

/// One diagram: a line for each backend over the same points.
pub struct Panel {
    /// What is shown, with its unit.
    pub title: String,
    /// What the points are, with their unit.
    pub axis: String,
    /// The points, at equal distances.
    pub points: Vec<String>,
    /// A value for each point.
    pub lines: Three<Vec<f64>>,
}

/// In the columns' order.
const NAMES: [&str; 3] = ["Linux in Dom0", "Linux driver domain", "Outrigger"];
/// Where each name stands.
const LEGEND: [f64; 3] = [0.0, 150.0, 330.0];
/// Of one diagram, in the unit of the picture.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 330.0;
/// Room for words on the left of, on the right of, above and below the lines.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 76.0;

/// Colours that differ in lightness too; lines also differ by their marks.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}.head{font-weight:600;font-size:14px}\
.back{fill:#fff}.grid{stroke:#d1d9e0}.axis{stroke:#59636e}\
polyline{fill:none;stroke-width:2}\
.a{stroke:#bc4c00}.b{stroke:#1a7f37}.c{stroke:#0550ae}.ma{fill:#bc4c00}.mb{fill:#1a7f37}.mc{fill:#0550ae}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.back{fill:#0d1117}.grid{stroke:#3d444d}.axis{stroke:#9198a1}\
.a{stroke:#f0883e}.b{stroke:#56d364}.c{stroke:#79c0ff}.ma{fill:#f0883e}.mb{fill:#56d364}.mc{fill:#79c0ff}}";

/// Writes `tests/bench/plots/NAME.svg`; returns what a page shows it by.
pub fn publish(name: &str, title: &str, panels: &[Panel]) -> Result<String> {
    let folder = image::workspace().join("tests/bench/plots");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.svg"));
    fs::write(&path, svg(title, panels)).with_context(|| path.display().to_string())?;
    Ok(format!("![{title}](plots/{name}.svg)\n"))
}

fn svg(title: &str, panels: &[Panel]) -> String {
    let width = WIDTH * panels.len() as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n<rect class=\"back\" width=\"{width}\" \
         height=\"{HEIGHT}\"/>\n<text class=\"head\" x=\"12\" y=\"22\">{title}</text>\n",
        title = escaped(title),
    );
    for (index, panel) in panels.iter().enumerate() {
        let _ = writeln!(text, "<g transform=\"translate({} 0)\">", index as f64 * WIDTH);
        draw(panel, &mut text);
        text += "</g>\n";
    }
    for (index, (name, class)) in NAMES.iter().zip(["a", "b", "c"]).enumerate() {
        let (x, y) = (LEFT + LEGEND[index], HEIGHT - 16.0);
        let _ = writeln!(
            text,
            "<polyline class=\"{class}\" points=\"{x},{y} {},{y}\"/>{}<text x=\"{}\" y=\"{}\">{name}</text>",
            x + 26.0,
            mark(class, x + 13.0, y),
            x + 34.0,
            y + 4.0
        );
    }
    text + "</svg>\n"
}

fn draw(panel: &Panel, text: &mut String) {
    let columns = panel.lines.columns();
    let largest = columns.iter().flat_map(|line| line.iter()).copied();
    let step = step(largest.fold(0.0, f64::max));
    let all = columns.iter().flat_map(|line| line.iter()).copied();
    let top = (all.fold(0.0, f64::max) / step).ceil().max(1.0);
    let (high, wide) = (HEIGHT - TOP - BOTTOM, WIDTH - LEFT - RIGHT);
    let at_y = |value: f64| HEIGHT - BOTTOM - value / (top * step) * high;
    let gaps = panel.points.len().saturating_sub(1).max(1) as f64;
    let at_x = |index: usize| LEFT + 8.0 + index as f64 / gaps * (wide - 16.0);

    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\">{}</text>",
        TOP - 14.0,
        escaped(&panel.title)
    );
    let mut tick = 0.0;
    while tick <= top {
        let y = at_y(tick * step);
        let class = if tick == 0.0 { "axis" } else { "grid" };
        let _ = writeln!(
            text,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            label(tick * step)
        );
        tick += 1.0;
    }
    for (index, point) in panel.points.iter().enumerate() {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            at_x(index),
            HEIGHT - BOTTOM + 18.0,
            escaped(point)
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        LEFT + wide / 2.0,
        HEIGHT - BOTTOM + 36.0,
        escaped(&panel.axis)
    );
    for (line, class) in columns.iter().zip(["a", "b", "c"]) {
        let places: Vec<(f64, f64)> = line
            .iter()
            .enumerate()
            .map(|(index, value)| (at_x(index), at_y(*value)))
            .collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            text,
            "<polyline class=\"{class}\" points=\"{}\"/>",
            points.join(" ")
        );
        for (x, y) in places {
            text.push_str(&mark(class, x, y));
        }
        text.push('\n');
    }
}

/// A square, a triangle or a disc.
fn mark(class: &str, x: f64, y: f64) -> String {
    match class {
        "a" => format!(
            "<rect class=\"ma\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
            x - 4.0,
            y - 4.0
        ),
        "b" => format!("<path class=\"mb\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 5.0),
        _ => format!("<circle class=\"mc\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
    }
}

/// The distance of lines of which at most five are enough for `largest`: 1, 2 or 5 of some power of ten.
fn step(largest: f64) -> f64 {
    if largest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((largest / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    steps
        .into_iter()
        .find(|step| largest / step <= 5.0 + 1e-9)
        .unwrap_or(power * 10.0)
}

/// A number on an axis: no more digits than it has.
fn label(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{} k", value / 1000.0)
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_at_round_numbers() {
        for (largest, expected) in [
            (0.0, 1.0),
            (4.9, 1.0),
            (5.1, 2.0),
            (390.0, 100.0),
            (23.0, 5.0),
            (0.17, 0.05),
            (16_000.0, 5000.0),
        ] {
            let step = step(largest);
            assert!((step - expected).abs() < expected * 1e-9, "{largest}: {step}");
        }
        assert_eq!(
            [0.0, 0.25, 100.0, 15_000.0].map(label),
            ["0", "0.25", "100", "15 k"]
        );
    }

    #[test]
    fn points_are_where_their_values_are() {
        let panel = Panel {
            title: "MiB/s, more is better".to_owned(),
            axis: "bytes <a request>".to_owned(),
            points: vec!["4k".to_owned(), "1M".to_owned()],
            lines: Three {
                linux: vec![0.0, 100.0],
                linux_domain: vec![50.0, 25.0],
                ours: vec![100.0, 100.0],
            },
        };
        let text = svg("Reads & \"writes\"", &[panel]);
        // Nought is on the axis, the largest value on the highest line.
        let (low, high) = (HEIGHT - BOTTOM, TOP);
        let (first, last) = (LEFT + 8.0, WIDTH - RIGHT - 8.0);
        for line in [
            format!("class=\"a\" points=\"{first:.1},{low:.1} {last:.1},{high:.1}\""),
            format!("class=\"c\" points=\"{first:.1},{high:.1} {last:.1},{high:.1}\""),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(text.contains("bytes &lt;a request>"));
        assert!(text.contains("Reads &amp; &quot;writes&quot;"));
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
        for name in NAMES {
            assert!(text.contains(name), "{name}");
        }
    }
}
