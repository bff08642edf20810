//! What do the gateways themselves count?

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER: u64 = 4 << 20;

/// Where the ops ports are.
#[derive(Debug, Args)]
pub(crate) struct OpsArgs {
    /// Ops address of a gateway, `http://host:port`; may be repeated. Without it the stack file tells.
    #[arg(long = "ops", value_name = "URL")]
    pub(crate) ops: Vec<String>,
}

/// Ops ports of the gateways, by their number: the first is gateway 1's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ops(Vec<String>);

/// Counters of every gateway that answered, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Vec<Option<String>>);

impl Ops {
    /// From the options, or from the file `carillon up --json` wrote.
    pub(crate) fn new(args: &OpsArgs, stack: Option<&PathBuf>) -> Result<Self, Failure> {
        #[derive(Default, Deserialize)]
        struct Stack {
            #[serde(default)]
            gateways: Vec<String>,
            /// Gateways in order, then publishers.
            #[serde(default)]
            ops: Vec<String>,
        }
        if !args.ops.is_empty() {
            return Ok(Self(args.ops.clone()));
        }
        let Some(path) = stack else { return Ok(Self(Vec::new())) };
        let fault = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let mut stack: Stack = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        stack.ops.truncate(stack.gateways.len());
        Ok(Self(stack.ops))
    }

    /// Asks every gateway. One that does not answer has no counters.
    pub(crate) fn read(&self) -> Counters {
        Counters(self.0.iter().map(|url| metrics(url).ok()).collect())
    }
}

impl Counters {
    /// How many gateways answered.
    pub(crate) fn answered(&self) -> u64 {
        self.0.iter().flatten().count() as u64
    }

    /// By how much a metric over all its labels, or one series of it, grew since `before`, summed over the gateways that answered both times.
    pub(crate) fn grown(&self, before: &Self, name: &str) -> u64 {
        let both =
            self.0.iter().zip(&before.0).filter_map(|(after, before)| after.as_ref().zip(before.as_ref()));
        both.map(|(after, before)| (sum(after, name) - sum(before, name)).max(0.0) as u64).sum()
    }
}

/// Adds up all series of a metric in Prometheus's text format; the name of one series is that series alone.
fn sum(text: &str, name: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let labelled = rest.starts_with('{') || rest.starts_with(' ');
        labelled.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    };
    text.lines().filter_map(value).sum()
}

fn metrics(url: &str) -> std::io::Result<String> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let address = authority.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other("the ops port does not tell its metrics")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP a_total b\na_total 3\na_total_other 9\nb{x=\"1 2\"} 1\nb{x=\"3\"} 2\n";

    #[test]
    fn series_of_a_metric_are_added_up() {
        assert_eq!((sum(BEFORE, "a_total"), sum(BEFORE, "b"), sum(BEFORE, "c")), (3.0, 3.0, 0.0));
        assert_eq!(sum(BEFORE, "b{x=\"3\"}"), 2.0);
    }

    #[test]
    fn growth_counts_only_who_answered_twice() {
        let counters =
            |texts: &[Option<&str>]| Counters(texts.iter().map(|t| t.map(str::to_owned)).collect());
        let before = counters(&[Some(BEFORE), Some("a_total 1\n"), Some("a_total 5\n")]);
        let after = counters(&[None, Some("a_total 8\n"), Some("a_total 4\n")]);
        assert_eq!((after.answered(), after.grown(&before, "a_total")), (2, 7));
    }

    #[test]
    fn the_stack_file_tells_the_gateways_ops_ports() {
        let path = std::env::temp_dir().join(format!("carillon-loadtest-ops-{}.json", std::process::id()));
        std::fs::write(&path, r#"{"gateways":["g","h"],"ops":["http://a:1","http://b:2","http://p:3"]}"#)
            .unwrap();
        let ops = Ops::new(&OpsArgs { ops: Vec::new() }, Some(&path)).unwrap();
        assert_eq!(ops, Ops(vec!["http://a:1".into(), "http://b:2".into()]));
        let given = Ops::new(&OpsArgs { ops: vec!["http://c:1".into()] }, Some(&path)).unwrap();
        assert_eq!(given, Ops(vec!["http://c:1".into()]));
        std::fs::remove_file(path).unwrap();
    }
}
