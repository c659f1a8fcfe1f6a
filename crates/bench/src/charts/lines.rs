//! The percentiles of latencies, as lines over a logarithmic scale.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::style::{BACKGROUND, GRID, PALETTE, WIDTH, text};

/// In pixels.
const HEIGHT: u32 = 520;
const DASH: u32 = 6;

/// A chart of lines.
pub(super) struct Lines {
    /// Title and unit.
    pub(super) title: String,
    /// The names on the horizontal axis.
    pub(super) percentiles: Vec<String>,
    pub(super) lines: Vec<Line>,
    pub(super) footer: String,
}

/// One latency of one report.
pub(super) struct Line {
    pub(super) label: String,
    /// The value of each percentile.
    pub(super) values: Vec<f64>,
    pub(super) color: usize,
    /// Whether the line belongs to the report from before.
    pub(super) is_before: bool,
}

impl Lines {
    pub(super) const SIZE: (u32, u32) = (WIDTH, HEIGHT);

    pub(super) fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&BACKGROUND)?;
        let (plot, bottom) = area.split_vertically(HEIGHT - 28);
        bottom.draw(&Text::new(self.footer.as_str(), (12, 6), text(13)))?;
        let values = || self.lines.iter().flat_map(|it| it.values.iter().copied());
        let lowest = values().reduce(f64::min).unwrap_or(1.0).max(0.001);
        let highest = values().fold(lowest, f64::max);
        // The legend is to the right of the last percentile.
        let width = 1.9 * f64::from(u32::try_from(self.percentiles.len()).unwrap_or(1)) - 1.9;
        let mut chart = ChartBuilder::on(&plot)
            .caption(&self.title, text(20))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(-0.1..width.max(1.0), (lowest * 0.8..highest * 1.3).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .x_labels(0)
            .y_label_formatter(&|value| format!("{value}"))
            .label_style(text(14))
            .draw()?;
        for (index, name) in (0_u32..).zip(&self.percentiles) {
            let at = (f64::from(index), lowest * 0.8);
            chart.draw_series([
                EmptyElement::at(at) + Text::new(name.clone(), (-10, 8), text(14))
            ])?;
        }
        for line in &self.lines {
            let style = PALETTE[line.color % PALETTE.len()].stroke_width(2);
            let points = (0_u32..).zip(&line.values).map(|(x, y)| (f64::from(x), y.max(lowest)));
            let drawn = if line.is_before {
                chart.draw_series(DashedLineSeries::new(points, DASH, DASH, style))?
            } else {
                chart.draw_series(LineSeries::new(points, style))?
            };
            let is_before = line.is_before;
            drawn.label(line.label.as_str()).legend(move |(x, y)| {
                let end = if is_before { x + 8 } else { x + 20 };
                PathElement::new([(x, y), (end, y)], style)
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(BACKGROUND.filled())
            .label_font(text(14))
            .draw()?;
        area.present()
    }
}
