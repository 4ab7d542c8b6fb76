//! What lies around a node, level by level, the strongest links first.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt as _, HashSet};
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

/// Nodes that are equally far away, and may have a neighbour that a walk missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The nodes.
    pub nodes: Vec<KnowledgeId>,
    /// What is no farther away than their neighbours should be: who has another neighbour is where to go on.
    pub near: Vec<KnowledgeId>,
}

/// A walk around a node that limits cut short but never make fail.
#[derive(Debug)]
pub struct Neighborhood {
    depth: u32,
    limit: usize,
    fan_out: usize,
    at: u32,
    known: HashSet<KnowledgeId>,
    reached: Vec<Reached>,
    level: Vec<KnowledgeId>,
    /// Nodes of which a link was passed over, by how many links away they are.
    cut: BTreeMap<u32, BTreeSet<KnowledgeId>>,
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
            known: std::iter::once(start).collect(),
            reached: vec![Reached { id: start, depth: 0 }],
            level: vec![start],
            cut: BTreeMap::new(),
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
                self.cut.entry(self.at - 1).or_default().insert(link.here);
            } else if !is_known {
                self.known.insert(link.there);
                self.reached.push(Reached { id: link.there, depth: self.at });
                self.level.push(link.there);
            }
        }
    }

    /// Nodes within the depth of which a link was passed over, because they have many or it was full, or whose links it
    /// never asked for. Each that has a neighbour which is not here, or is farther away than it would be over this node,
    /// is where to go on.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Unsettled> {
        let mut open = self.cut.clone();
        if self.at < self.depth && !self.level.is_empty() {
            open.entry(self.at).or_default().extend(&self.level);
        }
        let unsettled = |(depth, nodes): (u32, BTreeSet<KnowledgeId>)| Unsettled {
            nodes: nodes.into_iter().collect(),
            near: self.reached.iter().take_while(|other| other.depth <= depth + 1).map(|other| other.id).collect(),
        };
        open.into_iter().map(unsettled).collect()
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
        let here = |around: &Neighborhood| around.unsettled().into_iter().map(|open| open.nodes).collect::<Vec<_>>();
        assert_eq!(here(&around), [vec![node(0)], vec![node(2), node(3)]]);
        let narrow = walk(&star, 2, 100, 2);
        assert_eq!(ids(&narrow), ids(&around));
        assert_eq!(here(&narrow), [[node(0)]]);
    }

    #[test]
    fn what_was_reached_by_a_detour_alone_is_not_near() {
        let detour = Sketch::new(&[(0, 1, 0.8), (0, 2, 0.1), (1, 3, 0.9), (3, 2, 1.0)]);
        let around = walk(&detour, 3, 100, 1);
        assert_eq!(ids(&around).last(), Some(&(node(2), 3)), "it is one link away");
        let open = around.unsettled();
        assert_eq!(open[0], Unsettled { nodes: vec![node(0)], near: vec![node(0), node(1)] });
    }

    #[test]
    fn a_limit_that_just_suffices_cuts_nothing() {
        let star = Sketch::new(&[(0, 1, 0.1), (0, 2, 0.9), (0, 3, 0.5)]);
        let around = walk(&star, 4, 4, 3);
        assert_eq!(around.reached().len(), 4);
        assert!(around.cut.is_empty());
    }
}
