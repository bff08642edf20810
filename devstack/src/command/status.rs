//! `carillon status`: what runs, where, and is it ready?

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::future::join_all;
use serde::Serialize;

use super::paint::Paint;
use super::{CommandError, print};
use crate::cli::StatusArgs;
use crate::info::StackInfo;
use crate::process::Identity;
use crate::stack::readiness;
use crate::state::{Recorded, State};

/// What `carillon status --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Every process runs and every service is ready.
    healthy: bool,
    /// What `up --json` printed, with its secrets: only the folder's owner can read where they are noted.
    #[serde(flatten)]
    info: Option<StackInfo>,
    processes: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    pid: u32,
    /// `running`, `ready`, `degraded`, `unready`, `silent` (runs, but `/readyz` does not answer) or `gone`.
    state: String,
    url: Option<String>,
}

pub(super) async fn run(data: &Path, args: &StatusArgs) -> Result<(), CommandError> {
    let state = State::load(data)?.ok_or_else(|| CommandError::NotRunning(data.to_path_buf()))?;
    let report = examine(&state).await;
    let text = if args.json {
        let text = serde_json::to_string(&report).map_err(std::io::Error::other);
        text.map_err(|error| CommandError::Io("cannot print".into(), error))? + "\n"
    } else {
        report.render(Paint::for_stdout())
    };
    print(&text)?;
    if report.healthy { Ok(()) } else { Err(CommandError::Incomplete) }
}

async fn examine(state: &State) -> Report {
    let urls = urls(state);
    let http = crate::http::client(|client| client).unwrap_or_default();
    let lines = join_all(state.processes.iter().map(|process| examine_one(process, &urls, &http))).await;
    let healthy =
        state.info.is_some() && lines.iter().all(|line| line.state == "running" || line.state == "ready");
    Report { healthy, info: state.info.clone(), processes: lines }
}

async fn examine_one(
    process: &Recorded,
    urls: &BTreeMap<&str, (Option<&str>, &str)>,
    http: &reqwest::Client,
) -> Line {
    let (url, ops) = urls.get(process.name.as_str()).map_or((None, None), |(url, ops)| (*url, Some(*ops)));
    let state = match ops {
        _ if !Identity::is_alive(&process.identity) => "gone".into(),
        None => "running".into(),
        Some(ops) => readiness(http, ops).await.map_or_else(|| "silent".into(), |seen| seen.status),
    };
    Line { name: process.name.clone(), pid: process.identity.pid, state, url: url.map(Into::into) }
}

/// The public and ops URL of each service, by its process's name.
fn urls(state: &State) -> BTreeMap<&str, (Option<&str>, &str)> {
    let Some(info) = &state.info else { return BTreeMap::new() };
    let names = |prefix: &str| {
        let mut names: Vec<&str> = state
            .processes
            .iter()
            .map(|process| process.name.as_str())
            .filter(|name| name.starts_with(prefix))
            .collect();
        // They note themselves in the order in which they happened to start; `gateway-10` comes after `gateway-9`.
        names.sort_by_key(|name| (name.len(), *name));
        names
    };
    let gateways = info.gateways.iter().map(|url| Some(url.as_str()));
    let publishers = [Some(info.publisher.as_str())].into_iter().chain(std::iter::repeat(None));
    let named =
        names("gateway").into_iter().zip(gateways).chain(names("publisher").into_iter().zip(publishers));
    named.zip(&info.ops).map(|((name, url), ops)| (name, (url, ops.as_str()))).collect()
}

impl Report {
    fn render(&self, paint: Paint) -> String {
        let mut text = String::new();
        for Line { name, pid, state, url } in &self.processes {
            let painted = match state.as_str() {
                "running" | "ready" => paint.good(&format!("{state:<9}")),
                _ => paint.bad(&format!("{state:<9}")),
            };
            let url = url.as_deref().unwrap_or_default();
            text +=
                format!("{name:<12} {painted} {:<14} {}", paint.dim(&format!("pid {pid}")), paint.link(url))
                    .trim_end();
            text += "\n";
        }
        if let Some(info) = &self.info {
            text += &format!("\n{}\n", paint.link(&info.lb));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_finds_its_own_urls_whatever_the_order_of_its_start() {
        let identity = Identity { pid: 1, start: 1, exe: "/x".into() };
        let names = ["postgres", "gateway-2", "publisher", "gateway-10", "gateway-1"];
        let recorded = |name: &str| Recorded { name: name.into(), identity: identity.clone(), spec: None };
        let mut state = State::begin(identity.clone());
        state.processes = names.iter().map(|name| recorded(name)).collect();
        let urls = |names: &[&str]| names.iter().map(|name| format!("http://{name}")).collect();
        state.info = Some(StackInfo {
            lb: String::new(),
            gateways: urls(&["g1", "g2", "g10"]),
            publisher: "http://p".into(),
            ops: urls(&["og1", "og2", "og10", "op"]),
            database_url: String::new(),
            redis_url: String::new(),
            jwt_secret: String::new(),
            api_key: String::new(),
            examples: None,
            pids: BTreeMap::new(),
        });
        let found = super::urls(&state);
        assert_eq!(found["gateway-1"], (Some("http://g1"), "http://og1"));
        assert_eq!(found["gateway-10"], (Some("http://g10"), "http://og10"));
        assert_eq!(found["publisher"], (Some("http://p"), "http://op"));
        assert!(!found.contains_key("postgres"));
    }
}
