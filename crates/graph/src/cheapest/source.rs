//! Where the search for the cheapest path has links from.

use std::fmt::Debug;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};
use kos_model::{KnowledgeId, LinkId};

use crate::adjacency::{Adjacency, Allowed};
use crate::walk::{Adjacent, Walk};

/// The links that the search from one end walks over; of each node the strongest first.
pub trait Source: Debug {
    /// How it names a node.
    type Node: Copy + Debug + Eq + Hash;

    /// Whether there are nodes whose links have to be asked for.
    const IS_ASKED: bool;

    /// Whether it has the links of a node.
    fn are_known(&self, node: Self::Node) -> bool;

    /// The links of a node from this place on: their places, where they lead, and how strong they are.
    fn of(&self, node: Self::Node, from: usize) -> impl Iterator<Item = (usize, Self::Node, f64)>;

    /// The link of a node in this place.
    fn link(&self, node: Self::Node, place: usize) -> Option<LinkId>;

    /// How others name a node.
    fn id(&self, node: Self::Node) -> KnowledgeId;

    /// Takes the links of nodes that were asked for; says whether it leaves some out.
    fn learn(&mut self, nodes: &[KnowledgeId], found: &[Adjacent]) -> bool;
}

/// Links that were asked for.
#[derive(Debug)]
pub struct Asked {
    links: HashMap<KnowledgeId, Vec<Adjacent>>,
    fan_out: usize,
}

impl Asked {
    /// Nothing yet; of each node at most so many links will do.
    pub(super) fn new(fan_out: usize) -> Self {
        Self { links: HashMap::new(), fan_out }
    }
}

impl Source for Asked {
    type Node = KnowledgeId;

    const IS_ASKED: bool = true;

    fn are_known(&self, node: KnowledgeId) -> bool {
        self.links.contains_key(&node)
    }

    fn of(&self, node: KnowledgeId, from: usize) -> impl Iterator<Item = (usize, KnowledgeId, f64)> {
        let links = self.links.get(&node).and_then(|links| links.get(from..)).unwrap_or_default();
        links.iter().zip(from..).map(|(link, place)| (place, link.there, link.weight))
    }

    fn link(&self, node: KnowledgeId, place: usize) -> Option<LinkId> {
        Some(self.links.get(&node)?.get(place)?.link)
    }

    fn id(&self, node: KnowledgeId) -> KnowledgeId {
        node
    }

    fn learn(&mut self, nodes: &[KnowledgeId], found: &[Adjacent]) -> bool {
        for node in nodes {
            self.links.insert(*node, Vec::new());
        }
        for found in found.chunk_by(|one, other| one.here == other.here) {
            let Some(links) = found.first().and_then(|link| self.links.get_mut(&link.here)) else { continue };
            links.extend_from_slice(found);
        }
        let mut is_cut = false;
        for node in nodes {
            let Some(links) = self.links.get_mut(node) else { continue };
            links.sort_by(|one, other| other.weight.total_cmp(&one.weight));
            is_cut |= links.len() > self.fan_out;
            links.truncate(self.fan_out);
        }
        is_cut
    }
}

/// Links that are held, as far as a walk follows them.
#[derive(Debug)]
pub struct Held<'l> {
    links: &'l Adjacency,
    allowed: Allowed,
    /// The ends of the path, which may have no links and so no places: the last numbers are theirs then.
    ends: (KnowledgeId, KnowledgeId),
}

impl<'l> Held<'l> {
    pub(super) fn new(links: &'l Adjacency, walk: &Walk, ends: (KnowledgeId, KnowledgeId)) -> Self {
        Self { links, allowed: Allowed::by(walk), ends }
    }

    /// The node of an end.
    pub(super) fn node(&self, end: KnowledgeId) -> u32 {
        self.links.place(end).unwrap_or(if end == self.ends.0 { u32::MAX } else { u32::MAX - 1 })
    }
}

impl Source for Held<'_> {
    type Node = u32;

    const IS_ASKED: bool = false;

    fn are_known(&self, _: u32) -> bool {
        true
    }

    fn of(&self, node: u32, from: usize) -> impl Iterator<Item = (usize, u32, f64)> {
        self.links.steps(node, self.allowed, from)
    }

    fn link(&self, node: u32, place: usize) -> Option<LinkId> {
        self.links.link(node, place)
    }

    fn id(&self, node: u32) -> KnowledgeId {
        self.links.id(node).unwrap_or(if node == u32::MAX { self.ends.0 } else { self.ends.1 })
    }

    fn learn(&mut self, _: &[KnowledgeId], _: &[Adjacent]) -> bool {
        false
    }
}
