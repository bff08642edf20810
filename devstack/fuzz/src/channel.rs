//! Which texts are channels and patterns, and does a pattern allow what its grammar says?
//!
//! Input: pattern and channel, one line each. No name holds a line feed, so nothing is out of reach.

use carillon_protocol::limits::{CHANNEL_BYTES, USER_BYTES};
use carillon_protocol::{Channel, ChannelPattern};

/// How many beginnings of a channel are tried as patterns; reserved namespaces are shorter.
const BEGINNINGS: usize = 12;

/// Panics when names and patterns do not keep their grammar.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (pattern, channel) = text.split_once('\n').unwrap_or((text, text));
    for name in [pattern, channel] {
        name_is_kept(name);
        pattern_is_kept(name);
    }
    // Beside the pattern that came along: those that begin like the channel itself.
    let beginnings = channel.char_indices().take(BEGINNINGS).map(|(at, _)| format!("{}*", &channel[..at]));
    let Ok(name) = Channel::new(channel) else { return };
    for text in beginnings.chain([pattern.to_owned()]) {
        if let Ok(pattern) = ChannelPattern::new(&text) {
            assert_eq!(pattern.allows(&name), allowed(&text, channel), "{pattern:?} and {name:?}");
        }
    }
}

fn name_is_kept(text: &str) {
    let channel = Channel::new(text);
    assert_eq!(channel.is_ok(), is_channel(text), "{text:?}");
    let Ok(channel) = channel else { return };
    assert_eq!(channel.as_str(), text);
    assert_eq!(channel.to_string(), text);
    assert_eq!(channel.is_reserved(), is_reserved(text));
    let json = serde_json::to_string(&channel).expect("a name is a JSON string");
    assert_eq!(serde_json::from_str::<Channel>(&json).as_ref().ok(), Some(&channel), "{json}");
}

fn pattern_is_kept(text: &str) {
    let pattern = ChannelPattern::new(text);
    let expected = match text.strip_suffix('*') {
        Some("" | "user:" | "role:") => true,
        Some(beginning) => is_channel(beginning),
        None => is_channel(text),
    };
    assert_eq!(pattern.is_ok(), expected, "{text:?}");
    let Ok(pattern) = pattern else { return };
    assert_eq!(String::from(pattern.clone()), text);
    let json = serde_json::to_string(&pattern).expect("a pattern is a JSON string");
    assert_eq!(serde_json::from_str::<ChannelPattern>(&json).as_ref().ok(), Some(&pattern), "{json}");
}

fn is_reserved(text: &str) -> bool {
    text == "tenant"
        || text.split_once(':').is_some_and(|(namespace, _)| ["user", "role"].contains(&namespace))
}

/// The contract's grammar, character by character.
fn is_channel(text: &str) -> bool {
    match text.split_once(':') {
        Some(("user" | "role", name)) => {
            (1..=USER_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
        }
        _ => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_.@:-".contains(c);
            (1..=CHANNEL_BYTES).contains(&text.len()) && text.chars().all(allowed)
        }
    }
}

/// A matcher that knows nothing but the two rules: a star stands for any ending, and reserved namespaces open only to
/// patterns that name them.
fn allowed(pattern: &str, channel: &str) -> bool {
    let mut wanted = pattern.chars();
    let mut have = channel.chars();
    let matches = loop {
        match (wanted.next(), have.next()) {
            // A star is the last character of a pattern, unless it belongs to a name that may hold anything.
            (Some('*'), _) if wanted.as_str().is_empty() => break true,
            (None, None) => break true,
            (Some(a), Some(b)) if a == b => {}
            _ => break false,
        }
    };
    let named = pattern == channel && !pattern.ends_with('*')
        || ["user:", "role:"].iter().any(|namespace| pattern.starts_with(namespace));
    matches && (named || !is_reserved(channel))
}
