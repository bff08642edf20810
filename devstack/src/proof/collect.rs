//! What is there to be seen when a run has become quiet?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::api::{Api, ProofError};
use super::fault::pause;
use super::history::{Counted, Endpoint, Flags, History, Inbox, Logged, Memory, Presence, TenantLog};
use super::workload::{Person, ROOM, TENANTS};
use super::world::{PATIENCE, Peaks, World, listed};
use crate::client::follow::Follower;
use crate::client::post::digest;
use crate::wait;

/// What a process of this system may have in memory: a debug build with its buffers. The budgets of a process are tested
/// by themselves (I10); this is for what grows without end.
const MEMORY_BOUND: u64 = 512 << 20;
/// Between two looks at what becomes true by itself.
const PAUSE: Duration = Duration::from_millis(200);
/// Events of one page.
const PAGE: usize = 200;

/// A log, and which of its events are notices.
struct Read {
    log: TenantLog,
    notices: BTreeSet<u64>,
}

/// Reads everything, once webhooks and projectors have caught up, or have had the time to.
pub(super) async fn collect(world: &World, peaks: &Peaks) -> Result<History, ProofError> {
    let mut history = History { ledger: world.book().clone(), ..History::default() };
    let key = world.stack.api_key();
    let tenants: BTreeSet<String> = history.ledger.tenants().map(str::to_owned).collect();
    let mut logs: BTreeMap<String, Read> = BTreeMap::new();
    for tenant in &tenants {
        logs.insert(tenant.clone(), read_log(&world.api, key, tenant).await?);
    }
    for (tenant, receiver) in TENANTS.iter().zip(&world.endpoints) {
        let length = logs.get(*tenant).map_or(0, |read| read.log.events.len());
        let all = || receiver.answered() >= length;
        // Whoever has not got all by then, the checker will name.
        let _ = wait::until_true("webhooks", PATIENCE, all).await;
        let messages = receiver.taken();
        history.endpoints.push(Endpoint { tenant: (*tenant).to_owned(), after: 0, messages });
    }
    for (tenant, read) in &logs {
        history.counts.extend(counted(world, tenant, &read.log).await?);
    }
    for tenant in TENANTS {
        history.presence.push(presence(world, tenant).await?);
    }
    for person in &world.people {
        if let Some(read) = logs.get(&person.tenant) {
            history.inboxes.push(inbox(world, person, read).await?);
        }
    }
    history.clients = world.clients.iter().map(Follower::witness).collect();
    history.logs = logs.into_values().map(|read| read.log).collect();
    let memory = |(process, most): (&String, &u64)| Memory {
        process: process.clone(),
        most: *most,
        bound: MEMORY_BOUND,
    };
    history.memory = peaks.iter().map(memory).collect();
    Ok(history)
}

async fn read_log(api: &Api, key: &str, tenant: &str) -> Result<Read, ProofError> {
    let mut read =
        Read { log: TenantLog { tenant: tenant.to_owned(), events: Vec::new() }, notices: BTreeSet::new() };
    let mut after = "0".to_owned();
    loop {
        let path = format!("/v1/events?tenant={tenant}&order=asc&limit={PAGE}&after={after}");
        let page = api.ask(Method::GET, &path, key, None).await?;
        let rows = page["events"].as_array().cloned().unwrap_or_default();
        for row in &rows {
            let seq = row["seq"].as_u64().unwrap_or_default();
            let event = &row["event"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if !event["notify"].is_null() {
                read.notices.insert(seq);
            }
            let channels = row["channels"].as_array().into_iter().flatten().map(text).collect();
            read.log.events.push(Logged {
                seq,
                epoch: text(&row["epoch"]),
                id: text(&event["id"]),
                digest: digest(event["type"].as_str().unwrap_or_default(), &event["data"]),
                channels,
            });
        }
        let Some(next) = page["next"].as_str().filter(|next| *next != after && !rows.is_empty()) else {
            return Ok(read);
        };
        after = next.to_owned();
    }
}

/// What the projector of analytics has counted, and what the channel index finds.
async fn counted(world: &World, tenant: &str, log: &TenantLog) -> Result<[Counted; 2], ProofError> {
    let key = world.stack.api_key();
    let path = format!("/v1/analytics?tenant={tenant}");
    let begun = std::time::Instant::now();
    let events = loop {
        let answer = world.api.ask(Method::GET, &path, key, None).await?;
        if answer["behind"]["events"] == 0 || begun.elapsed() > PATIENCE {
            // From what the hours of the range add up to by type, not from one number beside it.
            let rows = answer["rows"].as_array().into_iter().flatten();
            break rows.filter_map(|row| row["count"].as_u64()).sum();
        }
        pause(PAUSE).await;
    };
    let mut found = 0;
    let mut after = String::new();
    loop {
        let path = format!("/v1/events?tenant={tenant}&channel={ROOM}&limit={PAGE}{after}");
        let page = world.api.ask(Method::GET, &path, key, None).await?;
        found += page["events"].as_array().map_or(0, Vec::len) as u64;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let in_room = log.events.iter().filter(|event| event.channels.contains(ROOM)).count() as u64;
    let of = |what: &str, counted, in_log| Counted {
        tenant: tenant.to_owned(),
        what: what.to_owned(),
        counted,
        in_log,
    };
    Ok([of("analytics", events, log.events.len() as u64), of(ROOM, found, in_room)])
}

/// Who is said to be in the room, once that is the truth, or has had the time to become it.
async fn presence(world: &World, tenant: &str) -> Result<Presence, ProofError> {
    let begun = std::time::Instant::now();
    let path = format!("/v1/presence/{ROOM}?tenant={tenant}&limit=200");
    loop {
        let there = world
            .clients
            .iter()
            .zip(&world.people)
            .filter(|(client, person)| person.tenant == tenant && client.status().node.is_some());
        let truth: BTreeSet<String> = there.map(|(_, person)| person.user.clone()).collect();
        let answer = world.api.ask(Method::GET, &path, world.stack.api_key(), None).await?;
        let listed = listed(&answer, "members", "user");
        if (listed == truth && answer["stale"] != true) || begun.elapsed() > PATIENCE {
            let (tenant, channel) = (tenant.to_owned(), ROOM.to_owned());
            return Ok(Presence { tenant, channel, listed, truth });
        }
        pause(PAUSE).await;
    }
}

async fn inbox(world: &World, person: &Person, read: &Read) -> Result<Inbox, ProofError> {
    let mut inbox = Inbox { tenant: person.tenant.clone(), user: person.user.clone(), ..Inbox::default() };
    let mut after = String::new();
    loop {
        let path = format!("/v1/inbox?filter=all&limit=200&exact=true{after}");
        let page = world.api.ask(Method::GET, &path, &person.token, None).await?;
        inbox.unread = page["unread"].as_u64().unwrap_or_default();
        for item in page["items"].as_array().into_iter().flatten() {
            let flags = Flags { read: item["read"] == true, archived: item["archived"] == true };
            let id = item["id"].as_str().unwrap_or_default().to_owned();
            if inbox.listed.insert(item["seq"].as_u64().unwrap_or_default(), (id.clone(), flags)).is_some() {
                inbox.listed_again.push(id);
            }
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let summary = world.api.ask(Method::GET, "/v1/inbox/summary?exact=true", &person.token, None).await?;
    inbox.summary_unread = summary["unread"].as_u64().unwrap_or_default();
    let whose = (person.tenant.clone(), person.user.clone());
    let marks = world.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    inbox.marked = marks.get(&whose).cloned().unwrap_or_default();
    let theirs = |event: &&Logged| {
        read.notices.contains(&event.seq) && person.channels.iter().any(|own| event.channels.contains(own))
    };
    let expected = read.log.events.iter().filter(theirs);
    inbox.expected = expected.map(|event| (event.seq, event.id.clone())).collect();
    Ok(inbox)
}
