//! Which rule is for this channel, however many there are?
//!
//! A tree of segments. Under each node literal segments are found by their text, and those with a place or a star by their
//! beginnings: one look for each length that a beginning has. So what a lookup costs depends on how a channel could be read,
//! not on how many rules there are.

use super::document::Document;
use super::pattern::{Pattern, Segment};
use super::rule::{Action, Rule};
use carillon_protocol::Channel;
use std::collections::HashMap;

/// Rules, ready to be asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    rules: Vec<Rule>,
    /// The first is the root.
    nodes: Vec<Node>,
    /// Which actions any of them grants.
    granted: [bool; Action::ALL.len()],
}

type Rank = (usize, bool);

#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    places: Beginnings,
    rests: Beginnings,
    /// The rule whose pattern ends here.
    rule: Option<usize>,
    /// The most that a rule below says.
    most: Rank,
}

/// What begins with a text: nodes, or rules.
#[derive(Debug, Default, PartialEq, Eq)]
struct Beginnings {
    by_text: HashMap<Box<str>, usize>,
    /// The lengths there are, descending.
    lengths: Vec<usize>,
}

impl Beginnings {
    fn insert(&mut self, text: &str, value: usize) {
        self.by_text.insert(text.into(), value);
        if let Err(at) = self.lengths.binary_search_by(|length| text.len().cmp(length)) {
            self.lengths.insert(at, text.len());
        }
    }

    /// What a text begins with, the longest first, if at least `more` follows it.
    fn of<'a>(&'a self, text: &'a str, more: usize) -> impl Iterator<Item = usize> + 'a {
        let beginnings = self.lengths.iter().filter(move |length| **length + more <= text.len());
        beginnings.filter_map(move |length| self.by_text.get(text.get(..*length)?).copied())
    }
}

impl Compiled {
    /// Makes rules of patterns and their documents as they are stored. One that cannot be read gives nobody anything; a pattern
    /// that cannot be read is for no channel. Both are counted in the answer.
    pub fn of<'a>(stored: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, usize) {
        let (mut compiled, mut unreadable) = (Self { nodes: vec![Node::default()], ..Self::default() }, 0);
        for (pattern, document) in stored {
            let Ok(pattern) = Pattern::new(pattern) else {
                unreadable += 1;
                continue;
            };
            compiled.add(match Document::stored(document) {
                Ok(document) => document.rule(pattern),
                Err(_) => {
                    unreadable += 1;
                    Rule::closed(pattern)
                }
            });
        }
        (compiled, unreadable)
    }

    /// Whether any of them lets anybody do this.
    pub fn is_granted(&self, action: Action) -> bool {
        self.granted[action as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All of them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn add(&mut self, rule: Rule) {
        let (number, rank) = (self.rules.len(), rule.pattern.rank());
        for action in Action::ALL {
            self.granted[action as usize] |= rule.grant(action).is_any();
        }
        let mut at = 0;
        for segment in rule.pattern.segments() {
            self.nodes[at].most = self.nodes[at].most.max(rank);
            let known = match segment {
                Segment::Literal(text) => self.nodes[at].literals.get(text),
                Segment::Place { prefix, .. } => self.nodes[at].places.by_text.get(prefix),
                Segment::Rest { prefix } => {
                    self.nodes[at].rests.insert(prefix, number);
                    self.rules.push(rule);
                    return;
                }
            };
            let next = known.copied().unwrap_or(self.nodes.len());
            if next == self.nodes.len() {
                self.nodes.push(Node::default());
                match segment {
                    Segment::Literal(text) => drop(self.nodes[at].literals.insert(text.clone(), next)),
                    Segment::Place { prefix, .. } | Segment::Rest { prefix } => {
                        self.nodes[at].places.insert(prefix, next);
                    }
                }
            }
            at = next;
        }
        self.nodes[at].most = self.nodes[at].most.max(rank);
        self.nodes[at].rule = Some(number);
        self.rules.push(rule);
    }

    /// The rule that says most about this channel.
    pub fn find(&self, channel: &Channel) -> Option<&Rule> {
        let root = self.nodes.first()?;
        let mut best = None;
        self.look(root, Some(channel.as_str()), channel.is_reserved(), &mut best);
        best.and_then(|(_, number)| self.rules.get(number))
    }

    /// Looks below a node for what says most about the rest of a channel; none is left when all of it was read. Of a reserved
    /// channel the first segment is only ever literal.
    fn look(&self, node: &Node, left: Option<&str>, literal_only: bool, best: &mut Option<(Rank, usize)>) {
        let is_better = |rank: Rank, best: &Option<(Rank, usize)>| best.is_none_or(|(known, _)| rank > known);
        if !is_better(node.most, best) {
            return;
        }
        let Some(all) = left else {
            if let Some((number, rule)) = node.rule.and_then(|number| Some((number, self.rules.get(number)?)))
                && is_better(rule.pattern.rank(), best)
            {
                *best = Some((rule.pattern.rank(), number));
            }
            return;
        };
        let (part, behind) = match all.split_once(':') {
            Some((part, behind)) => (part, Some(behind)),
            None => (all, None),
        };
        if let Some(next) = node.literals.get(part).and_then(|next| self.nodes.get(*next)) {
            self.look(next, behind, false, best);
        }
        if literal_only {
            return;
        }
        for next in node.places.of(part, 1).filter_map(|next| self.nodes.get(next)) {
            self.look(next, behind, false, best);
        }
        // The longest beginning says most.
        let rest = node.rests.of(part, 0).next();
        if let Some((number, rule)) = rest.and_then(|number| Some((number, self.rules.get(number)?)))
            && is_better(rule.pattern.rank(), best)
        {
            *best = Some((rule.pattern.rank(), number));
        }
    }
}
