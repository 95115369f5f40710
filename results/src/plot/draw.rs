//! Draws charts, by plotters.

use std::ops::Range;

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::terminal::printable_line;

use super::{Chart, ChartAxis, ChartSeries, SeriesForm};

/// Width and height of a chart, in pixels.
const SIZE: (u32, u32) = (860, 390);

/// Height of title, key and note.
const HEAD: i32 = 60;

/// Colours that are told apart by whoever sees no red or no green, and in grey (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(60, 60, 60),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

const GREY: RGBColor = RGBColor(110, 110, 110);
const PALE: RGBColor = RGBColor(225, 225, 225);
const BAND: RGBColor = RGBColor(252, 234, 216);

/// A plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub struct PlotError(String);

type DrawError = DrawingAreaErrorKind<std::io::Error>;
type Area<'a, C> = DrawingArea<SVGBackend<'a>, C>;
type Coordinates = Cartesian2d<Ticked, Ticked>;

/// An axis as plotters takes one, with ticks and words of our own.
struct Ticked {
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Ticked {
    fn of(axis: &ChartAxis) -> Self {
        let ticks = axis.ticks().into_iter();
        Self {
            range: axis.place(axis.range.0)..axis.place(axis.range.1),
            ticks: ticks.map(|(figure, word)| (axis.place(figure), shown(&word))).collect(),
        }
    }
}

impl Ranged for Ticked {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Ticked {
    fn format(place: &f64) -> String {
        place.to_string()
    }

    fn format_ext(&self, place: &f64) -> String {
        let of_it = self.ticks.iter().find(|(at, _)| at == place);
        of_it.map_or_else(String::new, |(_, word)| word.clone())
    }
}

/// Draws charts one under the other, as one SVG document.
///
/// # Errors
/// When that cannot be done.
pub fn render(charts: &[Chart]) -> Result<String, PlotError> {
    let mut svg = String::new();
    draw_all(charts, &mut svg).map_err(|error| PlotError(error.to_string()))?;
    Ok(svg)
}

fn draw_all(charts: &[Chart], svg: &mut String) -> Result<(), DrawError> {
    let parts = charts.len().max(1);
    let size = (SIZE.0, SIZE.1 * parts as u32);
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (chart, part) in charts.iter().zip(area.split_evenly((parts, 1))) {
        draw(chart, &part)?;
    }
    area.present()
}

fn font(size: f64) -> TextStyle<'static> {
    // plotters writes a size that is smaller by this.
    TextStyle::from(("sans-serif", size * 1.24)).color(&BLACK)
}

/// A text as it may stand in a document.
fn shown(text: &str) -> String {
    printable_line(text).into_owned()
}

fn draw(chart: &Chart, part: &Area<'_, Shift>) -> Result<(), DrawError> {
    let title = font(15.0).pos(Pos::new(HPos::Left, VPos::Top));
    part.draw_text(&shown(&chart.title), &title, (14, 8))?;
    key(chart, part)?;
    let mut context = ChartBuilder::on(part)
        .margin_top(HEAD)
        .margin_right(24)
        .margin_left(10)
        .margin_bottom(if chart.note.is_empty() { 6 } else { 24 })
        .x_label_area_size(44)
        .y_label_area_size(78)
        .build_cartesian_2d(Ticked::of(&chart.x), Ticked::of(&chart.y))?;
    for band in &chart.bands {
        let corners = [(band.from, chart.y.range.0), (band.to, chart.y.range.1)];
        let corners = corners.map(|(x, figure)| (chart.x.place(x), chart.y.place(figure)));
        context.plotting_area().draw(&Rectangle::new(corners, BAND.filled()))?;
    }
    context
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .label_style(font(12.0))
        .axis_desc_style(font(12.0))
        .x_desc(shown(&chart.x.label))
        .y_desc(shown(&chart.y.label))
        .draw()?;
    labels(chart, &context)?;
    for (series, colour) in chart.series.iter().zip(COLOURS.iter().cycle()) {
        figures(chart, series, *colour, &context)?;
    }
    let note = font(11.0).color(&GREY).pos(Pos::new(HPos::Left, VPos::Bottom));
    part.draw_text(&shown(&chart.note), &note, (14, SIZE.1 as i32 - 8))
}

/// What each colour is of, in a line under the title.
fn key<'a>(chart: &Chart, part: &Area<'a, Shift>) -> Result<(), DrawError> {
    let mut left = 16;
    for (series, colour) in chart.series.iter().zip(COLOURS.iter().cycle()) {
        if series.label.is_empty() {
            continue;
        }
        let (middle, label) = (38, shown(&series.label));
        match series.form {
            SeriesForm::Line | SeriesForm::ThinLine => {
                let points = vec![(left, middle), (left + 22, middle)];
                part.draw(&PathElement::new(points, colour.stroke_width(width(series.form))))?;
            }
            SeriesForm::Discs => {
                part.draw(&Circle::new((left + 11, middle), 4, colour.filled()))?
            }
            SeriesForm::Rings => {
                part.draw(&Circle::new((left + 11, middle), 4, colour.stroke_width(2)))?;
            }
        }
        let style = font(12.0).pos(Pos::new(HPos::Left, VPos::Center));
        part.draw_text(&label, &style, (left + 28, middle))?;
        left += 28 + (label.chars().count() as i32 * 13 / 2) + 24;
    }
    Ok(())
}

/// Words at bands, each at the top, and rules with theirs.
fn labels<'a>(
    chart: &Chart,
    context: &ChartContext<'a, SVGBackend<'a>, Coordinates>,
) -> Result<(), DrawError> {
    let area = context.plotting_area();
    let (low, high) = (chart.y.place(chart.y.range.0), chart.y.place(chart.y.range.1));
    // Neighbours stand at different heights.
    let height = |number: usize| high - (high - low) * (0.015 + 0.055 * (number % 3) as f64);
    let style = font(11.0).pos(Pos::new(HPos::Left, VPos::Top));
    let mut number = 0;
    for band in &chart.bands {
        let place = (chart.x.place(band.from), height(number));
        area.draw(&Text::new(format!(" {}", shown(&band.label)), place, style.clone()))?;
        number += 1;
    }
    for (at, label) in &chart.rules {
        let x = chart.x.place(*at);
        area.draw(&PathElement::new(vec![(x, low), (x, high)], GREY.stroke_width(1)))?;
        let right =
            x > f64::midpoint(chart.x.place(chart.x.range.0), chart.x.place(chart.x.range.1));
        let side = if right { HPos::Right } else { HPos::Left };
        let style = style.clone().pos(Pos::new(side, VPos::Top));
        area.draw(&Text::new(format!(" {} ", shown(label)), (x, height(number)), style))?;
        number += 1;
    }
    Ok(())
}

fn figures<'a>(
    chart: &Chart,
    series: &ChartSeries,
    colour: RGBColor,
    context: &ChartContext<'a, SVGBackend<'a>, Coordinates>,
) -> Result<(), DrawError> {
    let area = context.plotting_area();
    let place = |x: f64, figure: f64| (chart.x.place(x), chart.y.place(figure));
    // Half the width of what ends an interval, as a share of the axis.
    let end = (chart.x.place(chart.x.range.1) - chart.x.place(chart.x.range.0)) * 0.006;
    for (x, from, to) in &series.intervals {
        let (low, high) = (place(*x, *from), place(*x, *to));
        let ends = [low, high].map(|(x, y)| vec![(x - end, y), (x + end, y)]);
        for line in [vec![low, high]].into_iter().chain(ends) {
            area.draw(&PathElement::new(line, colour.stroke_width(2)))?;
        }
    }
    match series.form {
        SeriesForm::Line | SeriesForm::ThinLine => {
            let parts = series.points.split(|(_, figure)| figure.is_none());
            for part in parts.filter(|part| !part.is_empty()) {
                let line: Vec<_> =
                    part.iter().filter_map(|(x, figure)| Some(place(*x, (*figure)?))).collect();
                // One alone would be no line.
                if let [one] = line[..] {
                    area.draw(&Circle::new(one, 2, colour.filled()))?;
                }
                area.draw(&PathElement::new(line, colour.stroke_width(width(series.form))))?;
            }
        }
        SeriesForm::Discs | SeriesForm::Rings => {
            let style: ShapeStyle = match series.form {
                SeriesForm::Rings => colour.stroke_width(2),
                _ => colour.filled(),
            };
            for (x, figure) in &series.points {
                let Some(figure) = figure else { continue };
                area.draw(&Circle::new(place(*x, *figure), 3, style))?;
            }
        }
    }
    Ok(())
}

fn width(form: SeriesForm) -> u32 {
    if form == SeriesForm::ThinLine { 1 } else { 2 }
}
