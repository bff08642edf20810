//! To which installation do `publish`, `tail`, `who` and `disconnect` speak, and with which credentials?

use std::path::Path;

use super::{CommandError, running};
use crate::cli::{PublishArgs, TailArgs};
use crate::client::publish::Destination;
use crate::client::tail::{Listener, Source};
use crate::info::ws_url;

/// Where `publish` goes: what is not said is the running stack's.
pub(super) fn destination(data: &Path, args: &PublishArgs) -> Result<Destination, CommandError> {
    let url = match &args.url {
        Some(url) => http_base(url)?,
        None => running(data)?.lb,
    };
    let api_key = match &args.api_key {
        Some(key) => key.clone(),
        None => running(data).map_err(|_| CommandError::Missing("--api-key"))?.api_key,
    };
    Ok(Destination { url, api_key })
}

/// What `tail` listens to: with a token as whoever it names, else as the user it is told to be, of the running stack.
pub(super) fn source(data: &Path, args: &TailArgs) -> Result<Source, CommandError> {
    let urls = match args.urls.as_slice() {
        [] => vec![running(data)?.ws_url()],
        urls => urls.iter().map(|url| websocket(url)).collect::<Result<_, _>>()?,
    };
    let listener = match &args.token {
        Some(token) => Listener::Token(token.clone()),
        None => Listener::Secret(running(data).map_err(|_| CommandError::Missing("--token"))?.jwt_secret),
    };
    Ok(Source { urls, listener })
}

/// The URL below which an installation has its paths, without a slash at the end.
pub(super) fn http_base(url: &str) -> Result<String, CommandError> {
    match url.starts_with("http://") || url.starts_with("https://") {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err(CommandError::Url(url.to_owned(), "http:// or https://")),
    }
}

/// The WebSocket address of an installation, or one that was given as such.
pub(super) fn websocket(url: &str) -> Result<String, CommandError> {
    match url.starts_with("ws://") || url.starts_with("wss://") {
        true => Ok(url.to_owned()),
        false => http_base(url)
            .map(|base| ws_url(&base))
            .map_err(|_| CommandError::Url(url.to_owned(), "http://, https://, ws:// or wss://")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn publish(words: &[&str]) -> PublishArgs {
        let words = [&["carillon", "publish", "a.b"], words].concat();
        let Command::Publish(args) = Cli::try_parse_from(words).unwrap().command else { panic!("publish") };
        args
    }

    #[test]
    fn an_installation_is_reached_without_a_stack() {
        let nowhere = tempfile::tempdir().unwrap();
        let args = publish(&["--url", "https://events.example.com/", "--api-key", "crln_a_b"]);
        let found = destination(nowhere.path(), &args).unwrap();
        assert_eq!((found.url.as_str(), found.api_key.as_str()), ("https://events.example.com", "crln_a_b"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let nowhere = tempfile::tempdir().unwrap();
        let fault = |words: &[&str]| destination(nowhere.path(), &publish(words)).unwrap_err().to_string();
        assert!(fault(&["--url", "http://x"]).contains("--api-key"));
        assert!(fault(&["--url", "x:80", "--api-key", "k"]).contains("http:// or https://"));
        assert!(fault(&[]).contains("carillon up"));
    }

    #[test]
    fn a_base_url_becomes_a_websocket_address_and_an_address_stays() {
        for (given, address) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/ws"),
            ("https://example.com/events/", "wss://example.com/events/v1/ws"),
            ("wss://example.com/ws", "wss://example.com/ws"),
        ] {
            assert_eq!(websocket(given).unwrap(), address);
        }
        assert!(websocket("example.com").is_err());
    }

    #[test]
    fn a_secret_can_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "crln_a_b\n").unwrap();
        let args = publish(&["--api-key", &format!("@{}", file.display())]);
        assert_eq!(args.api_key.as_deref(), Some("crln_a_b"));
        let words = ["carillon", "publish", "a.b", "--api-key", "@/no/such/file"];
        let fault = Cli::try_parse_from(words).unwrap_err().to_string();
        assert!(fault.contains("/no/such/file"), "{fault}");
    }
}
