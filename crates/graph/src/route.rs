//! What the searches for a path have in common.

use kos_model::{KnowledgeId, LinkId};

use crate::walk::Adjacent;

/// Nodes whose links a search needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The nodes.
    pub nodes: Vec<KnowledgeId>,
    /// Whether links are to be walked backwards: from the end of the path towards its start.
    pub backwards: bool,
}

/// A search that asks for links as it needs them.
pub trait Search {
    /// What it needs next; none when it is done.
    fn wants(&mut self) -> Option<Wanted>;

    /// Takes the links of the nodes it asked for.
    fn take(&mut self, wanted: &Wanted, found: &[Adjacent]);

    /// Ends the search where it stands.
    fn give_up(&mut self);

    /// What has been found.
    fn route(&self) -> Option<Route>;

    /// Whether a limit ended the search, so that there may be a path, or a better one, all the same.
    fn truncated(&self) -> bool;
}

/// A way from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The nodes, both ends included.
    pub nodes: Vec<KnowledgeId>,
    /// The links between them; one less than nodes.
    pub links: Vec<LinkId>,
}
