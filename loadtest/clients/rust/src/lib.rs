//! What does every Rust client here do? Lines of the standard input are sent, messages are printed.
//!
//! `open`, `text <message>`, `close <code> <reason>` and `error <why>` are the lines of the standard output.

use std::env::var;
use std::fmt::Display;
use std::io::Write;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

/// Where to.
pub fn url() -> String {
    var("WS_URL").unwrap_or_default()
}

/// `host:port` and the path with its query.
pub fn place() -> (String, String) {
    let url = url();
    let rest = url.trim_start_matches("ws://");
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    (place.to_owned(), format!("/{path}"))
}

/// The value of `Authorization`.
pub fn authorization() -> Option<String> {
    var("WS_BEARER").ok().filter(|token| !token.is_empty()).map(|token| format!("Bearer {token}"))
}

/// The value of `Sec-WebSocket-Protocol`.
pub fn protocols() -> Option<String> {
    var("WS_PROTOCOLS").ok().filter(|names| !names.is_empty()).map(|names| names.replace(',', ", "))
}

/// Whether the library's setting for large messages is to be used.
pub fn large() -> bool {
    var("WS_LARGE").is_ok_and(|value| value == "1")
}

/// Where an event stream is.
pub fn stream_url() -> String {
    var("SSE_URL").unwrap_or_default()
}

/// The token of an event stream.
pub fn stream_bearer() -> Option<String> {
    var("SSE_BEARER").ok().filter(|token| !token.is_empty())
}

/// Ends the program when its input ends.
pub async fn read_all() {
    let mut input = lines();
    while let Ok(Some(_)) = input.next_line().await {}
    std::process::exit(0)
}

/// What is to be sent.
pub fn lines() -> Lines<BufReader<Stdin>> {
    BufReader::new(tokio::io::stdin()).lines()
}

pub fn open(protocol: &str) {
    say(&format!("open {protocol}"));
}

pub fn text(message: &str) {
    say(&format!("text {message}"));
}

pub fn closed(code: u16, reason: &str) -> ! {
    say(&format!("close {code} {reason}"));
    std::process::exit(0)
}

pub fn failed(why: impl Display) -> ! {
    say(&format!("error {}", why.to_string().replace('\n', " ")));
    std::process::exit(0)
}

/// Prints a line.
pub fn say(line: &str) {
    let line = line.replace('\n', " ");
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
