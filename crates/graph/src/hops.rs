//! The path of the fewest links: from both ends at once, one level at a time, the smaller side first.

use foldhash::{HashMap, HashMapExt as _};
use kos_model::{KnowledgeId, LinkId};

use crate::route::{Route, Search, Wanted};
use crate::walk::Adjacent;

/// One end of the search, and everything seen from there.
#[derive(Debug)]
struct Side {
    /// How each node was reached: over which link, from which node; and how far from the end it is.
    seen: HashMap<KnowledgeId, (u32, Option<(LinkId, KnowledgeId)>)>,
    level: Vec<KnowledgeId>,
    depth: u32,
}

impl Side {
    fn new(end: KnowledgeId) -> Self {
        Self { seen: HashMap::from_iter([(end, (0, None))]), level: vec![end], depth: 0 }
    }

    /// The nodes after `from` up to this side's end, and the links to them.
    fn way(&self, from: KnowledgeId) -> (Vec<KnowledgeId>, Vec<LinkId>) {
        let (mut nodes, mut links, mut at) = (Vec::new(), Vec::new(), from);
        while let Some((_, Some((link, next)))) = self.seen.get(&at) {
            links.push(*link);
            nodes.push(*next);
            at = *next;
        }
        (nodes, links)
    }
}

/// A search for the path of the fewest links.
#[derive(Debug)]
pub struct Hops {
    forth: Side,
    back: Side,
    max_depth: u32,
    max_nodes: usize,
    fan_out: usize,
    meeting: Option<KnowledgeId>,
    ended: bool,
    truncated: bool,
}

impl Hops {
    /// From one node to another, over at most `max_depth` links; it gives up when it has seen `max_nodes` nodes,
    /// and looks at no more than `fan_out` links of a node.
    #[must_use]
    pub fn new(from: KnowledgeId, to: KnowledgeId, max_depth: u32, max_nodes: usize, fan_out: usize) -> Self {
        Self {
            forth: Side::new(from),
            back: Side::new(to),
            max_depth,
            max_nodes,
            fan_out,
            meeting: (from == to).then_some(from),
            ended: from == to,
            truncated: false,
        }
    }
}

impl Search for Hops {
    fn wants(&mut self) -> Option<Wanted> {
        if self.ended || self.forth.level.is_empty() || self.back.level.is_empty() {
            return None;
        }
        let is_too_far = self.forth.depth + self.back.depth >= self.max_depth;
        if is_too_far || self.forth.seen.len() + self.back.seen.len() > self.max_nodes {
            self.give_up();
            return None;
        }
        let backwards = self.back.level.len() < self.forth.level.len();
        let side = if backwards { &self.back } else { &self.forth };
        Some(Wanted { nodes: side.level.clone(), backwards })
    }

    fn take(&mut self, wanted: &Wanted, found: &[Adjacent]) {
        let (side, other) =
            if wanted.backwards { (&mut self.back, &self.forth) } else { (&mut self.forth, &self.back) };
        side.depth += 1;
        side.level.clear();
        let mut links: HashMap<KnowledgeId, usize> = HashMap::new();
        for link in found {
            let count = links.entry(link.here).or_default();
            *count += 1;
            if *count > self.fan_out {
                self.truncated = true;
                continue;
            }
            if side.seen.contains_key(&link.there) {
                continue;
            }
            side.seen.insert(link.there, (side.depth, Some((link.link, link.here))));
            side.level.push(link.there);
            // Whatever is met at this level is met after equally many links.
            if other.seen.contains_key(&link.there) {
                self.meeting = Some(self.meeting.map_or(link.there, |known| known.min(link.there)));
                self.ended = true;
            }
        }
    }

    fn give_up(&mut self) {
        self.ended = true;
        self.truncated = true;
    }

    fn route(&self) -> Option<Route> {
        let meeting = self.meeting?;
        let (mut nodes, mut links) = self.forth.way(meeting);
        nodes.reverse();
        links.reverse();
        nodes.push(meeting);
        let (rest, last) = self.back.way(meeting);
        nodes.extend(rest);
        links.extend(last);
        Some(Route { nodes, links })
    }

    fn truncated(&self) -> bool {
        self.truncated
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use kos_model::LinkKind;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::Edge;

    pub(crate) fn node(number: u8) -> KnowledgeId {
        KnowledgeId(Uuid::from_u128(u128::from(number)))
    }

    pub(crate) fn link(number: usize) -> LinkId {
        LinkId(Uuid::from_u128(u128::try_from(number).unwrap()))
    }

    /// A small graph, written down as (from, to, weight).
    #[derive(Debug)]
    pub(crate) struct Sketch(pub(crate) Vec<(u8, u8, f64)>);

    impl Sketch {
        pub(crate) fn new(links: &[(u8, u8, f64)]) -> Self {
            Self(links.to_vec())
        }

        /// Its links but for those from a node to itself, which lead nowhere.
        pub(crate) fn edges(&self) -> Vec<Edge> {
            let edge = |(number, (from, to, weight)): (usize, &(u8, u8, f64))| Edge {
                id: link(number),
                source: node(*from),
                target: node(*to),
                kind: LinkKind::Supports,
                weight: *weight,
            };
            self.0.iter().enumerate().filter(|(_, (from, to, _))| from != to).map(edge).collect()
        }

        /// The links of a node, the strongest first; `backwards` and every other time both ways.
        pub(crate) fn of(&self, here: KnowledgeId, directed: bool) -> Vec<Adjacent> {
            self.seen(here, directed, false)
        }

        pub(crate) fn seen(&self, here: KnowledgeId, directed: bool, backwards: bool) -> Vec<Adjacent> {
            let mut found = Vec::new();
            for (number, (from, to, weight)) in self.0.iter().enumerate() {
                let link = link(number);
                let (from, to) = if backwards { (node(*to), node(*from)) } else { (node(*from), node(*to)) };
                if from == here {
                    found.push(Adjacent { here, there: to, link, weight: *weight });
                } else if to == here && !directed {
                    found.push(Adjacent { here, there: from, link, weight: *weight });
                }
            }
            found.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.link.cmp(&b.link)));
            found
        }

        /// Runs a search to its end, over links in their direction only.
        pub(crate) fn run(&self, search: &mut impl Search) -> Option<Route> {
            while let Some(wanted) = search.wants() {
                assert!(!wanted.nodes.is_empty(), "a search that asks for nothing never ends");
                let of = |id: &KnowledgeId| self.seen(*id, true, wanted.backwards);
                let found: Vec<_> = wanted.nodes.iter().flat_map(of).collect();
                search.take(&wanted, &found);
            }
            search.route()
        }

        /// Whether every step of the route is one of the links, in its direction.
        pub(crate) fn leads(&self, route: &Route, from: KnowledgeId, to: KnowledgeId) -> bool {
            let steps = route.nodes.windows(2).zip(&route.links);
            let is_link = |(ends, link): (&[KnowledgeId], &LinkId)| {
                let (source, target, _) = self.0[usize::try_from(link.0.as_u128()).unwrap()];
                ends == [node(source), node(target)]
            };
            route.nodes.first() == Some(&from)
                && route.nodes.last() == Some(&to)
                && route.links.len() + 1 == route.nodes.len()
                && steps.into_iter().all(is_link)
        }

        /// The fewest links from one node to each other, found the plain way.
        fn distances(&self, from: KnowledgeId) -> HashMap<KnowledgeId, usize> {
            let mut distances = HashMap::from_iter([(from, 0)]);
            let mut level = BTreeSet::from([from]);
            for depth in 1.. {
                let next = level.iter().flat_map(|id| self.seen(*id, true, false)).map(|link| link.there);
                level = next.filter(|id| !distances.contains_key(id)).collect();
                if level.is_empty() {
                    break;
                }
                distances.extend(level.iter().map(|id| (*id, depth)));
            }
            distances
        }
    }

    pub(crate) fn sketch() -> impl Strategy<Value = Sketch> {
        prop::collection::vec((0u8..14, 0u8..14, 0u8..=10), 0..40).prop_map(|links| {
            Sketch(links.into_iter().map(|(from, to, tenths)| (from, to, f64::from(tenths) / 10.0)).collect())
        })
    }

    proptest! {
        #[test]
        fn what_is_found_is_a_path_and_none_is_shorter(sketch in sketch(), to in 0u8..14, max_depth in 1u32..8) {
            let (from, to) = (node(0), node(to));
            let mut search = Hops::new(from, to, max_depth, 1_000, 1_000);
            let route = sketch.run(&mut search);
            match (route, sketch.distances(from).get(&to)) {
                (Some(route), Some(fewest)) => {
                    prop_assert!(sketch.leads(&route, from, to), "{route:?}");
                    prop_assert_eq!(route.links.len(), *fewest);
                }
                (None, Some(fewest)) => {
                    prop_assert!(*fewest > usize::try_from(max_depth).unwrap());
                    prop_assert!(search.truncated());
                }
                (None, None) => {}
                (Some(route), None) => prop_assert!(false, "there is no path, but {route:?}"),
            }
        }
    }

    #[test]
    fn a_search_over_everything_that_finds_nothing_is_sure_of_it() {
        let parts = Sketch::new(&[(0, 1, 1.0), (2, 3, 1.0)]);
        let mut search = Hops::new(node(0), node(3), 12, 1_000, 1_000);
        assert_eq!((parts.run(&mut search), search.truncated()), (None, false));
    }

    #[test]
    fn a_limit_of_nodes_ends_the_search_and_says_so() {
        let long: Vec<_> = (0..12).map(|number| (number, number + 1, 1.0)).collect();
        let mut search = Hops::new(node(0), node(12), 12, 5, 1_000);
        assert_eq!((Sketch(long).run(&mut search), search.truncated()), (None, true));
    }

    #[test]
    fn the_way_from_a_node_to_itself_has_no_links() {
        let mut search = Hops::new(node(5), node(5), 8, 10, 10);
        assert_eq!(Sketch::new(&[]).run(&mut search), Some(Route { nodes: vec![node(5)], links: vec![] }));
    }
}
