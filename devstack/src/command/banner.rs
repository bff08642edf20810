//! What does `carillon up` tell its user?

use std::path::Path;

use super::examples;
use super::paint::Paint;
use crate::info::StackInfo;
use crate::token::{DEMO_CHANNELS, DEMO_TENANT, DEMO_USER};

/// What stops the system.
#[derive(Clone, Copy)]
pub(super) enum Stops {
    /// This program, which stays.
    Here,
    /// The `up` that began it, which stays; this one was asked for what was lost.
    WhereItBegan,
    /// `down`: nobody stays.
    Down,
}

/// Everything the banner shows.
pub(super) struct Banner<'a> {
    pub(super) info: &'a StackInfo,
    /// A demo user's token.
    pub(super) token: &'a str,
    pub(super) data: &'a Path,
    /// How to call this program from the user's folder.
    pub(super) program: &'a str,
    pub(super) stops: Stops,
    pub(super) demo: bool,
    /// The console: with a code that signs in, if there is one.
    pub(super) console: &'a str,
}

/// Width of the left column.
const LABEL: usize = 12;

impl Banner<'_> {
    pub(super) fn render(&self, paint: Paint) -> String {
        let Self { info, token, data, program, stops, demo, console } = self;
        let row = |label: &str, value: &str, note: &str| {
            let note = if note.is_empty() { String::new() } else { format!("  {}", paint.dim(note)) };
            format!("  {}{}{note}\n", paint.dim(&format!("{label:<LABEL$}")), paint.link(value))
        };
        let note = |text: &str| format!("  {:LABEL$}{}\n", "", paint.dim(text));
        let mut text = format!("\n{}\n\n", paint.bold("Carillon is running"));
        text += &row("Console", console, "");
        text += &note(&format!("signed in, once and for 15 minutes; another link: {program} console"));
        text += &row("Everything", &info.lb, "WebSocket /v1/ws, REST /v1/events, API /docs");
        for (number, gateway) in info.gateways.iter().enumerate() {
            text += &row(&format!("Gateway {}", number + 1), gateway, &ops(info.ops.get(number)));
        }
        text += &row("Publisher", &info.publisher, &ops(info.ops.get(info.gateways.len())));
        text += &row("Postgres", &info.database_url, "");
        text += &row("Redis", &info.redis_url, "");
        for (number, page) in examples::PAGES.iter().enumerate() {
            let Some(address) = &info.examples else { break };
            text += &row(if number == 0 { "Examples" } else { "" }, &format!("{address}{page}/"), "");
        }
        text += &row("Logs", &data.join("log").display().to_string(), "");
        text += "\n";
        text += &row("API key", &info.api_key, "");
        text += &note("for all tenants; may publish, read, administer");
        text +=
            &row("Token", &format!("for {DEMO_USER} of {DEMO_TENANT} and {DEMO_CHANNELS}, 12 hours:"), "");
        // A line of its own, so that it can be copied however narrow the terminal is.
        text += &format!("\n{}\n\n", paint.link(token));
        text += &note(&format!("more: {program} token --help"));
        text += &format!("\n{}\n\n", paint.bold("Try next"));
        let data = if *data == Path::new(".carillon") {
            String::new()
        } else {
            format!("--data {} ", data.display())
        };
        let tail = if *demo { "watch the demo events arrive" } else { "watch events arrive" };
        text += &format!("  {}  {}\n", paint.link(&format!("{program} {data}tail")), paint.dim(tail));
        let example =
            format!("{program} {data}publish appointment.created '{{\"service\":\"Passport photo\"}}'");
        text += &format!("  {}\n\n", paint.link(&example));
        text += &paint.dim(&match stops {
            Stops::Here => "Ctrl-C stops everything.".into(),
            Stops::WhereItBegan => {
                format!("Ctrl-C where it was started stops everything, and so does: {program} {data}down")
            }
            Stops::Down => format!("It goes on in the background; stop it with: {program} {data}down"),
        });
        text + "\n"
    }
}

fn ops(url: Option<&String>) -> String {
    url.map(|url| format!("ops {url}/metrics")).unwrap_or_default()
}

/// The shortest way to name this program in a shell that stands in `here`.
pub(super) fn program(exe: &Path, here: &Path) -> String {
    match exe.strip_prefix(here) {
        Ok(relative) => format!("./{}", relative.display()),
        Err(_) => exe.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_shows_every_address_and_two_commands() {
        let info = StackInfo {
            lb: "http://127.0.0.1:1".into(),
            gateways: vec!["http://127.0.0.1:2".into(), "http://127.0.0.1:3".into()],
            publisher: "http://127.0.0.1:4".into(),
            ops: vec!["http://127.0.0.1:5".into(), "http://127.0.0.1:6".into(), "http://127.0.0.1:7".into()],
            database_url: "postgres://x".into(),
            redis_url: "redis://x".into(),
            jwt_secret: "jwt-secret".into(),
            api_key: "crln_key".into(),
            examples: Some("http://127.0.0.1:8/".into()),
            pids: Default::default(),
        };
        let banner = Banner {
            info: &info,
            token: "a.b.c",
            data: Path::new("/x/.carillon"),
            program: "./target/release/carillon",
            stops: Stops::Down,
            demo: true,
            console: "http://127.0.0.1:1/console#code=crlc_x",
        };
        let text = banner.render(Paint::plain());
        for part in [
            "http://127.0.0.1:1",
            "http://127.0.0.1:1/console#code=crlc_x",
            "http://127.0.0.1:7/metrics",
            "crln_key",
            "a.b.c",
            "http://127.0.0.1:8/school/",
            "--data /x/.carillon tail",
            "down",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            text.contains("--data /x/.carillon publish")
                && !text.contains("jwt-secret")
                && !text.contains('\x1b')
        );
    }

    #[test]
    fn the_program_is_named_from_where_the_user_stands() {
        assert_eq!(
            program(Path::new("/w/target/release/carillon"), Path::new("/w")),
            "./target/release/carillon"
        );
        assert_eq!(program(Path::new("/opt/carillon"), Path::new("/w")), "/opt/carillon");
    }
}
