//! What people see of items, kept beside the links that are held: to read it anew takes longer than the walk.

use diesel_async::AsyncPgConnection;
use foldhash::HashMap;
use kos_graph::Node;
use kos_model::KnowledgeId;

use super::nodes::nodes_of;
use crate::error::Result;

/// So many bytes of labels are kept at the most: of some 150,000 items with titles of ten words.
const MOST: usize = 32_000_000;
/// What each costs beside its text: its place in the table, of which up to half is empty, and two pieces of memory.
const COST: usize = 140;
/// Items whose labels are asked for at once.
const AT_ONCE: usize = 5_000;

/// The labels of items. They are as the links are that are held beside them: up to the same moment.
#[derive(Debug, Default)]
pub(super) struct Labels {
    known: HashMap<KnowledgeId, Label>,
    bytes: usize,
}

#[derive(Debug)]
struct Label {
    text: Box<str>,
    domain: Option<Box<str>>,
}

impl Label {
    fn cost(&self) -> usize {
        COST + self.text.len() + self.domain.as_ref().map_or(0, |domain| domain.len())
    }
}

impl Labels {
    /// Those of these items, as far as there is room for them.
    pub(super) async fn read(reader: &AsyncPgConnection, items: &[KnowledgeId]) -> Result<Self> {
        let mut labels = Self::default();
        for some in items.chunks(AT_ONCE) {
            if !labels.keep(&nodes_of(reader, None, some).await?) {
                break;
            }
        }
        Ok(labels)
    }

    /// An item as a node whose links are not counted.
    pub(super) fn node(&self, id: KnowledgeId) -> Option<Node> {
        let Label { text, domain } = self.known.get(&id)?;
        Some(Node { id, label: text.to_string(), domain: domain.as_deref().map(str::to_owned), degree: 0 })
    }

    /// Keeps those of items as they were read, as long as there is room; says whether there was for all of them.
    pub(super) fn keep(&mut self, nodes: &[Node]) -> bool {
        nodes.iter().all(|node| {
            self.forget(node.id);
            let label = Label { text: node.label.as_str().into(), domain: node.domain.as_deref().map(Box::from) };
            let has_room = self.bytes + label.cost() <= MOST;
            if has_room {
                self.bytes += label.cost();
                self.known.insert(node.id, label);
            }
            has_room
        })
    }

    /// Forgets that of an item.
    pub(super) fn forget(&mut self, id: KnowledgeId) {
        if let Some(label) = self.known.remove(&id) {
            self.bytes -= label.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u128, bytes: usize) -> Node {
        let id = KnowledgeId(uuid::Uuid::from_u128(number));
        Node { id, label: "x".repeat(bytes), domain: None, degree: 0 }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_what_is_forgotten_makes_room() {
        let mut labels = Labels::default();
        let [small, large, other] = [item(1, 10), item(2, MOST - 500), item(3, 500)];
        let nodes = |labels: &Labels| [&small, &large, &other].map(|node| labels.node(node.id));
        assert!(labels.keep(&[small.clone(), large.clone(), large.clone()]));
        assert!(!labels.keep(std::slice::from_ref(&other)));
        assert_eq!(nodes(&labels), [Some(small.clone()), Some(large.clone()), None]);
        labels.forget(large.id);
        assert!(labels.keep(std::slice::from_ref(&other)));
        assert_eq!(nodes(&labels), [Some(small.clone()), None, Some(other.clone())]);
        labels.forget(small.id);
        labels.forget(other.id);
        assert_eq!((labels.bytes, labels.known.len()), (0, 0));
    }
}
