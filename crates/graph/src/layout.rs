//! Where nodes stand in a picture: linked ones near each other, boxes beside each other, nothing by chance.
//!
//! What hangs together is laid out by forces (links pull, nodes push each other away), boxes that still
//! overlap are moved apart, and the groups are put beside each other in rows.

use std::collections::BTreeMap;

use crate::overview::Groups;

/// How often the forces act.
const ROUNDS: u32 = 300;
/// How often boxes that overlap are moved apart, at most.
const PARTINGS: u32 = 400;
/// Between two boxes, in pixels.
const GAP: f64 = 8.0;
/// Between two groups, in pixels.
const MARGIN: f64 = 28.0;
/// How much wider than high a picture is to be.
const ASPECT: f64 = 1.5;
/// The angle by which leaves turn around a stem: no two of them stand in one line.
const GOLDEN_ANGLE: f64 = 2.399_963;

/// A place, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
}

/// A box's or picture's size, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// To the right.
    pub width: f64,
    /// Downwards.
    pub height: f64,
}

/// Where every node stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The middle of each node's box.
    pub points: Vec<Point>,
    /// The whole picture, from 0, 0; every box is inside.
    pub size: Size,
}

/// Lays out nodes with boxes of these sizes, and links between them by their places in the list.
#[must_use]
pub fn lay_out(boxes: &[Size], links: &[(usize, usize)]) -> Layout {
    let mut groups: Vec<Group> =
        together(boxes.len(), links).iter().map(|nodes| Group::new(nodes, boxes, links)).collect();
    groups.sort_by(|a, b| b.size.height.total_cmp(&a.size.height).then_with(|| a.nodes.cmp(&b.nodes)));
    let area: f64 = groups.iter().map(|group| (group.size.width + MARGIN) * (group.size.height + MARGIN)).sum();
    let widest = groups.iter().map(|group| group.size.width).fold(0.0, f64::max);
    let width = (area * ASPECT).sqrt().max(widest + 2.0 * MARGIN);
    let mut layout = Layout { points: vec![Point::default(); boxes.len()], size: Size::default() };
    let (mut x, mut y, mut row) = (MARGIN, MARGIN, 0.0_f64);
    for group in &groups {
        if x > MARGIN && x + group.size.width + MARGIN > width {
            (x, y, row) = (MARGIN, y + row + MARGIN, 0.0);
        }
        for (node, point) in group.nodes.iter().zip(&group.points) {
            if let Some(place) = layout.points.get_mut(*node) {
                *place = Point { x: x + point.x, y: y + point.y };
            }
        }
        x += group.size.width + MARGIN;
        row = row.max(group.size.height);
        layout.size.width = layout.size.width.max(x);
        layout.size.height = layout.size.height.max(y + row + MARGIN);
    }
    layout
}

/// The nodes that hang together, each group in the order of the list.
fn together(count: usize, links: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut groups = Groups::default();
    (0..count).for_each(|_| {
        groups.add();
    });
    links.iter().for_each(|(a, b)| groups.join(*a, *b));
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    (0..count).for_each(|node| members.entry(groups.first(node)).or_default().push(node));
    members.into_values().collect()
}

/// Nodes that hang together, laid out from 0, 0.
struct Group {
    nodes: Vec<usize>,
    points: Vec<Point>,
    size: Size,
}

impl Group {
    fn new(nodes: &[usize], boxes: &[Size], links: &[(usize, usize)]) -> Self {
        let sizes: Vec<Size> = nodes.iter().filter_map(|node| boxes.get(*node)).copied().collect();
        // Groups are in the order of the list, so a place within is found by halving.
        let place = |node: &usize| nodes.binary_search(node).ok();
        let inner: Vec<(usize, usize)> =
            links.iter().filter_map(|(a, b)| Some((place(a)?, place(b)?))).filter(|(a, b)| a != b).collect();
        let mut points = start(&sizes, &inner);
        settle(&mut points, &sizes, &inner);
        part(&mut points, &sizes);
        let size = to_origin(&mut points, &sizes);
        Self { nodes: nodes.to_vec(), points, size }
    }
}

fn real(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}

/// How far linked nodes are to stand from each other.
fn distance(sizes: &[Size]) -> f64 {
    let diagonals: f64 = sizes.iter().map(|size| size.width.hypot(size.height)).sum();
    diagonals / real(sizes.len().max(1)) * 0.75
}

/// In a spiral, those of the most links in the middle.
fn start(sizes: &[Size], links: &[(usize, usize)]) -> Vec<Point> {
    let mut degrees = vec![0_usize; sizes.len()];
    for end in links.iter().flat_map(|(a, b)| [a, b]) {
        if let Some(degree) = degrees.get_mut(*end) {
            *degree += 1;
        }
    }
    let mut order: Vec<(usize, usize)> = degrees.into_iter().enumerate().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let step = distance(sizes) * 0.6;
    let mut points = vec![Point::default(); sizes.len()];
    for (turn, (node, _)) in order.into_iter().enumerate() {
        if let Some(point) = points.get_mut(node) {
            let (sin, cos) = (real(turn) * GOLDEN_ANGLE).sin_cos();
            let radius = step * real(turn).sqrt();
            *point = Point { x: radius * cos, y: radius * sin };
        }
    }
    points
}

/// Lets the forces act, less and less.
fn settle(points: &mut [Point], sizes: &[Size], links: &[(usize, usize)]) {
    if points.len() < 2 {
        return;
    }
    let ideal = distance(sizes);
    for round in 0..ROUNDS {
        let mut pulls: Vec<Point> = points.iter().map(|point| push(*point, points, ideal)).collect();
        for (a, b) in links {
            let (Some(from), Some(to)) = (points.get(*a).copied(), points.get(*b).copied()) else { continue };
            let (dx, dy) = (to.x - from.x, to.y - from.y);
            let pull = dx.hypot(dy) / ideal;
            shift(pulls.get_mut(*a), dx * pull, dy * pull);
            shift(pulls.get_mut(*b), -dx * pull, -dy * pull);
        }
        let heat = ideal * (1.0 - f64::from(round) / f64::from(ROUNDS)).powi(2);
        for (point, pull) in points.iter_mut().zip(pulls) {
            let strength = pull.x.hypot(pull.y).max(1e-9);
            let step = strength.min(heat) / strength;
            shift(Some(point), pull.x * step, pull.y * step);
        }
    }
}

/// What all others, and the middle, do to a node.
fn push(point: Point, others: &[Point], ideal: f64) -> Point {
    // Towards the middle, so that branches do not drift away.
    let mut force = Point { x: -point.x * 0.7, y: -point.y * 1.4 };
    for other in others {
        let (dx, dy) = (point.x - other.x, point.y - other.y);
        // A node itself adds nothing.
        let squared = (dx * dx + dy * dy).max(1e-3);
        let strength = ideal * ideal / squared;
        force.x += dx * strength;
        force.y += dy * strength;
    }
    force
}

fn shift(point: Option<&mut Point>, x: f64, y: f64) {
    if let Some(point) = point {
        point.x += x;
        point.y += y;
    }
}

/// Moves boxes that overlap apart, each by half, in the direction in which less is to be done.
fn part(points: &mut [Point], sizes: &[Size]) {
    for _ in 0..PARTINGS {
        let mut moved = false;
        for second in 1..points.len() {
            let (before, rest) = points.split_at_mut(second);
            let (Some(b), Some(size_b)) = (rest.first_mut(), sizes.get(second)) else { continue };
            for (a, size_a) in before.iter_mut().zip(sizes) {
                moved |= part_two(a, *size_a, b, *size_b);
            }
        }
        if !moved {
            break;
        }
    }
}

fn part_two(a: &mut Point, size_a: Size, b: &mut Point, size_b: Size) -> bool {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let over_x = f64::midpoint(size_a.width, size_b.width) + GAP - dx.abs();
    let over_y = f64::midpoint(size_a.height, size_b.height) + GAP - dy.abs();
    if over_x <= 0.01 || over_y <= 0.01 {
        return false;
    }
    if over_x < over_y {
        let half = (over_x / 2.0).copysign(dx);
        a.x -= half;
        b.x += half;
    } else {
        let half = (over_y / 2.0).copysign(dy);
        a.y -= half;
        b.y += half;
    }
    true
}

/// Moves everything so that the boxes begin at 0, 0; returns how much room they take.
fn to_origin(points: &mut [Point], sizes: &[Size]) -> Size {
    let edges = |sign: f64| {
        let each = points
            .iter()
            .zip(sizes)
            .map(move |(point, size)| (sign * point.x + size.width / 2.0, sign * point.y + size.height / 2.0));
        each.fold((f64::MIN, f64::MIN), |most, edge| (most.0.max(edge.0), most.1.max(edge.1)))
    };
    let (left, top) = edges(-1.0);
    let (right, bottom) = edges(1.0);
    for point in points.iter_mut() {
        shift(Some(point), left, top);
    }
    Size { width: left + right, height: top + bottom }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_box_is_inside_the_picture_and_every_place_a_number(
            sizes in prop::collection::vec((1.0..200.0_f64, 1.0..80.0_f64), 0..40),
            links in prop::collection::vec((0usize..40, 0usize..40), 0..80),
        ) {
            let boxes: Vec<Size> = sizes.into_iter().map(|(width, height)| Size { width, height }).collect();
            let links: Vec<_> = links.into_iter().filter(|(a, b)| *a < boxes.len() && *b < boxes.len()).collect();
            let layout = lay_out(&boxes, &links);
            prop_assert_eq!(layout.points.len(), boxes.len());
            for (point, size) in layout.points.iter().zip(&boxes) {
                prop_assert!(point.x.is_finite() && point.y.is_finite());
                prop_assert!(point.x - size.width / 2.0 >= 0.0 && point.x + size.width / 2.0 <= layout.size.width);
                prop_assert!(point.y - size.height / 2.0 >= 0.0 && point.y + size.height / 2.0 <= layout.size.height);
            }
            prop_assert_eq!(lay_out(&boxes, &links), layout, "nothing is left to chance");
        }
    }

    #[test]
    fn boxes_of_a_tree_stand_beside_each_other() {
        let boxes = vec![Size { width: 120.0, height: 40.0 }; 60];
        let links: Vec<_> = (1..60).map(|node| (node / 3, node)).collect();
        let layout = lay_out(&boxes, &links);
        for (number, a) in layout.points.iter().enumerate() {
            for b in layout.points.iter().skip(number + 1) {
                assert!((a.x - b.x).abs() >= 119.0 || (a.y - b.y).abs() >= 39.0, "{a:?} {b:?}");
            }
        }
    }
}
