//! Two kinds of plots: lines over an axis of nines or of sizes, and bars.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use crate::canvas::{Area, Drawn, FLOOR, INK, MESH, SERIES, font, svg};
use crate::gates::time;

/// A line of a plot.
pub struct Line {
    /// As the legend has it.
    pub name: String,
    /// Drawn in the colour of what is only for comparison.
    pub is_floor: bool,
    /// Both already as they lie on their axes.
    pub points: Vec<(f64, f64)>,
}

/// An axis: what it says, and where its labels stand.
#[derive(Clone)]
pub struct Axis {
    /// As it is written beside it.
    pub name: &'static str,
    /// Places and labels; the axis reaches from the first to the last.
    pub labels: Vec<(f64, String)>,
}

impl Axis {
    /// Logarithmic, over these values.
    pub fn logarithmic(name: &'static str, values: impl IntoIterator<Item = f64>) -> Axis {
        let (least, most) = values
            .into_iter()
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        let steps = (-3..10).flat_map(|exponent| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(exponent)));
        let steps: Vec<f64> = steps.collect();
        let first = steps.iter().rposition(|step| *step <= least).unwrap_or(0);
        let last = steps.iter().position(|step| *step >= most).unwrap_or(steps.len() - 1).max(first + 1);
        let label = |step: &f64| (step.log10(), short(*step));
        Axis { name, labels: steps[first..=last.min(steps.len() - 1)].iter().map(label).collect() }
    }

    fn ends(&self) -> (f64, f64) {
        let end = |label: Option<&(f64, String)>| label.map_or(0.0, |(place, _)| *place);
        (end(self.labels.first()), end(self.labels.last()))
    }

    fn label(&self, at: f64) -> String {
        let label = self.labels.iter().find(|(place, _)| (place - at).abs() < 1e-9);
        label.map_or(String::new(), |(_, label)| label.clone())
    }
}

impl Ranged for Axis {
    type ValueType = f64;
    type FormatOption = DefaultFormatting;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (first, last) = self.ends();
        from + ((value - first) / (last - first) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labels.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        let (first, last) = self.ends();
        first..last
    }
}

/// `0.5`, `20`, `5k`, `1M`.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.0}M", value / 1e6),
        value if value >= 1e3 => format!("{:.0}k", value / 1e3),
        value if value >= 1.0 => format!("{value:.0}"),
        value => format!("{value}"),
    }
}

/// # Errors
///
/// What the drawing gives.
pub fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> Drawn<String> {
    svg((960, 440), |root| {
        // The legend beside the plot, where it hides nothing.
        let (plot, legend) = root.split_horizontally(750);
        let mut chart = ChartBuilder::on(&plot)
            .caption(title, font(21))
            .margin(14)
            .margin_right(40)
            .x_label_area_size(50)
            .y_label_area_size(66)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(MESH)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(font(16))
            .axis_desc_style(font(17))
            .x_desc(x.name)
            .y_desc(y.name)
            .x_label_formatter(&|at| x.label(*at))
            .y_label_formatter(&|at| y.label(*at))
            .draw()?;
        for (index, line) in lines.iter().enumerate() {
            let (color, dash) = style(lines, index);
            let points = || line.points.iter().copied();
            let at = 60 + 24 * index as i32;
            let key = [(0, at), (26, at)];
            match dash {
                None => {
                    chart.draw_series(LineSeries::new(points(), color.stroke_width(2)))?;
                    legend.draw(&PathElement::new(key, color.stroke_width(2)))?;
                }
                Some(dash) => {
                    let (line, key) = (points(), key.into_iter());
                    chart.draw_series(DashedLineSeries::new(line, dash, dash, color.stroke_width(2)))?;
                    legend.draw(&DashedPathElement::new(key, dash, dash, color.stroke_width(2)))?;
                }
            }
            chart.draw_series(points().map(|point| Circle::new(point, 3, color.filled())))?;
            text(&legend, line.name.clone(), (34, at - 7), Side::Left)?;
        }
        Ok(())
    })
}

/// A colour, and for floors after the first the length of dashes.
fn style(lines: &[Line], index: usize) -> (RGBColor, Option<i32>) {
    let alike = lines[..index].iter().filter(|line| line.is_floor == lines[index].is_floor).count();
    if lines[index].is_floor {
        (FLOOR, [None, Some(8), Some(3)][alike % 3])
    } else {
        (SERIES[alike % SERIES.len()], None)
    }
}

/// A bar of a plot.
pub struct Bar {
    /// As it stands left of it.
    pub name: String,
    /// How long it is.
    pub ratio: f64,
    /// As it stands right of it.
    pub ns: Option<f64>,
    /// Whose it is: ours, a floor, a peer.
    pub color: RGBColor,
}

const NAMES: i32 = 270;
const FIGURES: i32 = 130;
const WIDTH: i32 = 860;
const BAR: i32 = 24;
const HEAD: i32 = 40;

/// Bars on a logarithmic scale, as some are a hundred times longer than others.
///
/// # Errors
///
/// What the drawing gives.
pub fn bars(title: &str, bars: &[Bar]) -> Drawn<String> {
    let axis = Axis::logarithmic("", bars.iter().map(|bar| bar.ratio).chain([0.5, 2.0]));
    let bottom = HEAD + BAR * bars.len() as i32;
    svg((WIDTH as u32, (bottom + 30) as u32), |root| {
        root.draw(&Text::new(title.to_owned(), (14, 12), font(21)))?;
        let (from, to) = axis.ends();
        let at = |place: f64| {
            NAMES + ((place - from) / (to - from) * f64::from(WIDTH - NAMES - FIGURES)).round() as i32
        };
        for (place, label) in &axis.labels {
            let x = at(*place);
            root.draw(&PathElement::new(vec![(x, HEAD), (x, bottom)], MESH))?;
            text(root, format!("{label}x"), (x, bottom + 8), Side::Center)?;
        }
        for (index, bar) in bars.iter().enumerate() {
            let top = HEAD + BAR * index as i32;
            let end = at(bar.ratio.log10());
            root.draw(&Rectangle::new([(at(from), top + 4), (end, top + BAR - 4)], bar.color.filled()))?;
            text(root, bar.name.clone(), (NAMES - 10, top + 6), Side::Right)?;
            let ns = bar.ns.map_or(String::new(), |ns| format!(" ({} ns)", time(ns)));
            text(root, format!("{:.2}{ns}", bar.ratio), (end + 6, top + 6), Side::Left)?;
        }
        Ok(())
    })
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Center,
    Right,
}

fn text(root: &Area<'_>, text: String, at: (i32, i32), side: Side) -> Drawn {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let side = match side {
        Side::Left => HPos::Left,
        Side::Center => HPos::Center,
        Side::Right => HPos::Right,
    };
    root.draw(&Text::new(text, at, font(16).pos(Pos::new(side, VPos::Top))))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_reaches_over_its_values_in_steps_of_1_2_5() {
        let labels = |values: [f64; 2]| -> Vec<String> {
            Axis::logarithmic("", values).labels.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels([0.9, 12.0]), ["0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(labels([16.0, 1_048_576.0]).last().map(String::as_str), Some("2M"));
        assert!(labels([5.0, 5.0]).len() == 2, "never empty");
    }

    #[test]
    fn lines_and_bars_are_well_formed_and_hold_what_they_were_given() {
        let axis = || Axis::logarithmic("ns", [1.0, 100.0]);
        let line =
            |name: &str, is_floor| Line { name: name.into(), is_floor, points: vec![(0.0, 0.5), (1.0, 1.5)] };
        let svg =
            lines("a <title>", &axis(), &axis(), &[line("floor", true), line("ours", false)]).expect("drawn");
        let document = roxmltree::Document::parse(&svg).expect("well-formed");
        let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).map(str::trim).collect();
        assert!(
            ["a <title>", "floor", "ours", "ns", "50"].iter().all(|text| texts.contains(text)),
            "{texts:?}"
        );

        let bar = |name: &str, ratio| Bar { name: name.into(), ratio, ns: Some(1.5), color: SERIES[0] };
        let svg = bars("bars", &[bar("short", 0.9), bar("HashMap<_>", 120.0)]).expect("drawn");
        let document = roxmltree::Document::parse(&svg).expect("well-formed");
        let widths: Vec<f64> = document
            .descendants()
            .filter(|node| node.has_tag_name("rect") && node.attribute("fill") == Some("#2F81F7"))
            .filter_map(|node| node.attribute("width")?.parse().ok())
            .collect();
        assert!(widths.len() == 2 && widths[1] > 5.0 * widths[0], "{widths:?}");
        assert!(svg.contains("HashMap&lt;_&gt;") && svg.contains("120.00 (1.50 ns)"));
    }
}
