//! `carillon who`: whom does an installation see in a token or an API key?

use serde::Serialize;

use super::target::{http_base, websocket};
use super::{CommandError, print};
use crate::cli::WhoArgs;
use crate::client::publish::{PublishCommandError, Publisher, Rights};
use crate::client::socket::{Connect, Socket};
use crate::info::StackInfo;

/// What `carillon who --json` prints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    /// A gateway's `welcome` to this token.
    User {
        user: String,
        tenant: String,
        roles: Vec<String>,
        /// What the connection is subscribed to by itself.
        channels: Vec<String>,
        /// Seconds until the token expires.
        expires_in: u64,
        node: String,
        epoch: String,
        /// The tenant's newest seq.
        head: u64,
    },
    /// What a publisher lets this API key do.
    Key { id: String, all_tenants: bool, publish: bool, read: Option<bool> },
}

/// `stack` runs in the data folder: it answers when no address is given.
pub(super) async fn run(stack: Option<StackInfo>, args: &WhoArgs) -> Result<(), CommandError> {
    let url = match (&args.url, stack) {
        (Some(url), _) => url.clone(),
        (None, Some(stack)) => stack.lb,
        (None, None) => return Err(CommandError::Missing("--url")),
    };
    let answer = match (&args.token, &args.api_key) {
        (Some(token), _) => user(&url, token, args.tenant.as_deref()).await?,
        (None, Some(key)) => api_key(&url, key, args.tenant.as_deref()).await?,
        (None, None) => return Err(CommandError::Missing("--token or --api-key")),
    };
    if args.json {
        let text = serde_json::to_string(&answer).map_err(std::io::Error::other);
        let text = text.map_err(|error| CommandError::Io("cannot print".into(), error))?;
        return print(&format!("{text}\n"));
    }
    print(&answer.render())
}

/// The gateway judges the token; nothing of it is believed before.
async fn user(url: &str, token: &str, tenant: Option<&str>) -> Result<Answer, CommandError> {
    let mut wanted = Connect::new(websocket(url)?, token);
    wanted.tenant = tenant.map(Into::into);
    let (socket, welcome) = Socket::open(&wanted).await?;
    socket.close().await;
    Ok(Answer::User {
        user: welcome.user,
        tenant: welcome.tenant,
        roles: welcome.roles,
        channels: welcome.channels,
        expires_in: welcome.expires_in,
        node: welcome.node,
        epoch: welcome.epoch,
        head: welcome.seq,
    })
}

async fn api_key(url: &str, key: &str, tenant: Option<&str>) -> Result<Answer, CommandError> {
    let rights = Publisher::new(&http_base(url)?, key)
        .map_err(PublishCommandError::from)?
        .rights(tenant)
        .await
        .map_err(PublishCommandError::from)?;
    let id = key.split('_').nth(1).unwrap_or_default().to_owned();
    let Rights { publish, read, all_tenants } = rights;
    Ok(Answer::Key { id, all_tenants, publish, read })
}

impl Answer {
    fn render(&self) -> String {
        match self {
            Self::User { user, tenant, roles, channels, expires_in, node, epoch, head } => {
                let roles = if roles.is_empty() {
                    String::new()
                } else {
                    format!(", with the roles {}", roles.join(" "))
                };
                format!(
                    "User      {user} of {tenant}{roles}\nChannels  {}\nToken     expires in {}\nLog       #{head} of epoch {epoch}, as {node} sees it\n",
                    channels.join(" "),
                    span(*expires_in),
                )
            }
            Self::Key { id, all_tenants, publish, read } => {
                let tenants = if *all_tenants { "all tenants" } else { "one tenant" };
                let may = |right: Option<bool>| match right {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "not known: name a tenant with --tenant",
                };
                format!(
                    "API key  {id}, for {tenants}\nPublish  {}\nRead     {}\n",
                    may(Some(*publish)),
                    may(*read)
                )
            }
        }
    }
}

/// Seconds in the two largest units that say something.
fn span(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_key_are_told_in_a_few_lines() {
        let user = Answer::User {
            user: "anna".into(),
            tenant: "studio-nova".into(),
            roles: vec!["front".into()],
            channels: vec!["tenant".into(), "user:anna".into()],
            expires_in: 43_199,
            node: "gateway-1".into(),
            epoch: "e".into(),
            head: 7,
        };
        let text = user.render();
        assert!(
            text.contains("anna of studio-nova, with the roles front") && text.contains("11 h 59 min"),
            "{text}"
        );
        let key = Answer::Key { id: "ab12".into(), all_tenants: true, publish: true, read: None };
        let text = key.render();
        assert!(text.contains("ab12, for all tenants") && text.contains("Publish  yes"), "{text}");
        assert!(text.contains("--tenant"));
    }

    #[test]
    fn a_span_is_said_in_two_units() {
        for (seconds, text) in [(5, "5 s"), (65, "1 min 5 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(seconds), text);
        }
    }
}
