//! The path of the least cost: Dijkstra's search from both ends at once.
//!
//! A path may be cheap and long or dear and short, and the number of its links is limited: so a node keeps
//! every way to it that no other beats in both. Of the ways that lead on from a node only the cheapest is looked at; the
//! next cheapest when its turn has come. Links that are not held are asked for many nodes at a time, those first whose
//! turn comes soonest.

mod source;

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt as _};
use kos_model::{KnowledgeId, LinkId};

use self::source::{Asked, Held, Source};
use crate::adjacency::Adjacency;
use crate::route::{Route, Search, Wanted};
use crate::walk::{Adjacent, Walk};

/// What every link costs, however strong: of two equally strong paths the shorter one is better.
const STEP: f64 = 0.01;

/// After so many ways a search that asks for nothing asks for no links at all, so that who runs it may look at the clock.
const BREATH: usize = 500;

/// What it costs to walk over a link: the stronger, the cheaper.
#[must_use]
pub fn cost(weight: f64) -> f64 {
    1.0 - weight + STEP
}

/// One way to a node.
#[derive(Clone, Copy, Debug)]
struct Way<N> {
    node: N,
    cost: f64,
    hops: u32,
    last: Option<Last>,
    /// The way before it by which the node was reached, which is cheaper and longer.
    before: Option<usize>,
}

/// The last link of a way.
#[derive(Clone, Copy, Debug)]
struct Last {
    /// The way to where it begins.
    from: usize,
    /// Its place among the links of that node.
    place: usize,
}

/// The search from one end. Costs are never negative, so their bits are in their order.
#[derive(Debug)]
struct Half<S: Source> {
    ways: Vec<Way<S::Node>>,
    /// The next way from each node that was reached, by cost.
    queue: BTreeSet<(u64, u32, usize)>,
    /// The shortest way by which each node was reached.
    reached: HashMap<S::Node, usize>,
    links: S,
    /// Links that were looked at.
    work: usize,
}

impl<S: Source> Half<S> {
    fn new(end: S::Node, links: S) -> Self {
        Self {
            ways: vec![Way { node: end, cost: 0.0, hops: 0, last: None, before: None }],
            queue: BTreeSet::from([(0, 0, 0)]),
            reached: HashMap::new(),
            links,
            work: 0,
        }
    }

    /// What a way costs at least to a node that was not reached.
    fn least(&self) -> Option<f64> {
        self.queue.first().map(|(bits, _, _)| f64::from_bits(*bits))
    }

    fn way(&self, index: usize) -> Option<&Way<S::Node>> {
        self.ways.get(index)
    }

    /// The ways by which a node was reached, ever cheaper and longer.
    fn reached(&self, node: S::Node) -> impl Iterator<Item = (usize, &Way<S::Node>)> {
        let way = |index: usize| Some((index, self.way(index)?));
        let shortest = self.reached.get(&node).and_then(|index| way(*index));
        std::iter::successors(shortest, move |(_, shorter)| shorter.before.and_then(way))
    }

    /// Whether a node was reached by a way that is cheaper, since it came earlier, and no longer.
    fn is_beaten(&self, node: S::Node, hops: u32) -> bool {
        self.reached(node).next().is_some_and(|(_, shortest)| shortest.hops <= hops)
    }

    /// Remembers that a node was reached by a way that nothing beats.
    fn reach(&mut self, index: usize) {
        if let Some(way) = self.ways.get_mut(index) {
            way.before = self.reached.insert(way.node, index);
        }
    }

    /// The nodes that come next and whose links are not known, when the very next is one of them; the others only as far
    /// as a way to them costs less than so much.
    fn missing(&self, below: f64, ahead: usize) -> Vec<KnowledgeId> {
        let unknown = |(_, _, index): &(u64, u32, usize)| {
            self.way(*index).map(|way| way.node).filter(|node| !self.links.are_known(*node))
        };
        let Some(next) = self.queue.first().and_then(unknown) else { return Vec::new() };
        let useful = self.queue.iter().take_while(|(cost, _, _)| f64::from_bits(*cost) < below);
        let nodes = useful.filter_map(unknown).take(ahead).chain([next]);
        let mut nodes: Vec<_> = nodes.map(|node| self.links.id(node)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Puts the way into the queue that leads on from another over its node's next link, from this place on, that
    /// leads anywhere for less than so much.
    fn lead_on(&mut self, from: usize, place: usize, below: f64) {
        let Some(Way { node, cost: base, hops, .. }) = self.way(from).copied() else { return };
        let hops = hops + 1;
        let found = self
            .links
            .of(node, place)
            .map(|(place, there, weight)| (place, there, base + cost(weight)))
            .take_while(|(_, _, cost)| *cost < below)
            .find(|(_, there, _)| !self.is_beaten(*there, hops));
        let Some((place, there, cost)) = found else { return };
        self.queue.insert((cost.to_bits(), hops, self.ways.len()));
        self.ways.push(Way { node: there, cost, hops, last: Some(Last { from, place }), before: None });
    }

    /// The nodes from a way's end back to where the search began, and the links between them.
    fn back(&self, index: usize) -> (Vec<KnowledgeId>, Vec<LinkId>) {
        let (mut nodes, mut links, mut at) = (Vec::new(), Vec::new(), self.way(index));
        while let Some(way) = at {
            nodes.push(self.links.id(way.node));
            let last = way.last.and_then(|last| Some((self.way(last.from)?, last.place)));
            links.extend(last.and_then(|(from, place)| self.links.link(from.node, place)));
            at = last.map(|(from, _)| from);
        }
        (nodes, links)
    }
}

/// A path: the way to its middle from each end, and the link between the two, unless they meet in a node.
#[derive(Clone, Copy, Debug)]
struct Path {
    cost: f64,
    forth: usize,
    link: Option<LinkId>,
    back: usize,
}

/// A search for the path of the least cost.
#[derive(Debug)]
pub struct Cheapest<S: Source> {
    forth: Half<S>,
    back: Half<S>,
    max_depth: u32,
    max_ways: usize,
    ahead: usize,
    best: Option<Path>,
    ended: bool,
    truncated: bool,
    /// Whether a way was longer than is allowed.
    cut: bool,
    /// Ways since it last let go.
    since_breath: usize,
}

impl Cheapest<Asked> {
    /// From one node to another, over at most `max_depth` links; it gives up when it keeps `max_ways` ways,
    /// and looks at no more than `fan_out` links of a node.
    #[must_use]
    pub fn new(from: KnowledgeId, to: KnowledgeId, max_depth: u32, max_ways: usize, fan_out: usize) -> Self {
        let half = |end| Half::new(end, Asked::new(fan_out));
        Self::between(half(from), half(to), max_depth, max_ways)
    }

    /// Asks for the links of so many nodes more at once, before their turn, where a question costs more than an answer.
    #[must_use]
    pub const fn asking_ahead(mut self, ahead: usize) -> Self {
        self.ahead = ahead;
        self
    }
}

impl<'l> Cheapest<Held<'l>> {
    /// As [`Self::new`] over every link that is held and that the walk allows: it asks for the links of no node.
    #[must_use]
    pub fn over(
        links: &'l Adjacency,
        walk: &Walk,
        (from, to): (KnowledgeId, KnowledgeId),
        max_depth: u32,
        max_ways: usize,
    ) -> Self {
        let half = |end, walk: &Walk| {
            let links = Held::new(links, walk, (from, to));
            Half::new(links.node(end), links)
        };
        Self::between(half(from, walk), half(to, &walk.reversed()), max_depth, max_ways)
    }
}

impl<S: Source> Cheapest<S> {
    fn between(forth: Half<S>, back: Half<S>, max_depth: u32, max_ways: usize) -> Self {
        let is_there = forth.ways.first().map(|way| way.node) == back.ways.first().map(|way| way.node);
        Self {
            forth,
            back,
            max_depth,
            max_ways,
            ahead: 0,
            best: is_there.then_some(Path { cost: 0.0, forth: 0, link: None, back: 0 }),
            ended: is_there,
            truncated: false,
            cut: false,
            since_breath: 0,
        }
    }

    /// What the path that was found costs.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.best.map(|path| path.cost)
    }

    /// What a path must cost less than.
    fn limit(&self) -> f64 {
        self.cost().unwrap_or(f64::INFINITY)
    }

    /// Which side goes on: each once, and then the one that had less to do.
    fn is_backwards(&self) -> bool {
        !self.forth.reached.is_empty() && (self.back.reached.is_empty() || self.back.work < self.forth.work)
    }

    /// Takes the cheapest way of one side, and looks where it leads.
    fn settle(&mut self, backwards: bool, rest: f64) {
        let below = self.limit() - rest;
        let half = if backwards { &mut self.back } else { &mut self.forth };
        let Some((_, _, index)) = half.queue.pop_first() else { return };
        let Some(way) = half.way(index).copied() else { return };
        if let Some(last) = way.last {
            half.lead_on(last.from, last.place + 1, below);
        }
        if half.is_beaten(way.node, way.hops) {
            return;
        }
        half.reach(index);
        self.meet(backwards, index, way);
        if way.hops == self.max_depth {
            self.cut = true;
            return;
        }
        let below = self.limit() - rest;
        let half = if backwards { &mut self.back } else { &mut self.forth };
        half.lead_on(index, 0, below);
    }

    /// Looks whether a way leads to what the other side has reached: whichever of two neighbours is reached last sees
    /// the other.
    fn meet(&mut self, backwards: bool, index: usize, way: Way<S::Node>) {
        let (half, other) = if backwards { (&mut self.back, &self.forth) } else { (&mut self.forth, &self.back) };
        let over = half.links.of(way.node, 0);
        let over = over.map(|(place, there, weight)| (there, Some(place), way.cost + cost(weight), way.hops + 1));
        for (node, place, cost, hops) in [(way.node, None, way.cost, way.hops)].into_iter().chain(over) {
            // The links that follow are dearer.
            if self.best.is_some_and(|best| cost >= best.cost) {
                break;
            }
            half.work += 1;
            for (met, rest) in other.reached(node) {
                let cost = cost + rest.cost;
                if hops + rest.hops > self.max_depth {
                    self.cut = true;
                } else if self.best.is_none_or(|best| cost < best.cost) {
                    let (forth, back) = if backwards { (met, index) } else { (index, met) };
                    let link = place.and_then(|place| half.links.link(way.node, place));
                    self.best = Some(Path { cost, forth, link, back });
                }
            }
        }
    }
}

impl<S: Source> Search for Cheapest<S> {
    fn wants(&mut self) -> Option<Wanted> {
        while !self.ended {
            let (Some(forth), Some(back)) = (self.forth.least(), self.back.least()) else { break };
            if self.limit() <= forth + back {
                break;
            }
            if self.forth.ways.len() + self.back.ways.len() > self.max_ways {
                self.give_up();
                break;
            }
            let backwards = self.is_backwards();
            let (half, rest) = if backwards { (&self.back, forth) } else { (&self.forth, back) };
            let nodes = half.missing(self.limit() - rest, self.ahead);
            if !nodes.is_empty() {
                return Some(Wanted { nodes, backwards });
            }
            self.since_breath += 1;
            if self.since_breath > BREATH && !S::IS_ASKED {
                self.since_breath = 0;
                return Some(Wanted { nodes, backwards });
            }
            self.settle(backwards, rest);
        }
        None
    }

    fn take(&mut self, wanted: &Wanted, found: &[Adjacent]) {
        let half = if wanted.backwards { &mut self.back } else { &mut self.forth };
        self.truncated |= half.links.learn(&wanted.nodes, found);
    }

    fn give_up(&mut self) {
        self.ended = true;
        self.truncated = true;
    }

    fn route(&self) -> Option<Route> {
        let Path { forth, link, back, .. } = self.best?;
        let (mut nodes, mut links) = self.forth.back(forth);
        nodes.reverse();
        links.reverse();
        let (rest, last) = self.back.back(back);
        // Where they meet in a node, both have it.
        nodes.extend(rest.into_iter().skip(usize::from(link.is_none())));
        links.extend(link);
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
        let mut costs = HashMap::from_iter([(node(0), 0.0_f64)]);
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
            sketch in sketch(), to in 0u8..14, max_depth in 1u32..6, ahead in 0usize..4,
        ) {
            let (from, to) = (node(0), node(to));
            let mut search = Cheapest::new(from, to, max_depth, 10_000, 1_000).asking_ahead(ahead);
            let held = Adjacency::of(sketch.edges());
            let walk = Walk::along(kos_model::LinkKind::Supports);
            let mut over = Cheapest::over(&held, &walk, (from, to), max_depth, 10_000);
            prop_assert_eq!(over.wants(), None);
            prop_assert!((over.cost().unwrap_or(-1.0) - least(&sketch, to, max_depth).unwrap_or(-1.0)).abs() < 1e-9);
            if let Some(route) = over.route() {
                prop_assert!(sketch.leads(&route, from, to), "{route:?}");
                prop_assert!(route.links.len() <= usize::try_from(max_depth).unwrap());
            }
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
