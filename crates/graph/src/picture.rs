//! The graph as a picture: SVG that needs nothing else. Size is the number of links, colour the domain, the
//! line's dashes the kind of link, its width how strong it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use kos_model::{KnowledgeId, LinkKind};

use crate::format::xml;
use crate::layout::{Layout, Point, Size, lay_out};
use crate::{Edge, Graph, Node};

/// Most nodes of one picture; of more, those with the most links are drawn.
pub const MAX_PICTURED: usize = 200;

const FONT: f64 = 11.0;
const LINE: f64 = 13.0;
/// Longest line of a label, in pixels.
const LABEL_WIDTH: f64 = 118.0;
const LABEL_LINES: usize = 2;
/// The column that explains colours and lines, in pixels.
const LEGEND: f64 = 210.0;
const LEGEND_ROW: f64 = 19.0;
const HEAD: f64 = 34.0;
const COLOURS: [&str; 10] =
    ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f", "#ff9da7", "#499894"];
const OTHER_COLOUR: &str = "#79706e";
const NO_COLOUR: &str = "#c9c4c1";
const LINE_COLOUR: &str = "#5b6470";
const ALARM_COLOUR: &str = "#c0392b";
/// Weights whose lines the legend shows.
const WEIGHTS: [f64; 3] = [0.0, 0.5, 1.0];

/// Draws a graph. `total` is how many nodes there would be in all, where that is more.
#[must_use]
pub fn picture(graph: &Graph, total: Option<u64>) -> String {
    let (nodes, edges) = drawn(graph);
    let shapes: Vec<Shape> = nodes.iter().map(|node| Shape::new(node)).collect();
    let places: HashMap<KnowledgeId, usize> = nodes.iter().enumerate().map(|(place, node)| (node.id, place)).collect();
    let ends = |edge: &&Edge| Some((*places.get(&edge.source)?, *places.get(&edge.target)?));
    let links: Vec<(usize, usize)> = edges.iter().filter_map(ends).collect();
    let boxes: Vec<Size> = shapes.iter().map(|shape| shape.size).collect();
    let layout = lay_out(&boxes, &links);
    let colours = Colours::new(&nodes);
    let kinds: BTreeSet<LinkKind> = edges.iter().map(|edge| edge.kind).collect();
    let rows = colours.rows() + kinds.len() + WEIGHTS.len() + 4;
    let legend = f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) * LEGEND_ROW + 20.0;
    let size = Size {
        width: layout.size.width.max(320.0) + LEGEND,
        height: (layout.size.height + HEAD).max(legend + HEAD).max(240.0),
    };
    let circles = circles(&shapes, &layout, size);
    let mut svg = head(size, nodes.len(), edges.len(), total);
    draw_edges(&mut svg, &edges, &links, &circles);
    for ((node, shape), circle) in nodes.iter().zip(&shapes).zip(&circles) {
        draw_node(&mut svg, node, shape, *circle, colours.of(node));
    }
    draw_legend(&mut svg, &colours, &kinds, size.width - LEGEND + 10.0);
    svg.push_str("</svg>\n");
    svg
}

/// What is drawn of a graph: its nodes with the most links, and the links between them.
fn drawn(graph: &Graph) -> (Vec<&Node>, Vec<&Edge>) {
    let mut nodes: Vec<&Node> = graph.nodes.iter().collect();
    nodes.sort_by(|a, b| b.degree.cmp(&a.degree).then_with(|| a.id.cmp(&b.id)));
    nodes.truncate(MAX_PICTURED);
    nodes.sort_by_key(|node| node.id);
    let is_drawn = |id: &KnowledgeId| nodes.binary_search_by_key(id, |node| node.id).is_ok();
    let edges = graph.edges.iter().filter(|edge| is_drawn(&edge.source) && is_drawn(&edge.target)).collect();
    (nodes, edges)
}

/// A node's circle and the lines of its label below.
struct Shape {
    radius: f64,
    lines: Vec<String>,
    size: Size,
}

impl Shape {
    fn new(node: &Node) -> Self {
        let radius = (5.0 + 2.2 * f64::from(node.degree).sqrt()).min(26.0);
        let lines = wrapped(&node.label);
        let widest = lines.iter().map(|line| width(line)).fold(2.0 * radius, f64::max);
        let height = 2.0 * radius + 4.0 + LINE * f64::from(u32::try_from(lines.len()).unwrap_or(u32::MAX));
        Self { radius, lines, size: Size { width: widest + 4.0, height } }
    }
}

/// About how wide a text is, in pixels.
fn width(text: &str) -> f64 {
    let of = |sign: char| match sign {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | '(' | ')' | '/' => 0.36,
        'm' | 'w' | 'M' | 'W' | 'ж' | 'ш' | 'щ' | 'ю' | 'ы' | 'Ж' | 'Ш' | 'Щ' | 'Ю' | 'ф' => 0.9,
        'A'..='Z' | 'А'..='Я' => 0.72,
        '\0'..='\u{7f}' => 0.58,
        '\u{80}'..='\u{10ff}' => 0.63,
        _ => 1.05,
    };
    text.chars().map(of).sum::<f64>() * FONT
}

/// A label in at most two lines.
fn wrapped(label: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in label.split_whitespace() {
        let line = lines.last().map(String::as_str).unwrap_or_default();
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || width(&longer) <= LABEL_WIDTH {
            lines.pop();
            lines.push(longer);
        } else {
            lines.push(word.to_owned());
        }
    }
    let is_cut = lines.len() > LABEL_LINES;
    lines.truncate(LABEL_LINES);
    let last = lines.len().saturating_sub(1);
    let fit = |(number, line): (usize, String)| shortened(&line, LABEL_WIDTH, is_cut && number == last);
    lines.into_iter().enumerate().map(fit).filter(|line| !line.is_empty()).collect()
}

/// As much of a text as there is room for.
fn shortened(text: &str, room: f64, is_cut: bool) -> String {
    if !is_cut && width(text) <= room {
        return text.to_owned();
    }
    let mut start = String::new();
    for sign in text.chars() {
        if width(&start) + width(&sign.to_string()) > room - FONT {
            break;
        }
        start.push(sign);
    }
    format!("{}…", start.trim_end())
}

/// The colours of the domains that have the most nodes.
struct Colours<'n> {
    domains: Vec<&'n str>,
    has_others: bool,
    has_none: bool,
}

impl<'n> Colours<'n> {
    fn new(nodes: &[&'n Node]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        nodes.iter().filter_map(|node| node.domain.as_deref()).for_each(|name| *counts.entry(name).or_default() += 1);
        let mut domains: Vec<(&str, usize)> = counts.into_iter().collect();
        domains.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        Self {
            has_others: domains.len() > COLOURS.len(),
            has_none: nodes.iter().any(|node| node.domain.is_none()),
            domains: domains.into_iter().take(COLOURS.len()).map(|(name, _)| name).collect(),
        }
    }

    fn of(&self, node: &Node) -> &'static str {
        let Some(domain) = node.domain.as_deref() else { return NO_COLOUR };
        let named = self.domains.iter().zip(COLOURS).find(|(name, _)| **name == domain);
        named.map_or(OTHER_COLOUR, |(_, colour)| colour)
    }

    fn entries(&self) -> Vec<(&str, &'static str)> {
        let others = self.has_others.then_some(("other domains", OTHER_COLOUR));
        let none = self.has_none.then_some(("no domain", NO_COLOUR));
        self.domains.iter().copied().zip(COLOURS).chain(others).chain(none).collect()
    }

    fn rows(&self) -> usize {
        self.entries().len()
    }
}

/// How a kind of link is drawn: its dashes and its colour.
const fn style(kind: LinkKind) -> (&'static str, &'static str) {
    match kind {
        LinkKind::RelatedTo | LinkKind::DependsOn => ("none", LINE_COLOUR),
        LinkKind::Contradicts => ("3 3", ALARM_COLOUR),
        LinkKind::DuplicateOf => ("9 3 2 3", LINE_COLOUR),
        LinkKind::Supports => ("6 3", LINE_COLOUR),
        LinkKind::PartOf => ("14 3", LINE_COLOUR),
        LinkKind::DerivedFrom => ("2 3", LINE_COLOUR),
        LinkKind::Supersedes => ("12 4 3 4", LINE_COLOUR),
        LinkKind::Answers => ("5 6", LINE_COLOUR),
        LinkKind::ExampleOf => ("8 3 2 3 2 3", LINE_COLOUR),
    }
}

/// The circle's middle and radius; a small layout stands in the middle of its room.
fn circles(shapes: &[Shape], layout: &Layout, size: Size) -> Vec<(Point, f64)> {
    let left = (size.width - LEGEND - layout.size.width) / 2.0;
    let top = HEAD + (size.height - HEAD - layout.size.height) / 2.0;
    let circle = |(shape, point): (&Shape, &Point)| {
        let y = point.y - shape.size.height / 2.0 + shape.radius;
        (Point { x: left + point.x, y: top + y }, shape.radius)
    };
    shapes.iter().zip(&layout.points).map(circle).collect()
}

fn head(size: Size, nodes: usize, edges: usize, total: Option<u64>) -> String {
    let Size { width, height } = size;
    let of = total.filter(|total| *total > u64::try_from(nodes).unwrap_or_default());
    let of = of.map(|total| format!(", the best linked of {total}")).unwrap_or_default();
    let summary = format!("{nodes} items, {edges} links{of}");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" \
         font-size=\"{FONT}\">\n<title>Knowledge graph: {summary}</title>\n<defs>\n{}{}</defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"24\" font-size=\"13\" font-weight=\"bold\" fill=\"#2b3038\">{summary}</text>\n",
        marker("arrow", LINE_COLOUR),
        marker("alarm", ALARM_COLOUR),
    )
}

fn marker(id: &str, colour: &str) -> String {
    format!(
        "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 1L10 5L0 9z\" fill=\"{colour}\"/></marker>\n"
    )
}

fn thickness(weight: f64) -> f64 {
    0.7 + 1.3 * weight
}

fn line_attributes(kind: LinkKind, weight: f64) -> String {
    let (dashes, colour) = style(kind);
    let marker = if kind.is_symmetric() { "" } else { " marker-end=\"url(#arrow)\"" };
    let marker = if colour == ALARM_COLOUR { marker.replace("arrow", "alarm") } else { marker.to_owned() };
    let thickness = thickness(weight);
    format!(
        "fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.8\" stroke-width=\"{thickness:.2}\" stroke-dasharray=\"{dashes}\"{marker}"
    )
}

fn draw_edges(svg: &mut String, edges: &[&Edge], links: &[(usize, usize)], circles: &[(Point, f64)]) {
    let mut between: HashMap<(usize, usize), usize> = HashMap::new();
    links.iter().for_each(|(a, b)| *between.entry((*a.min(b), *a.max(b))).or_default() += 1);
    let mut drawn: HashMap<(usize, usize), usize> = HashMap::new();
    for (edge, (a, b)) in edges.iter().zip(links) {
        let (Some(from), Some(to)) = (circles.get(*a), circles.get(*b)) else { continue };
        let pair = (*a.min(b), *a.max(b));
        let turn = drawn.entry(pair).or_default();
        let middle = f64::from(u32::try_from(between.get(&pair).copied().unwrap_or(1)).unwrap_or(1) - 1) / 2.0;
        // Lines between the same two nodes are bent, each its own way.
        let bend = (f64::from(u32::try_from(*turn).unwrap_or_default()) - middle) * 26.0;
        *turn += 1;
        let bend = if a > b { -bend } else { bend };
        let (kind, weight) = (edge.kind, edge.weight);
        // Writing into a string cannot fail.
        let _ = writeln!(
            svg,
            "<path d=\"{}\" {}><title>{kind}, {weight:.2}</title></path>",
            line(*from, *to, bend),
            line_attributes(kind, weight)
        );
    }
}

/// From one circle's rim to the other's.
fn line(from: (Point, f64), to: (Point, f64), bend: f64) -> String {
    let ((a, rim_a), (b, rim_b)) = (from, to);
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let length = dx.hypot(dy).max(1.0);
    let knee =
        Point { x: f64::midpoint(a.x, b.x) - dy / length * bend, y: f64::midpoint(a.y, b.y) + dx / length * bend };
    let rim = |centre: Point, radius: f64| {
        let (dx, dy) = (knee.x - centre.x, knee.y - centre.y);
        let length = dx.hypot(dy).max(1.0);
        (centre.x + dx / length * radius, centre.y + dy / length * radius)
    };
    let ((x1, y1), (x2, y2)) = (rim(a, rim_a + 1.0), rim(b, rim_b + 2.0));
    if bend == 0.0 {
        format!("M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}")
    } else {
        format!("M{x1:.1} {y1:.1}Q{:.1} {:.1} {x2:.1} {y2:.1}", knee.x, knee.y)
    }
}

fn draw_node(svg: &mut String, node: &Node, shape: &Shape, circle: (Point, f64), colour: &str) {
    let (Point { x, y }, radius) = circle;
    let domain = node.domain.as_deref().unwrap_or("no domain");
    let links = if node.degree == 1 { "link" } else { "links" };
    let _ = write!(
        svg,
        "<g><title>{}\n{}\n{} {links}\n{}</title><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{colour}\" \
         stroke=\"#ffffff\" stroke-width=\"1.5\"/>",
        xml(&node.label),
        xml(domain),
        node.degree,
        node.id,
    );
    let mut baseline = y + radius + LINE - 1.0;
    for text in &shape.lines {
        let text = xml(text);
        // Twice: the first is the light around the letters, where lines pass behind them.
        let _ = write!(
            svg,
            "<g text-anchor=\"middle\"><text x=\"{x:.1}\" y=\"{baseline:.1}\" stroke=\"#ffffff\" stroke-width=\"3\" \
             stroke-linejoin=\"round\" fill=\"#ffffff\" aria-hidden=\"true\">{text}</text>\
             <text x=\"{x:.1}\" y=\"{baseline:.1}\" fill=\"#2b3038\">{text}</text></g>"
        );
        baseline += LINE;
    }
    svg.push_str("</g>\n");
}

fn draw_legend(svg: &mut String, colours: &Colours<'_>, kinds: &BTreeSet<LinkKind>, x: f64) {
    let mut y = HEAD;
    let mut row = |text: &str, bold: bool, sign: &dyn Fn(f64) -> String| {
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        y += if bold { LEGEND_ROW / 2.0 } else { 0.0 };
        let left = if bold { x } else { x + 44.0 };
        let text = xml(&shortened(text, LEGEND - 64.0, false));
        let _ = writeln!(
            svg,
            "{}<text x=\"{left:.1}\" y=\"{:.1}\" fill=\"#2b3038\"{weight}>{text}</text>",
            sign(y),
            y + 4.0
        );
        y += LEGEND_ROW;
    };
    let entries = colours.entries();
    if !entries.is_empty() {
        row("Domains", true, &|_| String::new());
    }
    for (name, colour) in entries {
        row(name, false, &|y| format!("<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"{colour}\"/>", x + 28.0));
    }
    if !kinds.is_empty() {
        row("Links", true, &|_| String::new());
    }
    for kind in kinds {
        let attributes = line_attributes(*kind, 0.6);
        row(&kind.as_str().replace('_', " "), false, &|y| {
            format!("<path d=\"M{:.1} {y:.1}L{:.1} {y:.1}\" {attributes}/>", x, x + 36.0)
        });
    }
    if kinds.is_empty() {
        return;
    }
    row("Weight", true, &|_| String::new());
    for weight in WEIGHTS {
        let thickness = thickness(weight);
        row(&weight.to_string(), false, &|y| {
            let line = format!("M{:.1} {y:.1}L{:.1} {y:.1}", x, x + 36.0);
            format!("<path d=\"{line}\" stroke=\"{LINE_COLOUR}\" stroke-width=\"{thickness:.2}\"/>")
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{assert_well_formed, graph};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_picture_is_well_formed_whatever_the_texts(graph in graph()) {
            let svg = picture(&graph, Some(1_000));
            assert_well_formed(&svg);
            prop_assert_eq!(svg.matches("<circle").count() >= graph.nodes.len(), true);
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn a_label_fits_into_two_lines() {
        assert_eq!(wrapped("short"), ["short"]);
        assert!(wrapped(" ").is_empty());
        let lines = wrapped("Лучшие практики асинхронного программирования на языке Rust для всех");
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| width(line) <= LABEL_WIDTH + FONT) && lines[1].ends_with('…'), "{lines:?}");
        assert_eq!(wrapped(&"x".repeat(500)).len(), 1);
    }
}
