//! The path of the least cost: Dijkstra's search from both ends at once.
//!
//! A path may be cheap and long or dear and short, and the number of its links is limited: so a node keeps
//! every way to it that no other beats in both. Links are asked for many nodes at a time, those first whose
//! turn comes soonest.

use std::collections::{BTreeSet, HashMap};

use kos_model::{KnowledgeId, LinkId};

use crate::route::{Route, Search, Wanted};
use crate::walk::Adjacent;

/// What every link costs, however strong: of two equally strong paths the shorter one is better.
const STEP: f64 = 0.01;
/// Nodes whose links are asked for at once, most of them before their turn: of more, many never have one; with fewer
/// the questions cost more than the answers.
const AHEAD: usize = 48;

/// What it costs to walk over a link: the stronger, the cheaper.
#[must_use]
pub fn cost(weight: f64) -> f64 {
    1.0 - weight + STEP
}

/// One way to a node.
#[derive(Debug)]
struct Label {
    node: KnowledgeId,
    cost: f64,
    hops: u32,
    /// The last link, and the way to where it begins.
    from: Option<(LinkId, usize)>,
}

/// The search from one end. Costs are never negative, so their bits are in their order.
#[derive(Debug)]
struct Half {
    labels: Vec<Label>,
    at: HashMap<KnowledgeId, Vec<usize>>,
    queue: BTreeSet<(u64, u32, usize)>,
    links: HashMap<KnowledgeId, Vec<Adjacent>>,
}

impl Half {
    fn new(end: KnowledgeId) -> Self {
        Self {
            labels: vec![Label { node: end, cost: 0.0, hops: 0, from: None }],
            at: HashMap::from([(end, vec![0])]),
            queue: BTreeSet::from([(0, 0, 0)]),
            links: HashMap::new(),
        }
    }

    fn least(&self) -> Option<f64> {
        self.queue.first().map(|(bits, _, _)| f64::from_bits(*bits))
    }

    /// The nodes that come next and whose links are not known, when the very next is one of them; the others only as far
    /// as a way to them costs less than so much.
    fn missing(&self, below: f64) -> Vec<KnowledgeId> {
        let unknown = |(_, _, index): &(u64, u32, usize)| {
            self.labels.get(*index).map(|label| label.node).filter(|node| !self.links.contains_key(node))
        };
        let Some(next) = self.queue.first().and_then(unknown) else { return Vec::new() };
        let useful = self.queue.iter().take_while(|(cost, _, _)| f64::from_bits(*cost) < below);
        let mut nodes: Vec<_> = useful.filter_map(unknown).take(AHEAD).chain([next]).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Keeps a way to a node, unless another is as cheap and as short; says where it is kept.
    fn keep(&mut self, label: Label) -> Option<usize> {
        let (labels, queue) = (&mut self.labels, &mut self.queue);
        let ways = self.at.entry(label.node).or_default();
        let beats = |a: &Label, b: &Label| a.cost <= b.cost && a.hops <= b.hops;
        if ways.iter().filter_map(|way| labels.get(*way)).any(|known| beats(known, &label)) {
            return None;
        }
        ways.retain(|way| match labels.get(*way) {
            Some(known) if beats(&label, known) => {
                queue.remove(&(known.cost.to_bits(), known.hops, *way));
                false
            }
            _ => true,
        });
        let index = labels.len();
        ways.push(index);
        queue.insert((label.cost.to_bits(), label.hops, index));
        labels.push(label);
        Some(index)
    }

    /// The nodes from a way's end back to where the search began, and the links between them.
    fn way(&self, index: usize) -> (Vec<KnowledgeId>, Vec<LinkId>) {
        let (mut nodes, mut links, mut at) = (Vec::new(), Vec::new(), Some(index));
        while let Some(label) = at.and_then(|index| self.labels.get(index)) {
            nodes.push(label.node);
            links.extend(label.from.map(|(link, _)| link));
            at = label.from.map(|(_, before)| before);
        }
        (nodes, links)
    }
}

/// The best path so far: its cost, and its ways from both ends.
type Best = (f64, usize, usize);

/// A search for the path of the least cost.
#[derive(Debug)]
pub struct Cheapest {
    forth: Half,
    back: Half,
    max_depth: u32,
    max_ways: usize,
    fan_out: usize,
    best: Option<Best>,
    ended: bool,
    truncated: bool,
    /// Whether a way was longer than is allowed.
    cut: bool,
}

impl Cheapest {
    /// From one node to another, over at most `max_depth` links; it gives up when it keeps `max_ways` ways,
    /// and looks at no more than `fan_out` links of a node.
    #[must_use]
    pub fn new(from: KnowledgeId, to: KnowledgeId, max_depth: u32, max_ways: usize, fan_out: usize) -> Self {
        Self {
            forth: Half::new(from),
            back: Half::new(to),
            max_depth,
            max_ways,
            fan_out,
            best: (from == to).then_some((0.0, 0, 0)),
            ended: from == to,
            truncated: false,
            cut: false,
        }
    }

    /// What the path that was found costs.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.best.map(|(cost, _, _)| cost)
    }

    /// Takes the cheapest way of one side a link further.
    fn settle(&mut self, backwards: bool) {
        let (half, other) = if backwards { (&mut self.back, &self.forth) } else { (&mut self.forth, &self.back) };
        let Some((_, _, index)) = half.queue.pop_first() else { return };
        let Some(label) = half.labels.get(index) else { return };
        let (base, hops, node) = (label.cost, label.hops + 1, label.node);
        if hops > self.max_depth {
            self.cut = true;
            return;
        }
        let links = half.links.get(&node).cloned().unwrap_or_default();
        for link in links {
            let cost = base + cost(link.weight);
            if self.best.is_some_and(|(best, _, _)| cost >= best) {
                continue;
            }
            let label = Label { node: link.there, cost, hops, from: Some((link.link, index)) };
            let Some(kept) = half.keep(label) else { continue };
            for met in other.at.get(&link.there).into_iter().flatten() {
                let Some(rest) = other.labels.get(*met) else { continue };
                let total = cost + rest.cost;
                if hops + rest.hops > self.max_depth {
                    self.cut = true;
                } else if self.best.is_none_or(|(best, _, _)| total < best) {
                    self.best = Some(if backwards { (total, *met, kept) } else { (total, kept, *met) });
                }
            }
        }
    }
}

impl Search for Cheapest {
    fn wants(&mut self) -> Option<Wanted> {
        while !self.ended {
            let (Some(forth), Some(back)) = (self.forth.least(), self.back.least()) else { break };
            if self.best.is_some_and(|(best, _, _)| best <= forth + back) {
                break;
            }
            if self.forth.labels.len() + self.back.labels.len() > self.max_ways {
                self.give_up();
                break;
            }
            let backwards = self.back.queue.len() < self.forth.queue.len();
            let (half, rest) = if backwards { (&self.back, forth) } else { (&self.forth, back) };
            let nodes = half.missing(self.best.map_or(f64::INFINITY, |(best, _, _)| best - rest));
            if !nodes.is_empty() {
                return Some(Wanted { nodes, backwards });
            }
            self.settle(backwards);
        }
        None
    }

    fn take(&mut self, wanted: &Wanted, found: &[Adjacent]) {
        let half = if wanted.backwards { &mut self.back } else { &mut self.forth };
        for node in &wanted.nodes {
            half.links.insert(*node, Vec::new());
        }
        for link in found {
            let links = half.links.entry(link.here).or_default();
            if links.len() < self.fan_out {
                links.push(*link);
            } else {
                self.truncated = true;
            }
        }
    }

    fn give_up(&mut self) {
        self.ended = true;
        self.truncated = true;
    }

    fn route(&self) -> Option<Route> {
        let (_, forth, back) = self.best?;
        let (mut nodes, mut links) = self.forth.way(forth);
        nodes.reverse();
        links.reverse();
        let (rest, last) = self.back.way(back);
        nodes.extend(rest.into_iter().skip(1));
        links.extend(last);
        Some(Route { nodes, links })
    }

    fn truncated(&self) -> bool {
        self.truncated || (self.best.is_none() && self.cut)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hops::tests::{Sketch, node, sketch};

    /// The least cost within so many links, found the plain way.
    fn least(sketch: &Sketch, to: KnowledgeId, max_depth: u32) -> Option<f64> {
        let mut costs = HashMap::from([(node(0), 0.0_f64)]);
        for _ in 0..max_depth {
            let mut next = costs.clone();
            for (from, to, weight) in &sketch.0 {
                if let Some(base) = costs.get(&node(*from)) {
                    let total = base + cost(*weight);
                    let known = next.entry(node(*to)).or_insert(f64::INFINITY);
                    *known = known.min(total);
                }
            }
            costs = next;
        }
        costs.get(&to).copied()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn what_is_found_is_a_path_within_the_limit_and_none_is_cheaper(
            sketch in sketch(), to in 0u8..14, max_depth in 1u32..6,
        ) {
            let (from, to) = (node(0), node(to));
            let mut search = Cheapest::new(from, to, max_depth, 10_000, 1_000);
            match (sketch.run(&mut search), least(&sketch, to, max_depth)) {
                (Some(route), Some(least)) => {
                    prop_assert!(sketch.leads(&route, from, to), "{route:?}");
                    prop_assert!(route.links.len() <= usize::try_from(max_depth).unwrap());
                    prop_assert!((search.cost().unwrap() - least).abs() < 1e-9, "{:?} is not {least}", search.cost());
                }
                (None, None) => {}
                (found, expected) => prop_assert!(false, "{found:?} where {expected:?} is the least"),
            }
        }
    }

    #[test]
    fn a_strong_detour_is_cheaper_than_a_weak_short_cut_unless_it_is_too_long() {
        let detour = Sketch::new(&[(0, 1, 0.1), (0, 2, 1.0), (2, 1, 0.9)]);
        let nodes =
            |max_depth| detour.run(&mut Cheapest::new(node(0), node(1), max_depth, 100, 100)).map(|route| route.nodes);
        assert_eq!(nodes(8), Some(vec![node(0), node(2), node(1)]));
        assert_eq!(nodes(1), Some(vec![node(0), node(1)]));
    }

    #[test]
    fn a_limit_of_ways_ends_the_search_and_says_so() {
        let long: Vec<_> = (0..12).map(|number| (number, number + 1, 1.0)).collect();
        let mut search = Cheapest::new(node(0), node(12), 12, 5, 100);
        assert_eq!((Sketch(long).run(&mut search), search.truncated()), (None, true));
    }

    #[test]
    fn the_way_from_a_node_to_itself_costs_nothing() {
        let mut search = Cheapest::new(node(5), node(5), 8, 10, 10);
        assert_eq!(Sketch::new(&[]).run(&mut search), Some(Route { nodes: vec![node(5)], links: vec![] }));
    }
}
