//! The graph over knowledge: how it is walked, counted, written down and drawn.
//!
//! Pure: no database and no HTTP. A search asks for the links of the nodes that it needs next, and whoever
//! runs it fetches them; so the same search runs over a table, and over a few lines of a test.

mod adjacency;
mod cheapest;
mod format;
mod hops;
mod layout;
mod mention;
mod neighborhood;
mod overview;
mod picture;
mod route;
mod walk;

use kos_model::{KnowledgeId, LinkId, LinkKind};

pub use adjacency::Adjacency;
pub use cheapest::{Cheapest, cost};
pub use format::{Document, Format};
pub use hops::Hops;
pub use layout::{Layout, Point, Size, lay_out};
pub use mention::phrases;
pub use neighborhood::{Neighborhood, Reached, Unsettled};
pub use overview::{Hub, Overview, overview};
pub use picture::{MAX_PICTURED, picture};
pub use route::{Route, Search, Wanted};
pub use walk::{Adjacent, Direction, UnknownDirection, Walk};

/// Longest label that is made from a text, in characters.
pub const MAX_LABEL: usize = 60;

/// A piece of knowledge in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: KnowledgeId,
    /// What people see of it.
    pub label: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// How many links it has in the whole graph.
    pub degree: u32,
}

/// A link in the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Its id.
    pub id: LinkId,
    /// Where it begins.
    pub source: KnowledgeId,
    /// Where it leads.
    pub target: KnowledgeId,
    /// Its kind.
    pub kind: LinkKind,
    /// How strong it is, 0 to 1.
    pub weight: f64,
}

/// Nodes, and links between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The links; both ends are among the nodes.
    pub edges: Vec<Edge>,
}

/// A node's label: its title, or else the start of its text, on one line.
#[must_use]
pub fn label(title: Option<&str>, content: &str) -> String {
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let title = title.map(line).filter(|title| !title.is_empty());
    title.unwrap_or_else(|| line(content).chars().take(MAX_LABEL).collect::<String>().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_title_or_the_start_of_the_text_on_one_line() {
        assert_eq!(label(Some(" Event\nloop "), "x"), "Event loop");
        assert_eq!(label(Some(" "), "async\n\tawait"), "async await");
        assert_eq!(label(None, &"я".repeat(100)).chars().count(), MAX_LABEL);
    }
}
