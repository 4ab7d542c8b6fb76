//! The graph as text that others read: JSON Graph Format 2, GraphML and DOT. Written piece by piece, so that
//! a whole graph need never be in memory.

use serde_json::{Map, json};

use crate::{Edge, Node};

/// How a graph is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON Graph Format, version 2.
    Json,
    /// GraphML.
    GraphMl,
    /// Graphviz' language.
    Dot,
}

impl Format {
    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.jgf+json",
            Self::GraphMl => "application/graphml+xml; charset=utf-8",
            Self::Dot => "text/vnd.graphviz; charset=utf-8",
        }
    }

    /// How files of it are called.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::GraphMl => "graphml",
            Self::Dot => "dot",
        }
    }
}

/// A graph on its way into text: all of its nodes, then all of its edges.
#[derive(Debug)]
pub struct Document {
    format: Format,
    is_first: bool,
    in_edges: bool,
    text: String,
}

const GRAPHML_HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
<key id="label" for="node" attr.name="label" attr.type="string"/>
<key id="domain" for="node" attr.name="domain" attr.type="string"/>
<key id="degree" for="node" attr.name="degree" attr.type="int"/>
<key id="kind" for="edge" attr.name="kind" attr.type="string"/>
<key id="weight" for="edge" attr.name="weight" attr.type="double"/>
<key id="symmetric" for="edge" attr.name="symmetric" attr.type="boolean"/>
<graph id="knowledge" edgedefault="directed">
"#;

impl Document {
    /// A document that has just begun.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let head = match format {
            Format::Json => r#"{"graph":{"directed":true,"type":"knowledge","label":"Knowledge OS","nodes":{"#,
            Format::GraphMl => GRAPHML_HEAD,
            Format::Dot => "digraph knowledge {\n  node [shape=box, style=rounded];\n",
        };
        Self { format, is_first: true, in_edges: false, text: head.to_owned() }
    }

    /// Writes a node. Nodes come before edges.
    pub fn node(&mut self, node: &Node) {
        let id = node.id;
        let text = match self.format {
            Format::Json => {
                let mut metadata = Map::from_iter([("degree".to_owned(), node.degree.into())]);
                metadata.extend(node.domain.as_deref().map(|domain| ("domain".to_owned(), domain.into())));
                let separator = self.separator();
                format!("{separator}\"{id}\":{}", json!({"label": node.label, "metadata": metadata}))
            }
            Format::GraphMl => {
                let domain = node.domain.as_deref();
                let domain = domain.map(|domain| format!("<data key=\"domain\">{}</data>", xml(domain)));
                format!(
                    "<node id=\"{id}\"><data key=\"label\">{}</data>{}<data key=\"degree\">{}</data></node>\n",
                    xml(&node.label),
                    domain.unwrap_or_default(),
                    node.degree
                )
            }
            Format::Dot => {
                let domain = node.domain.as_deref().map(|domain| format!(", domain={}", dot(domain)));
                format!("  \"{id}\" [label={}{}];\n", dot_label(&node.label), domain.unwrap_or_default())
            }
        };
        self.text.push_str(&text);
    }

    /// Writes an edge.
    pub fn edge(&mut self, edge: &Edge) {
        self.turn();
        let Edge { id, source, target, kind, weight } = edge;
        let symmetric = kind.is_symmetric();
        let text = match self.format {
            Format::Json => {
                let edge = json!({
                    "id": id, "source": source, "target": target, "relation": kind.as_str(),
                    "directed": !symmetric, "metadata": {"weight": weight},
                });
                format!("{}{edge}", self.separator())
            }
            Format::GraphMl => format!(
                "<edge id=\"{id}\" source=\"{source}\" target=\"{target}\"><data key=\"kind\">{kind}</data>\
                 <data key=\"weight\">{weight}</data><data key=\"symmetric\">{symmetric}</data></edge>\n"
            ),
            Format::Dot => {
                let ends = if symmetric { ", dir=none" } else { "" };
                format!("  \"{source}\" -> \"{target}\" [label=\"{kind}\", weight={weight}{ends}];\n")
            }
        };
        self.text.push_str(&text);
    }

    /// What has been written since this was last asked for.
    #[must_use]
    pub fn drain(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The rest, and the end.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.turn();
        let end = match self.format {
            Format::Json => "]}}\n",
            Format::GraphMl => "</graph>\n</graphml>\n",
            Format::Dot => "}\n",
        };
        self.text.push_str(end);
        self.text
    }

    /// From the nodes to the edges.
    fn turn(&mut self) {
        if !self.in_edges {
            self.in_edges = true;
            self.is_first = true;
            if self.format == Format::Json {
                self.text.push_str("},\"edges\":[");
            }
        }
    }

    fn separator(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_first) { "" } else { "," }
    }
}

/// Text within XML, in an element or an attribute. What XML cannot hold at all becomes U+FFFD.
pub(crate) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(character),
            // A reader would make a line feed of it.
            '\r' => escaped.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A label in DOT, within which entities are read.
fn dot_label(text: &str) -> String {
    dot(&text.replace('&', "&amp;"))
}

/// A quoted text in DOT.
fn dot(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
pub(crate) mod tests {
    use kos_model::LinkKind;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::Graph;
    use crate::hops::tests::{link, node};

    pub(crate) fn graph() -> impl Strategy<Value = Graph> {
        let text = prop_oneof![any::<String>(), "[<>&\"'\\\\\\PC\n\r\0]{0,12}", Just("]]></title><script>".to_owned())];
        let nodes = prop::collection::vec((text.clone(), prop::option::of(text)), 0..12);
        let links = prop::collection::vec((any::<u8>(), any::<u8>(), 0..LinkKind::ALL.len(), 0.0..=1.0_f64), 0..20);
        (nodes, links).prop_map(|(nodes, links)| sample(nodes, &links))
    }

    fn sample(nodes: Vec<(String, Option<String>)>, links: &[(u8, u8, usize, f64)]) -> Graph {
        let id = |number: usize| node(u8::try_from(number).unwrap());
        let nodes: Vec<Node> = nodes
            .into_iter()
            .enumerate()
            .map(|(number, (label, domain))| Node { id: id(number), label, domain, degree: 1 })
            .collect();
        let mut edges = Vec::new();
        for (number, (source, target, kind, weight)) in links.iter().enumerate() {
            if nodes.len() > 1 {
                let end = |end: &u8| id(usize::from(*end) % nodes.len());
                edges.push(Edge {
                    id: link(number),
                    source: end(source),
                    target: end(target),
                    kind: LinkKind::ALL[*kind],
                    weight: *weight,
                });
            }
        }
        Graph { nodes, edges }
    }

    /// The whole of a small graph.
    fn written(format: Format, graph: &Graph) -> String {
        let mut document = Document::new(format);
        graph.nodes.iter().for_each(|node| document.node(node));
        graph.edges.iter().for_each(|edge| document.edge(edge));
        document.finish()
    }

    /// Whether every tag is closed, every attribute quoted, every entity one of XML's, and every character allowed.
    pub(crate) fn assert_well_formed(text: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            assert_text(before);
            let (tag, after) = after.split_once('>').expect("a tag ends");
            rest = after;
            if tag.starts_with('?') {
                continue;
            }
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "in {text}");
                continue;
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            tag.split('"').skip(1).step_by(2).for_each(assert_text);
            if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap());
            }
        }
        assert_text(rest);
        assert!(open.is_empty(), "{open:?} left open in {text}");
    }

    fn assert_text(text: &str) {
        assert!(!text.contains('<'), "{text}");
        for part in text.split('&').skip(1) {
            let entity = part.split_once(';').map(|(entity, _)| entity);
            assert!(matches!(entity, Some("amp" | "lt" | "gt" | "quot" | "#39" | "#13")), "{text}");
        }
        let is_allowed = |sign: char| matches!(sign, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
        assert!(text.chars().all(is_allowed), "{text:?}");
    }

    proptest! {
        #[test]
        fn json_holds_every_text_as_it_is(graph in graph()) {
            let text = written(Format::Json, &graph);
            let read: Value = serde_json::from_str(&text).unwrap();
            let nodes = read["graph"]["nodes"].as_object().unwrap();
            prop_assert_eq!(nodes.len(), graph.nodes.len());
            for node in &graph.nodes {
                let read = &nodes[&node.id.to_string()];
                prop_assert_eq!(read["label"].as_str(), Some(node.label.as_str()));
                prop_assert_eq!(read["metadata"]["domain"].as_str(), node.domain.as_deref());
            }
            let edges = read["graph"]["edges"].as_array().unwrap();
            prop_assert_eq!(edges.len(), graph.edges.len());
            for (read, edge) in edges.iter().zip(&graph.edges) {
                prop_assert_eq!(read["relation"].as_str(), Some(edge.kind.as_str()));
                prop_assert_eq!(read["directed"].as_bool(), Some(!edge.kind.is_symmetric()));
            }
        }

        #[test]
        fn graphml_is_well_formed_whatever_the_texts(graph in graph()) {
            assert_well_formed(&written(Format::GraphMl, &graph));
        }

        #[test]
        fn no_text_breaks_out_of_its_quotes_in_dot(graph in graph()) {
            for line in written(Format::Dot, &graph).lines() {
                let mut quoted = false;
                let mut bare = String::new();
                let mut signs = line.chars();
                while let Some(sign) = signs.next() {
                    match sign {
                        '"' => quoted = !quoted,
                        '\\' if quoted => { signs.next(); }
                        other if !quoted => bare.push(other),
                        _ => {}
                    }
                }
                prop_assert!(!quoted, "{line}");
                let known = |sign: char| sign.is_ascii_alphanumeric() || " {}[]=,;->.".contains(sign);
                prop_assert!(bare.chars().all(known), "{bare}");
            }
        }
    }

    #[test]
    fn dot_reads_entities_in_labels_alone() {
        let line = written(Format::Dot, &sample(vec![("R&amp;D".to_owned(), Some("R&D".to_owned()))], &[]));
        assert!(line.contains(r#"[label="R&amp;amp;D", domain="R&D"]"#), "{line}");
    }
}
