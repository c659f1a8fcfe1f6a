//! Line charts, as SVG without a library. A screen reader gets the figures as text.

use std::fmt::Write;

use maud::{Markup, html};

/// The drawing has this size, in units of its own. The style stretches it.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 80.0;

/// A line: its name, and its values, the oldest first. A missing value interrupts the line.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<Option<f64>>,
}

/// A chart.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'static str,
    pub(crate) lines: &'a [Line],
    /// Number of values that the width has room for. The latest one is at its end.
    pub(crate) room: usize,
    /// The time that this is, as text.
    pub(crate) span: &'static str,
    /// The value at the top, if no value is larger, so that small ones look small.
    pub(crate) top: f64,
    /// A value with its unit.
    pub(crate) text: fn(f64) -> String,
}

impl Chart<'_> {
    pub(crate) fn show(&self) -> Markup {
        let values = self.lines.iter().flat_map(|line| line.values.iter().flatten());
        let top = values.copied().fold(self.top, f64::max);
        let scale = HEIGHT / top;
        html! {
            figure.chart {
                figcaption {
                    span.title { (self.title) }
                    @for (number, line) in self.lines.iter().enumerate() {
                        span class={ "key line-" (number) } { (line.name) " " strong { (self.latest(line)) } }
                    }
                }
                div.plot {
                    span.top aria-hidden="true" { (self.text(top)) }
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                        aria-label=(self.description()) {
                        @for (number, line) in self.lines.iter().enumerate() {
                            path class={ "line-" (number) } d=(self.path(&line.values, scale)) {}
                        }
                    }
                }
                div.axis aria-hidden="true" { span { (self.span) " ago" } span { "now" } }
            }
        }
    }

    fn text(&self, value: f64) -> String {
        (self.text)(value)
    }

    fn latest(&self, line: &Line) -> String {
        line.values.last().copied().flatten().map_or_else(|| "-".to_owned(), self.text)
    }

    /// What the chart shows, in words.
    fn description(&self) -> String {
        let mut words = format!("{} in the last {}", self.title, self.span);
        for line in self.lines {
            let known = || line.values.iter().copied().flatten();
            let least = known().min_by(f64::total_cmp);
            let most = known().max_by(f64::total_cmp);
            let _ = match least.zip(most) {
                Some((least, most)) => write!(
                    words,
                    "; {}: {} now, at least {}, at most {}",
                    line.name,
                    self.latest(line),
                    self.text(least),
                    self.text(most)
                ),
                None => write!(words, "; {}: not known", line.name),
            };
        }
        words
    }

    /// The line as the data of an SVG path. A single value is a dot, because its line ends are round.
    fn path(&self, values: &[Option<f64>], scale: f64) -> String {
        let step = WIDTH / position(self.room.max(2) - 1);
        let first = WIDTH - step * position(values.len().max(1) - 1);
        let mut path = String::new();
        let mut is_drawing = false;
        for (number, value) in values.iter().enumerate() {
            let Some(value) = value else {
                is_drawing = false;
                continue;
            };
            let (x, y) = (first + step * position(number), HEIGHT - value * scale);
            let _ = if is_drawing {
                write!(path, "L{x:.1} {y:.1}")
            } else {
                write!(path, "M{x:.1} {y:.1}h0")
            };
            is_drawing = true;
        }
        path
    }
}

fn position(number: usize) -> f64 {
    u32::try_from(number).map_or(0.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_interrupts_the_line_and_the_text_has_the_figures() {
        let lines = [
            Line { name: "accepted", values: vec![Some(4.0), None, Some(1.0), Some(2.0)] },
            Line { name: "delivered", values: vec![None; 4] },
        ];
        let text = |value: f64| format!("{value}/s");
        let chart =
            Chart { title: "Orders", lines: &lines, room: 7, span: "minute", top: 1.0, text };
        let svg = chart.show().into_string();
        assert!(svg.contains("d=\"M150.0 0.0h0M250.0 60.0h0L300.0 40.0\""), "{svg}");
        assert!(
            svg.contains(
                "aria-label=\"Orders in the last minute; accepted: 2/s now, at least 1/s, at most 4/s; \
                 delivered: not known\""
            ),
            "{svg}"
        );
        assert!(svg.contains("delivered <strong>-</strong>"), "{svg}");
    }
}
