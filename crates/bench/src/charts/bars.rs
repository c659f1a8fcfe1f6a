//! Horizontal bars in groups, with one bar for each report.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{BACKGROUND, GRID, TARGET, WIDTH, color_of, text};

/// The left and the right end of the scale.
const LEFT: i32 = 330;
const RIGHT: i32 = 860;
/// The space for the title and the legend.
const TOP: i32 = 76;
const BAR: i32 = 15;
const GAP: i32 = 10;
const FOOTER: i32 = 34;

/// A chart of bars.
pub(super) struct Bars {
    /// Title and unit.
    pub(super) title: String,
    /// The name of each bar in a group.
    pub(super) series: Vec<&'static str>,
    pub(super) groups: Vec<Group>,
    pub(super) footer: String,
}

/// The bars of one label.
pub(super) struct Group {
    pub(super) label: String,
    /// A bar for each report that has the figure.
    pub(super) bars: Vec<Option<f64>>,
    /// The target, and its text.
    pub(super) target: Option<(f64, String)>,
}

impl Bars {
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&BACKGROUND)?;
        area.draw(&Text::new(self.title.as_str(), (12, 14), text(20)))?;
        area.draw(&Text::new(self.footer.as_str(), (12, self.height() - 22), text(13)))?;
        self.legend(area)?;
        area.draw(&vertical(LEFT, (TOP - 4, self.height() - FOOTER), GRID))?;
        for (number, group) in (0..).zip(&self.groups) {
            let top = TOP + number * self.group_height();
            let bottom = top + self.group_height() - GAP;
            let middle = i32::midpoint(top, bottom);
            area.draw(&beside(&group.label, (LEFT - 10, middle), HPos::Right))?;
            for (index, bar) in group.bars.iter().enumerate() {
                let Some(bar) = *bar else { continue };
                let top = top + BAR * i32::try_from(index).unwrap_or(0);
                let end = self.position(bar);
                let color = color_of(index, self.series.len());
                area.draw(&Rectangle::new([(LEFT, top), (end, top + BAR - 2)], color.filled()))?;
                area.draw(&beside(&number_text(bar), (end + 6, top + BAR / 2), HPos::Left))?;
            }
            if let Some((target, _)) = &group.target {
                area.draw(&vertical(self.position(*target), (top - 3, bottom + 1), TARGET))?;
            }
            if let Some((_, target)) = &group.target {
                area.draw(&beside(target, (RIGHT + 90, middle), HPos::Right))?;
            }
        }
        area.present()
    }

    /// Explains the colours under the title.
    fn legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let mut left = LEFT;
        for (index, name) in self.series.iter().enumerate() {
            let color = color_of(index, self.series.len());
            area.draw(&Rectangle::new([(left, 48), (left + 14, 60)], color.filled()))?;
            area.draw(&beside(name, (left + 20, 54), HPos::Left))?;
            left += 110;
        }
        if self.groups.iter().any(|it| it.target.is_some()) {
            area.draw(&vertical(left + 7, (46, 62), TARGET))?;
            area.draw(&beside("target of the median", (left + 20, 54), HPos::Left))?;
        }
        Ok(())
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (WIDTH, u32::try_from(self.height()).unwrap_or(WIDTH))
    }

    fn height(&self) -> i32 {
        TOP + self.group_height() * i32::try_from(self.groups.len()).unwrap_or(0) + FOOTER
    }

    fn group_height(&self) -> i32 {
        BAR * i32::try_from(self.series.len()).unwrap_or(1) + GAP
    }

    /// Where a value is on the scale.
    fn position(&self, value: f64) -> i32 {
        let bars = self.groups.iter().flat_map(|it| it.bars.iter().copied().flatten());
        let targets = self.groups.iter().filter_map(|it| Some(it.target.as_ref()?.0));
        let longest = bars.chain(targets).fold(f64::MIN_POSITIVE, f64::max);
        #[expect(clippy::cast_possible_truncation, reason = "the scale has a few hundred pixels")]
        let pixels = (value / longest * f64::from(RIGHT - LEFT)).round() as i32;
        LEFT + pixels
    }
}

fn vertical(x: i32, (top, bottom): (i32, i32), color: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, top), (x, bottom)], color.stroke_width(2))
}

fn beside(label: &str, at: (i32, i32), side: HPos) -> Text<'static, (i32, i32), String> {
    Text::new(label.to_owned(), at, text(14).pos(Pos::new(side, VPos::Center)))
}

fn number_text(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
