//! An SVG that reads on a light and on a dark page: same text for the same figures, no ids, no dates.

use plotters::prelude::*;

/// What a drawing gives where it cannot be drawn.
pub type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A part of an SVG to draw on.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The page. Under a dark scheme a style sheet in the SVG gives these three other colours.
pub const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Text and axes.
pub const INK: RGBColor = RGBColor(0x1F, 0x23, 0x28);
/// Lines of the mesh.
pub const MESH: RGBColor = RGBColor(0xD1, 0xD9, 0xE0);

/// Colours of series: told apart on either page.
pub const SERIES: [RGBColor; 8] = [
    RGBColor(0x2F, 0x81, 0xF7),
    RGBColor(0xE0, 0x7B, 0x00),
    RGBColor(0x2D, 0xA4, 0x4E),
    RGBColor(0xE5, 0x53, 0x4B),
    RGBColor(0xA3, 0x71, 0xF7),
    RGBColor(0x1B, 0xA5, 0xB8),
    RGBColor(0xBF, 0x4B, 0x8A),
    RGBColor(0x9A, 0x7B, 0x1F),
];
/// Floors and whatever is for comparison.
pub const FLOOR: RGBColor = RGBColor(0x8B, 0x94, 0x9E);

const DARK: [(RGBColor, &str); 3] = [(PAPER, "#0D1117"), (INK, "#E6EDF3"), (MESH, "#30363D")];

/// Draws on a page of this size and gives the SVG.
///
/// # Errors
///
/// What the drawing gives.
pub fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&PAPER)?;
        draw(&root)?;
        root.present()?;
    }
    // The one tag that is open from the first to the last: the style sheet goes to its beginning.
    let open =
        text.find("<svg").and_then(|at| Some(at + text[at..].find('>')? + 1)).ok_or("no SVG was drawn")?;
    text.insert_str(open, &style());
    Ok(text)
}

/// Fill and stroke of the three colours under a dark scheme.
fn style() -> String {
    let rule = |(color, dark): &(RGBColor, &str)| {
        let RGBColor(r, g, b) = color;
        let light = format!("#{r:02X}{g:02X}{b:02X}");
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    };
    let rules: String = DARK.iter().map(rule).collect();
    format!("\n<style>@media (prefers-color-scheme: dark){{{rules}}}</style>")
}

/// Text of this size.
pub fn font<'a>(size: u32) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_well_formed_the_same_each_time_and_has_a_dark_scheme() {
        let draw = || {
            svg((200, 100), |root| {
                root.draw(&Text::new("a < b & c", (10, 10), font(14)))?;
                root.draw(&PathElement::new(vec![(0, 0), (9, 9)], MESH))?;
                Ok(())
            })
            .expect("it is drawn")
        };
        let text = draw();
        assert_eq!(text, draw());
        let document = roxmltree::Document::parse(&text).expect("well-formed");
        let style =
            document.descendants().find(|node| node.has_tag_name("style")).and_then(|node| node.text());
        let style = style.expect("it has a style sheet");
        // Each colour that the sheet changes is one that is drawn, written the same way.
        for attribute in ["fill=\"#FFFFFF\"", "fill=\"#1F2328\"", "stroke=\"#D1D9E0\""] {
            assert!(style.contains(attribute), "{style}");
            assert!(text.replace(style, "").contains(attribute), "{attribute}: {text}");
        }
    }
}
