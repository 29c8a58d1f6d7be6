//! The document: text and plots, from the figures alone.

use plotters::style::RGBColor;
use resolver_benches::tails::field::row;
use resolver_benches::tails::sheet::{KEPT, Sheet};

use crate::budgets::Budget;
use crate::canvas::{Drawn, FLOOR, SERIES};
use crate::gates::Verdict;
use crate::plots::{Axis, Bar, Line, bars, lines};
use crate::quantiles::{self, Scenario, scenarios};
use crate::ratio_tables;
use crate::ratios::{Group, Ratio, distinct};
use crate::template::{self, LATENCY};
use crate::words::{count, services, slug};

/// Services of the tables that the bars are of, where there is such a table.
const BARS_AT: u64 = 1024;
/// Peers in the plot by number of services.
const FASTEST: usize = 3;

/// All that was measured.
pub struct Figures {
    /// Of the ratio tool.
    pub groups: Vec<Group>,
    /// What it says of its gates.
    pub verdicts: Vec<Verdict>,
    /// Of the tails.
    pub sheet: Sheet,
    /// Of `benches/budgets.txt`.
    pub budgets: Vec<Budget>,
}

/// A plot: the name of its file, what it shows, and its SVG.
struct Plot {
    file: String,
    title: String,
    /// The table or scenario that it belongs to.
    of: String,
    svg: String,
}

/// Names and contents of files, the document first.
///
/// # Errors
///
/// A plot that cannot be drawn; a text and figures that do not fit.
pub fn files(figures: &Figures) -> Drawn<Vec<(String, String)>> {
    let Figures { groups, verdicts, sheet, budgets } = figures;
    let (bars, scale, tails) = (ratio_plots(groups)?, scale_plots(groups)?, tail_plots(sheet)?);
    let image = |plot: &Plot| format!("![{}](latency/{})\n\n", plot.title, plot.file);
    let images =
        |plots: &[Plot], of: &str| plots.iter().filter(|plot| plot.of == of).map(image).collect::<String>();
    let scale_images: String = scale.iter().map(image).collect();
    let values = [
        ("short", short(figures)),
        ("machine", sheet.machine.to_markdown()),
        ("ratios", ratio_tables::tables(groups, verdicts, |table| images(&bars, table))),
        (
            "scale",
            if scale.is_empty() { "Not measured in this run: one size alone.".into() } else { scale_images },
        ),
        ("clock", quantiles::clock(sheet)),
        ("gate", quantiles::gate(sheet)),
        ("tails", quantiles::tables(sheet, |scenario| images(&tails, &scenario.title()))),
        ("budgets", budget_table(budgets)),
    ];
    let text = template::fill(LATENCY, &values)?;
    let plots = bars.into_iter().chain(scale).chain(tails);
    let plots = plots.map(|plot| (format!("latency/{}", plot.file), plot.svg));
    Ok(std::iter::once(("latency.md".to_owned(), text)).chain(plots).collect())
}

/// Everything that is bold anywhere, as a list.
fn short(figures: &Figures) -> String {
    let mut lines = ratio_tables::short(&figures.groups, &figures.verdicts);
    lines.extend(quantiles::short(&figures.sheet));
    let budgets = figures.budgets.iter().map(|budget| (budget, budget.say().short));
    let budgets = budgets.filter(|(_, short)| !short.is_empty());
    lines.extend(
        budgets.map(|(budget, short)| format!("instructions: **{}: {}**", budget.call(), short.join(", "))),
    );
    if lines.is_empty() {
        return "Nowhere: no figure is behind a peer, or over a target.".into();
    }
    lines.iter().map(|line| format!("- {line}\n")).collect()
}

fn budget_table(budgets: &[Budget]) -> String {
    let mut text = String::from("| call | at most | target |\n|---|---:|---:|\n");
    for budget in budgets {
        let target = budget.target.map_or("-".into(), |target| target.to_string());
        text += &format!("| {} | {} | {target} |\n", budget.call(), budget.say().text);
    }
    text
}

/// Bars of each table and form, with nobody writing, at one size.
fn ratio_plots(groups: &[Group]) -> Drawn<Vec<Plot>> {
    let mut plots = Vec::new();
    let idle = || groups.iter().filter(|group| group.is_idle());
    for (table, form) in distinct(idle(), |group| (group.table.as_str(), group.form.as_str())) {
        let of: Vec<&Group> = idle().filter(|group| group.table == table && group.form == form).collect();
        let Some(group) = of.iter().find(|group| group.services == BARS_AT).or(of.first()) else { continue };
        let mut rows: Vec<(&Ratio, f64)> =
            group.rows.iter().filter_map(|row| Some((row, row.ratio?))).collect();
        rows.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        if rows.len() < 2 {
            continue;
        }
        let bar = |(row, ratio): &(&Ratio, f64)| Bar {
            name: row.row.clone(),
            ratio: *ratio,
            ns: row.ns,
            color: color(row),
        };
        let base = group.rows.first().map_or("", |row| row.row.as_str());
        let title = format!("{table}, {form}, {}: time by that of \"{base}\"", services(group.services));
        let svg = bars(&title, &rows.iter().map(bar).collect::<Vec<_>>())?;
        plots.push(Plot {
            file: format!("ratios-{}.svg", slug(&format!("{table} {form}"))),
            title,
            of: table.into(),
            svg,
        });
    }
    Ok(plots)
}

fn is_floor(row: &Ratio) -> bool {
    row.row.starts_with("torn") || row.row.starts_with("plain")
}

fn color(row: &Ratio) -> RGBColor {
    match row {
        _ if is_floor(row) => FLOOR,
        _ if row.against.is_some() => SERIES[1],
        _ => SERIES[0],
    }
}

/// Nanoseconds against services, for each table and form that has two sizes or more.
fn scale_plots(groups: &[Group]) -> Drawn<Vec<Plot>> {
    let mut plots = Vec::new();
    let idle = || groups.iter().filter(|group| group.is_idle());
    for (table, form) in distinct(idle(), |group| (group.table.as_str(), group.form.as_str())) {
        let mut of: Vec<&Group> = idle().filter(|group| group.table == table && group.form == form).collect();
        of.sort_by_key(|group| group.services);
        let (true, Some(largest)) = (of.len() > 1, of.last()) else { continue };
        let mut peers: Vec<&Ratio> =
            largest.rows.iter().filter(|row| row.against.is_some() && row.ns.is_some()).collect();
        peers.sort_by(|a, b| a.ns.unwrap_or(f64::MAX).total_cmp(&b.ns.unwrap_or(f64::MAX)));
        peers.truncate(FASTEST);
        let shown = |row: &&Ratio| {
            (row.against.is_none() && (!is_floor(row) || largest.rows.first() == Some(*row)))
                || peers.contains(row)
        };
        let line = |row: &Ratio| {
            let points =
                of.iter().filter_map(|group| Some((group.services as f64, group.row(&row.row)?.ns?)));
            Line {
                name: row.row.clone(),
                is_floor: is_floor(row),
                points: points.map(|(services, ns)| (services.log10(), ns.log10())).collect(),
            }
        };
        let drawn: Vec<Line> = largest.rows.iter().filter(shown).map(line).collect();
        let times = drawn.iter().flat_map(|line| &line.points).map(|(_, ns)| 10_f64.powf(*ns));
        let x = Axis::logarithmic("services", of.iter().map(|group| group.services as f64));
        let y = Axis::logarithmic("ns", times);
        let (least, most) = (of.first().map_or(0, |group| group.services), largest.services);
        let title = format!("{table}, {form}: ns of a call, {} to {}", count(least), services(most));
        let svg = lines(&title, &x, &y, &drawn)?;
        plots.push(Plot {
            file: format!("scale-{}.svg", slug(&format!("{table} {form}"))),
            title,
            of: table.into(),
            svg,
        });
    }
    Ok(plots)
}

/// Quantiles of each scenario, the empty pair left out: it is what was subtracted.
fn tail_plots(sheet: &Sheet) -> Drawn<Vec<Plot>> {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let labels = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];
    let plot = |scenario: Scenario<'_>| {
        // A logarithm needs more than nothing: what is below half a step of the clock is drawn there.
        let least = sheet.step / 2.0;
        let line = |row: &&resolver_benches::tails::sheet::Row| {
            let points = KEPT.iter().filter_map(|quantile| Some((nines(*quantile), row.at(*quantile)?)));
            Line {
                name: row.row.clone(),
                is_floor: row.floor.is_none(),
                points: points.map(|(place, ns)| (place, ns.max(least).log10())).collect(),
            }
        };
        let drawn: Vec<Line> = scenario.rows.iter().filter(|row| row.row != row::EMPTY).map(line).collect();
        let times = drawn.iter().flat_map(|line| &line.points).map(|(_, ns)| 10_f64.powf(*ns));
        let y = Axis::logarithmic("ns, less the clock's own", times.chain([least, 20.0]));
        let x =
            Axis { name: "quantile", labels: labels.map(|(q, label)| (nines(q), label.to_owned())).into() };
        let title = format!("single calls, {}", scenario.title());
        let svg = lines(&title, &x, &y, &drawn)?;
        Ok(Plot { file: format!("tails-{}.svg", slug(&scenario.title())), title, of: scenario.title(), svg })
    };
    scenarios(sheet).into_iter().map(plot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budgets, gates, ratios};

    fn sample() -> Figures {
        Figures {
            groups: ratios::parse(ratios::tests::SAMPLE).expect("well-formed"),
            verdicts: gates::parse(gates::tests::SAMPLE).expect("well-formed"),
            sheet: quantiles::tests::sample(),
            budgets: budgets::parse("resolve 36 32\naddress 24 24\n").expect("well-formed"),
        }
    }

    #[test]
    fn the_same_figures_give_the_same_files_and_every_plot_is_well_formed_and_shown() {
        let (files, again) =
            (super::files(&sample()).expect("drawn"), super::files(&sample()).expect("drawn"));
        assert_eq!(files, again);
        let (document, plots) = files.split_first().expect("the document comes first");
        assert_eq!(document.0, "latency.md");
        let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
        for (name, svg) in plots {
            roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(document.1.contains(&format!("]({name})")), "{name} is not shown");
        }
        assert_eq!(document.1.matches("](latency/").count(), names.len() + 1, "each once, and the directory");
        for name in [
            "latency/ratios-by-handle-throughput.svg",
            "latency/scale-by-name-throughput.svg",
            "latency/tails-idle-1-024-services.svg",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
    }

    #[test]
    fn what_falls_short_anywhere_stands_first() {
        let files = super::files(&sample()).expect("drawn");
        let text = &files[0].1;
        let (from, to) = (text.find("## Where it falls short"), text.find("## How to get it"));
        let list = &text[from.expect("a heading")..to.expect("a heading")];
        assert_eq!(list.matches("\n- ").count(), 6, "{list}");
        let bold = [
            "resolve: over the target",
            "`resolve_name(&str)` is behind",
            "40 ns over its floor",
            "4 over the target",
        ];
        assert!(bold.iter().all(|words| list.contains(words)), "{list}");
        assert!(!text.contains("{{") && !text.contains("NaN"));
    }

    #[test]
    fn where_nothing_falls_short_it_says_so() {
        let mut figures = sample();
        figures.groups.truncate(1);
        figures.verdicts.truncate(2);
        figures.sheet.rows.truncate(3);
        figures.budgets.truncate(0);
        assert!(super::short(&figures).starts_with("Nowhere"));
    }
}
