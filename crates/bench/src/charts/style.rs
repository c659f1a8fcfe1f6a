//! Colours and fonts. Each chart has a white background, so that it can be read in a dark viewer.

use plotters::style::{BLACK, IntoFont, RGBColor, TextStyle, WHITE};

/// In pixels, like all sizes here.
pub(super) const WIDTH: u32 = 960;

pub(super) const BACKGROUND: RGBColor = WHITE;
pub(super) const GRID: RGBColor = RGBColor(215, 219, 224);
pub(super) const BEFORE: RGBColor = RGBColor(170, 178, 189);
pub(super) const AFTER: RGBColor = RGBColor(0, 114, 178);
pub(super) const TARGET: RGBColor = RGBColor(213, 94, 0);

/// Colours that people with a colour vision deficiency can tell apart (Okabe and Ito).
pub(super) const PALETTE: [RGBColor; 7] = [
    AFTER,
    TARGET,
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

pub(super) fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

/// The last of the reports is the one of this run.
pub(super) fn color_of(report: usize, reports: usize) -> RGBColor {
    if report + 1 == reports { AFTER } else { BEFORE }
}
