//! How does the story get into the system?

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use super::notices::DemoNotices;
use super::visitors::Visitors;
use super::{Story, Visits};
use crate::cli::DemoArgs;
use crate::client::dice::Dice;
use crate::client::ledger::Ack;
use crate::client::post::Post;
use crate::client::publish::{PublishError, Publisher};
use crate::info::StackInfo;

/// Pause before an event that was not acknowledged is sent again.
const RETRY: Duration = Duration::from_millis(500);

/// Why `carillon demo` ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// An event was refused for good.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Nothing can be written to stdout.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Publishes the story at `rate` events each second, `count` of them or for ever; `told` hears of each acknowledgement.
///
/// Waits out every fault that may pass. Falls behind rather than going faster than `rate`.
pub async fn play(
    publisher: &Publisher,
    mut story: Story,
    rate: f64,
    count: Option<u64>,
    mut told: impl FnMut(&Post, &Ack) -> std::io::Result<()>,
) -> Result<(), DemoError> {
    let pause = Duration::from_secs_f64(1.0 / rate);
    let mut due = Instant::now();
    let mut done = 0;
    while count.is_none_or(|count| done < count) {
        sleep_until(due).await;
        // After an outage the story goes on; it does not hurry to make up for it.
        due = (due + pause).max(Instant::now());
        let Some(post) = story.next(Timestamp::now()) else { return Ok(()) };
        let key = uuid::Uuid::new_v4().to_string();
        let ack = loop {
            match publisher.publish(&post, Some(&key)).await {
                Ok(ack) => break ack,
                Err(error) if error.is_retryable() => sleep(RETRY).await,
                Err(error) => return Err(error.into()),
            }
        };
        told(&post, &ack)?;
        done += 1;
    }
    Ok(())
}

/// Steps of people for each event: somebody who types is followed by eye.
const STEPS: f64 = 0.3;
/// Most of them a second, however many events there are.
const MOST_STEPS: f64 = 5.0;

/// `carillon demo`: tells the story and prints one line for each event and for what people do, until `--count`, Ctrl-C or SIGTERM. Then
/// everybody who is there says goodbye.
pub async fn run(args: &DemoArgs, info: &StackInfo) -> Result<(), DemoError> {
    let publisher = Publisher::new(&info.lb, &info.api_key)?;
    let seed = args.seed.unwrap_or_else(|| Dice::fresh().bits());
    let story = Story::new(seed, args.tenant.as_deref());
    let mut told = |post: &Post, ack: &Ack| {
        writeln!(std::io::stdout().lock(), "{:<16} #{:<6} {}", post.tenant, ack.seq, post.kind)
    };
    let playing = play(&publisher, story, args.rate, args.count, &mut told);
    let visits = Visits::new(seed, args.tenant.as_deref(), args.people);
    let mut notices = DemoNotices::new(info, seed, visits.tenants()).await?;
    let mut visitors = Visitors::new(info, &publisher, visits);
    let mut terminated = signal(SignalKind::terminate())?;
    let outcome = tokio::select! {
        outcome = playing => outcome,
        Err(error) = visitors.run((args.rate * STEPS).min(MOST_STEPS)) => Err(error.into()),
        Err(error) = notices.run() => Err(error.into()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminated.recv() => Ok(()),
    };
    visitors.leave().await;
    match outcome {
        Err(DemoError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
