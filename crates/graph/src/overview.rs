//! The graph in figures: how much of each kind, what hangs together, who has the most links.

use std::collections::{BTreeMap, HashMap};

use kos_model::{KnowledgeId, LinkKind};

/// A node with many links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hub {
    /// The node.
    pub id: KnowledgeId,
    /// How many links it has.
    pub degree: u32,
}

/// The graph in figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// How many links there are.
    pub links: u64,
    /// How many of each kind that there is at all.
    pub by_kind: BTreeMap<LinkKind, u64>,
    /// How many nodes have a link.
    pub linked: u64,
    /// How many groups of nodes hang together, nodes without links left out.
    pub components: u64,
    /// How many nodes the largest of them has.
    pub largest: u64,
    /// The nodes of the most links, the most first.
    pub hubs: Vec<Hub>,
}

/// Counts; of the hubs it names as many as asked for.
#[must_use]
pub fn overview(links: &[(KnowledgeId, KnowledgeId, LinkKind)], hubs: usize) -> Overview {
    let mut by_kind: BTreeMap<LinkKind, u64> = BTreeMap::new();
    let mut places: HashMap<KnowledgeId, usize> = HashMap::new();
    let mut nodes: Vec<Hub> = Vec::new();
    let mut groups = Groups::default();
    for (source, target, kind) in links {
        *by_kind.entry(*kind).or_default() += 1;
        let ends = [source, target].map(|id| {
            let place = *places.entry(*id).or_insert_with(|| {
                nodes.push(Hub { id: *id, degree: 0 });
                groups.add()
            });
            if let Some(node) = nodes.get_mut(place) {
                node.degree += 1;
            }
            place
        });
        let [source, target] = ends;
        groups.join(source, target);
    }
    let sizes = groups.sizes();
    nodes.sort_by(|a, b| b.degree.cmp(&a.degree).then_with(|| a.id.cmp(&b.id)));
    let linked = count(nodes.len());
    nodes.truncate(hubs);
    Overview {
        links: count(links.len()),
        by_kind,
        linked,
        components: count(sizes.len()),
        largest: sizes.iter().copied().max().unwrap_or_default(),
        hubs: nodes,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Which nodes hang together: each points to another of its group, and the last to itself.
#[derive(Debug, Default)]
pub(crate) struct Groups(Vec<usize>);

impl Groups {
    /// One more node, alone; says its place.
    pub(crate) fn add(&mut self) -> usize {
        self.0.push(self.0.len());
        self.0.len() - 1
    }

    /// The node that stands for the whole group.
    pub(crate) fn first(&mut self, mut place: usize) -> usize {
        while let Some(next) = self.0.get(place).copied().filter(|next| *next != place) {
            // The way is halved, so that it stays short.
            let after = self.0.get(next).copied().unwrap_or(next);
            if let Some(pointer) = self.0.get_mut(place) {
                *pointer = after;
            }
            place = next;
        }
        place
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        if let Some(pointer) = self.0.get_mut(a.max(b)) {
            *pointer = a.min(b);
        }
    }

    fn sizes(&mut self) -> Vec<u64> {
        let mut sizes: HashMap<usize, u64> = HashMap::new();
        for place in 0..self.0.len() {
            *sizes.entry(self.first(place)).or_default() += 1;
        }
        sizes.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hops::tests::node;

    #[test]
    fn groups_hubs_and_kinds_are_counted() {
        let links = [
            (node(1), node(2), LinkKind::DependsOn),
            (node(3), node(2), LinkKind::DependsOn),
            (node(2), node(3), LinkKind::Supports),
            (node(8), node(9), LinkKind::RelatedTo),
        ];
        let counted = overview(&links, 2);
        assert_eq!((counted.links, counted.linked, counted.components, counted.largest), (4, 5, 2, 3));
        assert_eq!(counted.by_kind.get(&LinkKind::DependsOn), Some(&2));
        assert_eq!(counted.hubs, [Hub { id: node(2), degree: 3 }, Hub { id: node(3), degree: 2 }]);
        assert_eq!(overview(&[], 5), Overview::default());
    }
}
