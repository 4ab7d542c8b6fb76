//! What lies around a node, level by level, the strongest links first.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt as _};
use kos_model::KnowledgeId;

use crate::walk::Adjacent;

/// A node that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The node.
    pub id: KnowledgeId,
    /// How many links away it is.
    pub depth: u32,
}

/// A walk around a node that limits cut short but never make fail.
#[derive(Debug)]
pub struct Neighborhood {
    depth: u32,
    limit: usize,
    fan_out: usize,
    at: u32,
    known: BTreeSet<KnowledgeId>,
    reached: Vec<Reached>,
    level: Vec<KnowledgeId>,
    /// Nodes of which a link was passed over.
    cut: BTreeSet<KnowledgeId>,
}

impl Neighborhood {
    /// Around `start`, at most `depth` links away, at most `limit` nodes, at most `fan_out` links of a node.
    #[must_use]
    pub fn new(start: KnowledgeId, depth: u32, limit: usize, fan_out: usize) -> Self {
        Self {
            depth,
            limit,
            fan_out,
            at: 0,
            known: BTreeSet::from([start]),
            reached: vec![Reached { id: start, depth: 0 }],
            level: vec![start],
            cut: BTreeSet::new(),
        }
    }

    /// Nodes whose links it needs next, of each one more than the fan-out; none when it is done: no more nodes are
    /// taken, or there are none.
    #[must_use]
    pub fn wants(&self) -> Option<Vec<KnowledgeId>> {
        let goes_on = self.at < self.depth && !self.level.is_empty() && !self.is_full();
        goes_on.then(|| self.level.clone())
    }

    /// Takes the links of the nodes it asked for.
    pub fn take(&mut self, mut found: Vec<Adjacent>) {
        self.at += 1;
        self.level.clear();
        found.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.link.cmp(&b.link)));
        let mut walked: HashMap<KnowledgeId, usize> = HashMap::new();
        for link in found {
            let walked = walked.entry(link.here).or_default();
            *walked += 1;
            let is_known = self.known.contains(&link.there);
            if *walked > self.fan_out || (!is_known && self.is_full()) {
                self.cut.insert(link.here);
            } else if !is_known {
                self.known.insert(link.there);
                self.reached.push(Reached { id: link.there, depth: self.at });
                self.level.push(link.there);
            }
        }
    }

    /// Nodes within the depth that may have a neighbour which is not here, because they have more links than were looked
    /// at, or it was full: each that has one is where to go on.
    #[must_use]
    pub fn unsettled(&self) -> Vec<KnowledgeId> {
        let never_asked: &[KnowledgeId] = if self.at < self.depth { &self.level } else { &[] };
        self.cut.iter().chain(never_asked).copied().collect()
    }

    fn is_full(&self) -> bool {
        self.reached.len() >= self.limit
    }

    /// The nodes, the nearest first, the start included.
    #[must_use]
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hops::tests::{Sketch, node};

    fn walk(sketch: &Sketch, depth: u32, limit: usize, fan_out: usize) -> Neighborhood {
        let mut around = Neighborhood::new(node(0), depth, limit, fan_out);
        while let Some(nodes) = around.wants() {
            around.take(nodes.iter().flat_map(|id| sketch.of(*id, false).into_iter().take(fan_out + 1)).collect());
        }
        around
    }

    fn ids(around: &Neighborhood) -> Vec<(KnowledgeId, u32)> {
        around.reached().iter().map(|reached| (reached.id, reached.depth)).collect()
    }

    #[test]
    fn nodes_are_reached_by_their_shortest_way_and_a_ring_ends() {
        let ring = Sketch::new(&[(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 0, 1.0)]);
        let around = walk(&ring, 4, 100, 10);
        assert_eq!(ids(&around), [(node(0), 0), (node(1), 1), (node(3), 1), (node(2), 2)]);
        assert!(around.unsettled().is_empty());
    }

    #[test]
    fn the_strongest_links_fill_the_limit_and_the_rest_is_where_to_go_on() {
        let star = Sketch::new(&[(0, 1, 0.1), (0, 2, 0.9), (0, 3, 0.5)]);
        let around = walk(&star, 2, 3, 10);
        assert_eq!(ids(&around), [(node(0), 0), (node(2), 1), (node(3), 1)]);
        assert_eq!(around.unsettled(), [node(0), node(2), node(3)]);
        let narrow = walk(&star, 2, 100, 2);
        assert_eq!(ids(&narrow), ids(&around));
        assert_eq!(narrow.unsettled(), [node(0)]);
    }

    #[test]
    fn a_limit_that_just_suffices_cuts_nothing() {
        let star = Sketch::new(&[(0, 1, 0.1), (0, 2, 0.9), (0, 3, 0.5)]);
        let around = walk(&star, 4, 4, 3);
        assert_eq!(around.reached().len(), 4);
        assert!(around.cut.is_empty());
    }
}
