//! The links of a whole graph in memory, so that a walk need not ask for them.
//!
//! A node is a place in a list here, and a kind of link in its direction a bit of a number: most of the time of a walk goes
//! to links that it looks at and does not follow.

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
    side: Side,
}

/// What a node is to a link that it has: twice the place of the link's kind among all kinds, and one more where the link
/// begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side(u8);

impl Side {
    fn new(kind: LinkKind, is_out: bool) -> Self {
        let place = LinkKind::ALL.iter().position(|other| *other == kind).unwrap_or_default();
        Self(u8::try_from(2 * place).unwrap_or_default() + u8::from(is_out))
    }

    const fn is_out(self) -> bool {
        self.0 % 2 == 1
    }

    const fn turned(self) -> Self {
        Self(self.0 ^ 1)
    }

    fn kind(self) -> LinkKind {
        LinkKind::ALL.get(usize::from(self.0 / 2)).copied().unwrap_or(LinkKind::RelatedTo)
    }

    const fn bit(self) -> u32 {
        1 << self.0
    }
}

/// The links that a walk follows: as [`Walk`] says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    sides: u32,
    min_weight: f64,
}

impl Allowed {
    pub(crate) fn by(walk: &Walk) -> Self {
        let of = |kinds: &[LinkKind], is_out| kinds.iter().fold(0, |bits, kind| bits | Side::new(*kind, is_out).bit());
        Self { sides: of(&walk.out, true) | of(&walk.inward, false), min_weight: walk.min_weight }
    }

    /// Those that one follows in either direction, in both.
    fn either_way(self) -> Self {
        let (out, inward) = (self.sides & ODD, self.sides & !ODD);
        Self { sides: self.sides | out >> 1 | inward << 1, ..self }
    }

    const fn allows(self, end: &End) -> bool {
        self.sides & end.side.bit() != 0
    }
}

/// Sides of links that begin here.
const ODD: u32 = 0xAAAA_AAAA;

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
    fn seen(&self, here: KnowledgeId, there: KnowledgeId) -> Edge {
        let (source, target) = if self.side.is_out() { (here, there) } else { (there, here) };
        Edge { id: self.link, source, target, kind: self.side.kind(), weight: self.weight }
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
        let allowed = Allowed::by(walk);
        let mut found = Vec::new();
        for here in nodes {
            let ends = followed(self.links_of(*here), allowed, 0).take(at_most);
            found.extend(ends.filter_map(|(_, end)| {
                Some(Adjacent { here: *here, there: self.id(end.there)?, link: end.link, weight: end.weight })
            }));
        }
        found
    }

    /// Those of some nodes from which a walk leads to what is not among `known`.
    #[must_use]
    pub fn leading_on(&self, nodes: &[KnowledgeId], known: &[KnowledgeId], walk: &Walk) -> Vec<KnowledgeId> {
        let (known, allowed) = (self.places_of(known), Allowed::by(walk));
        let leads_on = |node: &&KnowledgeId| {
            followed(self.links_of(**node), allowed, 0).any(|(_, end)| !known.contains(end.there))
        };
        nodes.iter().filter(leads_on).copied().collect()
    }

    /// The links between some nodes that a walk allows in either direction, the strongest first.
    #[must_use]
    pub fn between(&self, nodes: &[KnowledgeId], walk: &Walk) -> Vec<Edge> {
        let (among, allowed) = (self.places_of(nodes), Allowed::by(walk).either_way());
        let mut edges = Vec::new();
        for source in nodes {
            let inside = followed(self.links_of(*source), allowed, 0).map(|(_, end)| end);
            let inside = inside.filter(|end| end.side.is_out() && among.contains(end.there));
            edges.extend(inside.filter_map(|end| Some(end.seen(*source, self.id(end.there)?))));
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

    /// The place of a node, if it has or had links.
    pub(crate) fn place(&self, node: KnowledgeId) -> Option<u32> {
        self.places.get(&node).copied()
    }

    /// The node of a place.
    pub(crate) fn id(&self, place: u32) -> Option<KnowledgeId> {
        self.nodes.get(index(place)).copied()
    }

    /// The links of the node of a place that a walk follows, the strongest first, from a place among all of its links on:
    /// their places, where they lead, and how strong they are.
    pub(crate) fn steps(&self, node: u32, allowed: Allowed, from: usize) -> impl Iterator<Item = (usize, u32, f64)> {
        let ends = self.ends.get(index(node)).map_or(&[][..], Vec::as_slice);
        followed(ends, allowed, from).map(|(place, end)| (place, end.there, end.weight))
    }

    /// The link in this place among those of the node of a place.
    pub(crate) fn link(&self, node: u32, place: usize) -> Option<LinkId> {
        Some(self.ends.get(index(node))?.get(place)?.link)
    }

    fn links_of(&self, node: KnowledgeId) -> &[End] {
        self.place(node).and_then(|here| self.ends.get(index(here))).map_or(&[], Vec::as_slice)
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
        Some(End { there: self.place(there)?, side: end.side.turned(), ..*end })
    }

    /// How each of its nodes has a link.
    fn ends_of(&mut self, edge: &Edge) -> [(usize, End); 2] {
        let (source, target) = (self.node(edge.source), self.node(edge.target));
        let end = End { weight: edge.weight, link: edge.id, there: target, side: Side::new(edge.kind, true) };
        [(index(source), end), (index(target), End { there: source, side: end.side.turned(), ..end })]
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

/// Those of a node's links that a walk follows, from a place on, with their places.
fn followed(ends: &[End], allowed: Allowed, from: usize) -> impl Iterator<Item = (usize, &End)> {
    let ends = (from..).zip(ends.get(from..).unwrap_or_default());
    ends.take_while(move |(_, end)| end.weight >= allowed.min_weight).filter(move |(_, end)| allowed.allows(end))
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
