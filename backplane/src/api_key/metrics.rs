//! What is counted of API keys?

use ::metrics::{Counter, counter, describe_counter};

const LOOKUPS: &str = "carillon_api_key_lookups_total";

/// Gives the installed recorder the meaning of every metric of API keys.
pub fn describe() {
    describe_counter!(
        LOOKUPS,
        "Times an API key was needed, by source: cache (its answer of the last ten seconds, or one that others were waiting \
         for), database, refused (too many look-ups of the address, or of all, were before it)."
    );
}

/// Handles are made once.
pub(super) struct KeyMetrics {
    pub(super) cached: Counter,
    pub(super) asked: Counter,
    pub(super) refused: Counter,
}

impl Default for KeyMetrics {
    fn default() -> Self {
        let [cached, asked, refused] =
            ["cache", "database", "refused"].map(|source| counter!(LOOKUPS, "source" => source));
        Self { cached, asked, refused }
    }
}
