//! Which links may be walked over, and in which direction.

use std::str::FromStr;

use kos_model::{KnowledgeId, LinkId, LinkKind, LinkName};

/// Which way links are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the source to the target.
    Out,
    /// From the target to the source.
    In,
    /// Either way.
    #[default]
    Both,
}

/// The text names no direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDirection;

impl FromStr for Direction {
    type Err = UnknownDirection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "out" => Ok(Self::Out),
            "in" => Ok(Self::In),
            "both" => Ok(Self::Both),
            _ => Err(UnknownDirection),
        }
    }
}

/// Which links count: from an item one walks over those that begin there and whose kind is in `out`, and
/// over those that end there and whose kind is in `inward`.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// Kinds that are followed from the source to the target.
    pub out: Vec<LinkKind>,
    /// Kinds that are followed from the target to the source.
    pub inward: Vec<LinkKind>,
    /// Only links at least so strong, 0 to 1.
    pub min_weight: f64,
}

impl Walk {
    /// Over links of these names, in this direction of the names: out over `depends_on` leads to what an item
    /// needs, out over `required_by` to what needs it. No names mean every kind. A symmetric kind is walked
    /// both ways, whatever the direction.
    #[must_use]
    pub fn new(names: &[LinkName], direction: Direction, min_weight: f64) -> Self {
        let direct = |kind: &LinkKind| LinkName { kind: *kind, inverted: false };
        let every: Vec<LinkName> = LinkKind::ALL.iter().map(direct).collect();
        let names = if names.is_empty() { &every } else { names };
        let followed = |along: bool| {
            let fits = |name: &&LinkName| {
                let (forth, back) = if name.inverted { (!along, along) } else { (along, !along) };
                name.kind.is_symmetric()
                    || match direction {
                        Direction::Out => forth,
                        Direction::In => back,
                        Direction::Both => true,
                    }
            };
            kinds(names.iter().filter(fits))
        };
        Self { out: followed(true), inward: followed(false), min_weight }
    }

    /// The links of one item that are called so from its side, and that lie in this direction.
    #[must_use]
    pub fn seen(names: &[LinkName], direction: Direction, min_weight: f64) -> Self {
        let all = Self::new(&[], direction, min_weight);
        if names.is_empty() {
            return all;
        }
        let called = Self::new(names, Direction::Out, min_weight);
        let both = |a: Vec<LinkKind>, b: &[LinkKind]| a.into_iter().filter(|kind| b.contains(kind)).collect();
        Self { out: both(called.out, &all.out), inward: both(called.inward, &all.inward), min_weight }
    }

    /// Over links of one kind, from the source to the target.
    #[must_use]
    pub fn along(kind: LinkKind) -> Self {
        Self::new(&[LinkName { kind, inverted: false }], Direction::Out, 0.0)
    }

    /// The same walk, taken backwards.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { out: self.inward.clone(), inward: self.out.clone(), min_weight: self.min_weight }
    }
}

fn kinds<'n>(names: impl Iterator<Item = &'n LinkName>) -> Vec<LinkKind> {
    let mut kinds: Vec<_> = names.map(|name| name.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// A link, seen from a node that a search has asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjacent {
    /// The node that was asked about.
    pub here: KnowledgeId,
    /// The link's other end.
    pub there: KnowledgeId,
    /// The link.
    pub link: LinkId,
    /// How strong it is, 0 to 1.
    pub weight: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<LinkName> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_inverse_name_turns_the_direction_round() {
        let needs = Walk::new(&names(&["depends_on"]), Direction::Out, 0.0);
        assert_eq!((needs.out.as_slice(), needs.inward.as_slice()), (&[LinkKind::DependsOn][..], &[][..]));
        assert_eq!(Walk::new(&names(&["required_by"]), Direction::In, 0.0), needs);
        assert_eq!(Walk::new(&names(&["required_by"]), Direction::Out, 0.0), needs.reversed());
    }

    #[test]
    fn a_symmetric_kind_has_no_direction() {
        for direction in [Direction::Out, Direction::In, Direction::Both] {
            let walk = Walk::new(&names(&["contradicts"]), direction, 0.0);
            assert_eq!((walk.out, walk.inward), (vec![LinkKind::Contradicts], vec![LinkKind::Contradicts]));
        }
    }

    #[test]
    fn what_is_seen_is_named_from_the_items_side() {
        let seen = Walk::seen(&names(&["required_by"]), Direction::Both, 0.0);
        assert_eq!((seen.out.as_slice(), seen.inward.as_slice()), (&[][..], &[LinkKind::DependsOn][..]));
        let none = Walk::seen(&names(&["required_by"]), Direction::Out, 0.0);
        assert!(none.out.is_empty() && none.inward.is_empty());
    }
}
