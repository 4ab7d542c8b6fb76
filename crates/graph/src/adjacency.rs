//! The links of a whole graph in memory, so that a walk need not ask for them.

use std::cmp::Ordering;

use foldhash::HashMap;
use kos_model::{KnowledgeId, LinkId, LinkKind};

use crate::Edge;
use crate::route::Route;
use crate::walk::{Adjacent, Walk};

/// For each node of a graph the links that it has, the strongest first. Some 70 bytes a link.
#[derive(Debug, Default)]
pub struct Adjacency {
    places: HashMap<KnowledgeId, u32>,
    nodes: Vec<KnowledgeId>,
    ends: Vec<Vec<End>>,
    links: usize,
}

/// A link as one of its nodes has it.
#[derive(Clone, Copy, Debug)]
struct End {
    weight: f64,
    link: LinkId,
    there: u32,
    kind: LinkKind,
    /// Whether it begins here, and ends there.
    is_out: bool,
}

/// Some of the nodes: a bit for each.
struct Places(Vec<u64>);

impl Places {
    fn insert(&mut self, place: u32) {
        if let Some(bits) = self.0.get_mut(index(place / 64)) {
            *bits |= 1 << (place % 64);
        }
    }

    fn contains(&self, place: u32) -> bool {
        self.0.get(index(place / 64)).is_some_and(|bits| bits & (1 << (place % 64)) != 0)
    }
}

impl End {
    fn strongest_first(&self, other: &Self) -> Ordering {
        other.weight.total_cmp(&self.weight).then_with(|| self.link.cmp(&other.link))
    }

    /// The link, from the node that has it to the other one.
    const fn seen(&self, here: KnowledgeId, there: KnowledgeId) -> Edge {
        let (source, target) = if self.is_out { (here, there) } else { (there, here) };
        Edge { id: self.link, source, target, kind: self.kind, weight: self.weight }
    }

    fn is_allowed(&self, walk: &Walk) -> bool {
        if self.is_out { &walk.out } else { &walk.inward }.contains(&self.kind)
    }
}

impl Adjacency {
    /// Of these links, each named once.
    #[must_use]
    pub fn of(edges: impl IntoIterator<Item = Edge>) -> Self {
        let mut all = Self::default();
        for edge in edges {
            for (here, end) in all.ends_of(&edge) {
                if let Some(ends) = all.ends.get_mut(here) {
                    ends.push(end);
                }
            }
            all.links += 1;
        }
        for ends in &mut all.ends {
            ends.sort_unstable_by(End::strongest_first);
            ends.shrink_to_fit();
        }
        all
    }

    /// How many links there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.links
    }

    /// The nodes that have links, or had some.
    #[must_use]
    pub fn nodes(&self) -> &[KnowledgeId] {
        &self.nodes
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.links == 0
    }

    /// Adds a link, or takes over what became of it.
    pub fn insert(&mut self, edge: &Edge) {
        self.remove(edge.id, edge.source, edge.target);
        for (here, end) in self.ends_of(edge) {
            if let Some(ends) = self.ends.get_mut(here)
                && let Err(place) = ends.binary_search_by(|other| other.strongest_first(&end))
            {
                ends.insert(place, end);
            }
        }
        self.links += 1;
    }

    /// Removes a link between two nodes, if it is there.
    pub fn remove(&mut self, link: LinkId, source: KnowledgeId, target: KnowledgeId) {
        let Some(end) = self.find(link, source, target) else { return };
        for node in [source, target] {
            if let Some(ends) = self.places.get(&node).and_then(|here| self.ends.get_mut(index(*here)))
                && let Ok(place) = ends.binary_search_by(|other| other.strongest_first(&end))
            {
                ends.remove(place);
            }
        }
        self.links -= 1;
    }

    /// How many links a node has.
    #[must_use]
    pub fn degree(&self, node: KnowledgeId) -> usize {
        self.links_of(node).len()
    }

    /// The links of each node that a walk allows, the strongest first, of each at most so many.
    #[must_use]
    pub fn adjacent(&self, nodes: &[KnowledgeId], walk: &Walk, at_most: usize) -> Vec<Adjacent> {
        nodes.iter().flat_map(|node| self.walked(*node, walk, 0).take(at_most)).map(|(_, link)| link).collect()
    }

    /// The links of a node that a walk allows, the strongest first, from a place among all of its links on; with their
    /// places.
    pub(crate) fn walked(
        &self,
        here: KnowledgeId,
        walk: &Walk,
        from: usize,
    ) -> impl Iterator<Item = (usize, Adjacent)> {
        let ends = self.links_of(here).iter().enumerate().skip(from);
        let strong = ends.take_while(|(_, end)| end.weight >= walk.min_weight);
        strong.filter(|(_, end)| end.is_allowed(walk)).filter_map(move |(place, end)| {
            let there = *self.nodes.get(index(end.there))?;
            Some((place, Adjacent { here, there, link: end.link, weight: end.weight }))
        })
    }

    /// Those of some nodes from which a walk leads to what is not among `known`.
    #[must_use]
    pub fn leading_on(&self, nodes: &[KnowledgeId], known: &[KnowledgeId], walk: &Walk) -> Vec<KnowledgeId> {
        let known = self.places_of(known);
        let leads_on = |node: &&KnowledgeId| self.allowed(**node, walk).any(|end| !known.contains(end.there));
        nodes.iter().filter(leads_on).copied().collect()
    }

    /// The links between some nodes that a walk allows in either direction, the strongest first.
    #[must_use]
    pub fn between(&self, nodes: &[KnowledgeId], walk: &Walk) -> Vec<Edge> {
        let among = self.places_of(nodes);
        let mut edges = Vec::new();
        for source in nodes {
            let ends = self.links_of(*source).iter().take_while(|end| end.weight >= walk.min_weight);
            let inside = ends.filter(|end| end.is_out && among.contains(end.there));
            let allowed = inside.filter(|end| walk.out.contains(&end.kind) || walk.inward.contains(&end.kind));
            edges.extend(allowed.filter_map(|end| Some(end.seen(*source, *self.nodes.get(index(end.there))?))));
        }
        edges.sort_unstable_by(|one, other| other.weight.total_cmp(&one.weight).then(one.id.cmp(&other.id)));
        edges
    }

    /// The links of a route, in its order.
    #[must_use]
    pub fn along(&self, route: &Route) -> Vec<Edge> {
        let steps = route.nodes.iter().zip(route.nodes.iter().skip(1)).zip(&route.links);
        let edge = |((from, to), link): ((&KnowledgeId, &KnowledgeId), &LinkId)| {
            Some(self.find(*link, *from, *to)?.seen(*from, *to))
        };
        steps.filter_map(edge).collect()
    }

    /// The links of a node that a walk follows from it.
    fn allowed<'s>(&'s self, node: KnowledgeId, walk: &'s Walk) -> impl Iterator<Item = &'s End> {
        let ends = self.links_of(node).iter().take_while(|end| end.weight >= walk.min_weight);
        ends.filter(|end| end.is_allowed(walk))
    }

    fn links_of(&self, node: KnowledgeId) -> &[End] {
        self.places.get(&node).and_then(|here| self.ends.get(index(*here))).map_or(&[], Vec::as_slice)
    }

    fn places_of(&self, nodes: &[KnowledgeId]) -> Places {
        let mut places = Places(vec![0; self.nodes.len().div_ceil(64)]);
        nodes.iter().filter_map(|node| self.places.get(node)).for_each(|place| places.insert(*place));
        places
    }

    /// A link as the first of its two nodes has it; looked for at the one that has fewer.
    fn find(&self, link: LinkId, here: KnowledgeId, there: KnowledgeId) -> Option<End> {
        let (at_here, at_there) = (self.links_of(here), self.links_of(there));
        let is_it = |end: &&End| end.link == link;
        if at_here.len() <= at_there.len() {
            return at_here.iter().find(is_it).copied();
        }
        let end = at_there.iter().find(is_it)?;
        Some(End { there: *self.places.get(&there)?, is_out: !end.is_out, ..*end })
    }

    /// How each of its nodes has a link.
    fn ends_of(&mut self, edge: &Edge) -> [(usize, End); 2] {
        let (source, target) = (self.node(edge.source), self.node(edge.target));
        let end = End { weight: edge.weight, link: edge.id, there: target, kind: edge.kind, is_out: true };
        [(index(source), end), (index(target), End { there: source, is_out: false, ..end })]
    }

    fn node(&mut self, id: KnowledgeId) -> u32 {
        *self.places.entry(id).or_insert_with(|| {
            self.nodes.push(id);
            self.ends.push(Vec::new());
            // Memory ends long before the numbers do.
            u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kos_model::LinkName;
    use proptest::prelude::*;

    use super::*;
    use crate::hops::tests::{link, node};
    use crate::walk::Direction;

    type Links = BTreeMap<LinkId, Edge>;

    fn edge(id: usize, source: u8, target: u8, kind: usize, weight: u8) -> Edge {
        let kind = LinkKind::ALL[kind % LinkKind::ALL.len()];
        Edge { id: link(id), source: node(source), target: node(target), kind, weight: f64::from(weight % 5) / 4.0 }
    }

    fn edges() -> impl Strategy<Value = Vec<Edge>> {
        let one = (0usize..40, 0u8..9, 1u8..9, 0usize..10, 0u8..5);
        let read = |(id, source, by, kind, weight)| edge(id, source, (source + by) % 9, kind, weight);
        proptest::collection::vec(one.prop_map(read), 0..60)
    }

    fn walks() -> impl Strategy<Value = Walk> {
        let kinds = proptest::collection::vec((0usize..10, any::<bool>()), 0..4);
        let direction = prop_oneof![Just(Direction::Out), Just(Direction::In), Just(Direction::Both)];
        (kinds, direction, 0u8..5).prop_map(|(kinds, direction, weight)| {
            let name = |(kind, inverted): (usize, bool)| LinkName { kind: LinkKind::ALL[kind], inverted };
            let names: Vec<LinkName> = kinds.into_iter().map(name).collect();
            Walk::new(&names, direction, f64::from(weight) / 4.0)
        })
    }

    fn strongest(mut found: Vec<(f64, LinkId, KnowledgeId)>) -> Vec<(f64, LinkId, KnowledgeId)> {
        found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        found
    }

    /// What a walk finds from a node, the plain way.
    fn plain(links: &Links, here: KnowledgeId, walk: &Walk) -> Vec<(f64, LinkId, KnowledgeId)> {
        let out = links.values().filter(|it| it.source == here && walk.out.contains(&it.kind));
        let inward = links.values().filter(|it| it.target == here && walk.inward.contains(&it.kind));
        let found = out.map(|it| (it, it.target)).chain(inward.map(|it| (it, it.source)));
        let found = found.filter(|(it, _)| it.weight >= walk.min_weight);
        strongest(found.map(|(it, there)| (it.weight, it.id, there)).collect())
    }

    /// Applies each change to both: a link whose id is known under other ends goes first, as ends do not change.
    fn play(held: &mut Adjacency, links: &mut Links, changes: Vec<Edge>) {
        for (number, change) in changes.into_iter().enumerate() {
            if let Some(known) = links.remove(&change.id) {
                held.remove(known.id, known.source, known.target);
            }
            if number % 3 != 0 {
                held.insert(&change);
                links.insert(change.id, change);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn whatever_changes_it_finds_what_is_there(start in edges(), changes in edges(), walk in walks(), most in 0usize..6) {
            let mut links: Links = start.into_iter().map(|edge| (edge.id, edge)).collect();
            let mut held = Adjacency::of(links.values().cloned());
            play(&mut held, &mut links, changes);

            prop_assert_eq!(held.len(), links.len());
            let nodes: Vec<KnowledgeId> = (0..10).map(node).collect();
            let some = &nodes[..5];
            for here in &nodes {
                let found = held.adjacent(&[*here], &walk, most);
                let found: Vec<_> = found.into_iter().map(|it| (it.weight, it.link, it.there)).collect();
                let all = plain(&links, *here, &walk);
                prop_assert_eq!(&found, &all[..most.min(all.len())]);
                let leads_on = all.iter().any(|(_, _, there)| !some.contains(there));
                prop_assert_eq!(held.leading_on(&[*here], some, &walk).len(), usize::from(leads_on));
                let degree = links.values().filter(|it| it.source == *here || it.target == *here).count();
                prop_assert_eq!(held.degree(*here), degree);
            }
            let between = links.values().filter(|it| some.contains(&it.source) && some.contains(&it.target));
            let between = between.filter(|it| it.weight >= walk.min_weight);
            let between = between.filter(|it| walk.out.contains(&it.kind) || walk.inward.contains(&it.kind));
            let mut between: Vec<Edge> = between.cloned().collect();
            between.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.id.cmp(&other.id)));
            prop_assert_eq!(held.between(some, &walk), between);
        }
    }

    #[test]
    fn what_happens_to_a_link_twice_happens_once() {
        let mut held = Adjacency::of([edge(1, 0, 1, 0, 4)]);
        held.insert(&edge(1, 0, 1, 0, 2));
        held.insert(&edge(1, 0, 1, 0, 2));
        assert_eq!((held.len(), held.degree(node(0))), (1, 1));
        let route = Route { nodes: vec![node(1), node(0)], links: vec![link(1)] };
        assert_eq!(held.along(&route), [edge(1, 0, 1, 0, 2)]);
        held.remove(link(1), node(0), node(1));
        held.remove(link(1), node(0), node(1));
        held.remove(link(2), node(7), node(1));
        assert!(held.is_empty() && held.along(&route).is_empty());
    }
}
