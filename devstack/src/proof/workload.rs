//! What is published in a run, to whom, and what do people do meanwhile? All of it by the run's seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Api, ProofError};
use super::history::Flags;
use crate::client::dice::Dice;
use crate::client::post::Post;

/// Names that begin alike.
pub const TENANTS: [&str; 3] = ["a", "a-b", "a_b"];
/// Of each tenant; names that need care.
pub const USERS: [&str; 6] = ["ana", "ana:2", "Čeda O", "*", "tenant", "mila"];
/// Everyone's channel beside their own.
pub const ROOM: &str = "room:1";
/// The role of every second person.
pub const ROLE: &str = "teacher";

/// Events of one run, and each of them again for the same number.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The run's seed.
    pub seed: u64,
}

impl Workload {
    /// The `n`-th event.
    pub fn post(self, n: u64) -> Post {
        let mut dice = Dice::seeded(self.seed ^ (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let tenant = TENANTS[dice.below(TENANTS.len())];
        let pad = "x".repeat(dice.below(400));
        let post = Post::new(tenant, "proof.event", json!({"n": n, "of": tenant, "pad": pad}));
        match dice.below(20) {
            0..=7 => post.tenant_wide(),
            8..=10 => post.channel(ROOM),
            11..=14 => post.user(USERS[dice.below(USERS.len())]),
            15 | 16 => post.role(ROLE),
            // For one person through two channels: it comes once.
            17 => post.user(USERS[dice.below(USERS.len())]).channel(ROOM),
            18 => post.tenant_wide().notify("Everyone", format!("number {n}")),
            _ => post.user(USERS[dice.below(USERS.len())]).notify("You", format!("number {n}")),
        }
    }
}

/// The roles of a person.
pub fn roles(user: usize) -> Vec<String> {
    if user.is_multiple_of(2) { vec![ROLE.to_owned()] } else { Vec::new() }
}

/// A person of a tenant, with the token they ask with.
#[derive(Debug, Clone)]
pub struct Person {
    /// Whose tenant.
    pub tenant: String,
    /// Who.
    pub user: String,
    /// Their token.
    pub token: String,
    /// Channels whose notices are in their inbox.
    pub channels: Vec<String>,
}

/// What people have done to their inboxes, as far as it was answered: by tenant and user, by number.
pub type Marks = Arc<Mutex<BTreeMap<(String, String), BTreeMap<u64, Flags>>>>;

/// People who open their inboxes and mark what they find there, one after the other, until they are told to stop. A mark
/// that was begun is ended: else nobody knows whether it was made.
pub async fn mark(
    api: &Api,
    people: &[Person],
    marks: &Marks,
    seed: u64,
    stop: &AtomicBool,
) -> Result<(), ProofError> {
    let mut dice = Dice::seeded(seed ^ 0x6d61_726b);
    while !stop.load(Ordering::Relaxed) {
        let person = &people[dice.below(people.len())];
        let listed = api.ask(Method::GET, "/v1/inbox?limit=20&filter=all", &person.token, None).await?;
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        if !items.is_empty() {
            let seq = items[dice.below(items.len())]["seq"].as_u64().unwrap_or_default();
            let deed = ["read", "read", "unread", "archive", "unarchive"][dice.below(5)];
            let path = format!("/v1/inbox/{seq}/{deed}");
            // Asked again until it is answered: to do it twice is to do it once.
            api.ask(Method::POST, &path, &person.token, Some(&Value::Null)).await?;
            let mut marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
            let of = marks.entry((person.tenant.clone(), person.user.clone())).or_default();
            let flags = of.entry(seq).or_default();
            match deed {
                "read" => flags.read = true,
                "unread" => flags.read = false,
                "archive" => flags.archived = true,
                _ => flags.archived = false,
            }
        }
        tokio::time::sleep(Duration::from_millis(u64::from(dice.between(50, 250)))).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_number_make_an_event_again_and_all_kinds_are_made() {
        let (one, other) = (Workload { seed: 1 }, Workload { seed: 2 });
        let posts: Vec<Post> = (0..200).map(|n| one.post(n)).collect();
        assert!((0..200).all(|n| posts[n as usize] == one.post(n)));
        assert!((0..200).any(|n| posts[n as usize] != other.post(n)));
        for tenant in TENANTS {
            let theirs: Vec<&Post> = posts.iter().filter(|post| post.tenant == tenant).collect();
            assert!(theirs.iter().any(|post| post.notify.is_some() && post.tenant_wide));
            assert!(theirs.iter().any(|post| !post.roles.is_empty()));
            assert!(theirs.iter().any(|post| post.channels == [ROOM]));
        }
    }
}
