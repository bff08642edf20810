//! `archive`: what is in the archive, is it whole, and how does it come back?

use super::{CliError, print};
use crate::archive::{Entry, Lines, Listed, Place, Repaired, Said, repair, restore, verify};
use crate::config;
use carillon_backplane::log::{Log, LogConfig, Role};
use carillon_platform::env::Env;
use carillon_protocol::TenantId;
use clap::{Args, Subcommand};
use jiff::civil::Date;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Of the archive that CARILLON_ARCHIVE_URL names.
#[derive(Subcommand)]
pub(super) enum ArchiveCommand {
    /// List the days, with their tenants, events and bytes.
    List {
        #[command(flatten)]
        which: Which,
        /// A line for each tenant's day instead of each day.
        #[arg(long)]
        tenants: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Read every object and compare it with its manifest. Exit code 1 if one is not what was written.
    Verify {
        #[command(flatten)]
        which: Which,
    },
    /// Write events to stdout or a file, one JSON object a line: the oldest day first, within a day by tenant and seq.
    Restore {
        #[command(flatten)]
        which: Which,
        /// Write to this file instead; it is there when everything was read and is whole.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Write a day's manifest again from its objects, if it cannot be read. Each object must be whole, and none that is known of be lost.
    Repair {
        /// The day (UTC), such as 2026-10-30.
        #[arg(long)]
        day: Date,
        /// Also where there is no manifest: the day was finished, and its manifest was lost. Not while the log has the day, where
        /// DATABASE_URL is set: a publisher copies it then.
        #[arg(long)]
        missing: bool,
        /// Objects that are lost do not come back: the manifest is to be without them.
        #[arg(long)]
        without_lost: bool,
    },
    /// Go on without an archive: what is past retention is dropped, copied or not. Take CARILLON_ARCHIVE_URL from all publishers first.
    /// DATABASE_URL must be a login that may act as carillon_owner.
    Off,
}

#[derive(Args)]
pub(super) struct Which {
    /// One day (UTC, by the time of the append), such as 2026-10-30.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    day: Option<Date>,
    /// This day and later ones.
    #[arg(long)]
    from: Option<Date>,
    /// Up to this day, and with it.
    #[arg(long)]
    to: Option<Date>,
    /// One tenant.
    #[arg(long)]
    tenant: Option<String>,
}

/// The archive.
fn open(env: &Env) -> Result<Place, CliError> {
    let Some(url) = config::archive_url(env)? else {
        return Err(CliError::Usage("CARILLON_ARCHIVE_URL is not set: there is no archive".to_owned()));
    };
    Ok(Place::open(&url)?)
}

impl Which {
    /// What is asked for, and what of it is there.
    async fn list(self, env: &Env) -> Result<(Place, Vec<Listed>), CliError> {
        let tenant = self.tenant.map(TenantId::new).transpose();
        let tenant = tenant.map_err(|fault| CliError::Usage(fault.to_string()))?;
        let (from, to) = (self.day.or(self.from), self.day.or(self.to));
        let place = open(env)?;
        let listed = Lines { from, to, tenant }.list(&place).await?;
        match self.day {
            Some(day) if listed.iter().all(|listed| listed.entries.is_none()) => {
                let what = if listed.is_empty() { "is not there" } else { "is not finished" };
                Err(CliError::Usage(format!("{day} {what}")))
            }
            _ => Ok((place, listed)),
        }
    }
}

impl ArchiveCommand {
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        match self {
            Self::List { which, tenants, json } => {
                let (_, listed) = which.list(env).await?;
                print(&table(&listed, tenants, json))
            }
            Self::Verify { which } => {
                let (place, listed) = which.list(env).await?;
                verify_all(&place, &listed).await
            }
            Self::Restore { which, output } => {
                let (place, listed) = which.list(env).await?;
                match output {
                    None => to_stdout(&place, &listed).await,
                    Some(path) => to_file(&place, &listed, &path).await,
                }
            }
            Self::Repair { day, missing, without_lost } => {
                let place = open(env)?;
                if !place.days().await?.contains(&day) {
                    return Err(CliError::Usage(format!("{day} is not there")));
                }
                if missing && let Some(url) = config::database_url_if_set(env)? {
                    let log = Log::connect(LogConfig { url, role: Role::Publisher })?;
                    if log.has_day(day).await? {
                        return Err(CliError::Usage(format!(
                            "the log has {day} still: a publisher copies it, and writes its manifest when all of it is there"
                        )));
                    }
                }
                let manifest = repaired(day, repair(&place, day, Said { missing, without_lost }).await?)?;
                print(&manifest)
            }
            Self::Off => {
                let log = Log::connect(LogConfig { url: config::database_url(env)?, role: Role::Owner })?;
                if !log.archive_off().await? {
                    let still = "a publisher has had CARILLON_ARCHIVE_URL within the last half minute: take it from all of them first";
                    return Err(CliError::Usage(still.to_owned()));
                }
                print("there is no archive any more; what is past retention is dropped")
            }
        }
    }
}

/// What is said of a repair.
fn repaired(day: Date, repaired: Repaired) -> Result<String, CliError> {
    let why = match repaired {
        Repaired::Written(manifest) => {
            let (events, tenants) = (manifest.events, manifest.tenants.len());
            return Ok(format!(
                "the manifest of {day} is written again: {events} events of {tenants} tenants"
            ));
        }
        Repaired::Readable => return Ok(format!("the manifest of {day} can be read: nothing is changed")),
        Repaired::Unfinished => {
            format!("{day} has no manifest: it is not finished, or its manifest was lost (then: --missing)")
        }
        Repaired::Empty => format!("no object of {day} is there: there is nothing to make a manifest of"),
        Repaired::Lost(tenants) => {
            let names = tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join(", ");
            format!(
                "objects of {day} are lost, of the tenants {names}: bring them back from a copy of the archive, or write the manifest without them (--without-lost)"
            )
        }
    };
    Err(CliError::Usage(why))
}

fn entries(listed: &[Listed]) -> impl Iterator<Item = (Date, &Entry)> {
    listed.iter().flat_map(|of| of.entries.iter().flatten().map(|entry| (of.day, entry)))
}

/// A line for each day or tenant's day.
fn table(listed: &[Listed], tenants: bool, json: bool) -> String {
    let mut lines = Vec::new();
    if !json {
        let third = if tenants { "tenant" } else { "tenants" };
        lines.push(format!(
            "{:10} {third:>20} {:>12} {:>15} {:>15}",
            "day", "events", "bytes", "stored bytes"
        ));
    }
    let mut line = |day: Date, who: String, events: u64, bytes: u64, stored: u64| {
        lines.push(format!("{day:10} {who:>20} {events:>12} {bytes:>15} {stored:>15}"));
    };
    if json {
        return match tenants {
            true => entries(listed)
                .map(|(day, entry)| {
                    let mut value = serde_json::json!(entry);
                    value["day"] = day.to_string().into();
                    format!("{value}\n")
                })
                .collect(),
            false => listed.iter().map(|of| format!("{}\n", of_day(of))).collect(),
        };
    }
    for of in listed {
        match &of.entries {
            None => line(of.day, "not finished".to_owned(), 0, 0, 0),
            Some(entries) if tenants => entries.iter().for_each(|entry| {
                line(of.day, entry.tenant.to_string(), entry.events, entry.bytes, entry.stored_bytes);
            }),
            Some(entries) => {
                let [events, bytes, stored] = sums(entries);
                line(of.day, entries.len().to_string(), events, bytes, stored);
            }
        }
    }
    for of in listed {
        lines.extend(of.damaged.iter().map(|object| format!("{:10} {:>20} {object}", of.day, "damaged")));
    }
    lines.join("\n")
}

fn of_day(of: &Listed) -> serde_json::Value {
    let [events, bytes, stored] = sums(of.entries.as_deref().unwrap_or_default());
    serde_json::json!({
        "day": of.day.to_string(), "finished": of.entries.is_some(), "tenants": of.entries.as_ref().map_or(0, Vec::len),
        "events": events, "bytes": bytes, "stored_bytes": stored, "damaged": of.damaged
    })
}

fn sums(entries: &[Entry]) -> [u64; 3] {
    let sum = |part: fn(&Entry) -> u64| entries.iter().map(part).sum();
    [sum(|entry| entry.events), sum(|entry| entry.bytes), sum(|entry| entry.stored_bytes)]
}

async fn verify_all(place: &Place, listed: &[Listed]) -> Result<(), CliError> {
    let (mut whole, mut events, mut broken) = (0u64, 0, 0u64);
    for (day, entry) in entries(listed) {
        match verify(place, entry).await {
            Ok(()) => (whole, events) = (whole + 1, events + entry.events),
            Err(fault) => {
                broken += 1;
                print(&format!("{day} {}: {fault}", entry.tenant))?;
            }
        }
    }
    for (day, object) in listed.iter().flat_map(|of| of.damaged.iter().map(|object| (of.day, object))) {
        broken += 1;
        print(&format!(
            "{day} {object}: it was damaged when the manifest was written again, and the log had nothing of it; no manifest tells what it was"
        ))?;
    }
    for of in listed.iter().filter(|of| of.entries.is_none()) {
        print(&format!("{}: not finished; nothing of it is read", of.day))?;
    }
    let said = format!("{whole} objects with {events} events are whole");
    if broken > 0 {
        return Err(CliError::Probe(format!("{broken} objects are not what was written; {said}")));
    }
    print(&said)
}

async fn write_all<W: Write + Send + 'static>(
    place: &Place,
    listed: &[Listed],
    mut to: W,
) -> Result<W, CliError> {
    for (_, entry) in entries(listed) {
        to = restore(place, entry, to).await?;
    }
    Ok(to)
}

/// A reader that has gone away (`| head`) is no error.
async fn to_stdout(place: &Place, listed: &[Listed]) -> Result<(), CliError> {
    let mut to =
        write_all(place, listed, Pipe { to: BufWriter::new(io::stdout()), is_closed: false }).await?;
    Ok(to.flush()?)
}

/// The file is there when it is whole.
async fn to_file(place: &Place, listed: &[Listed], path: &Path) -> Result<(), CliError> {
    let mut name = path
        .file_name()
        .ok_or_else(|| CliError::Usage(format!("{} names no file", path.display())))?
        .to_owned();
    name.push(".unfinished");
    let unfinished = path.with_file_name(name);
    let wrote = async {
        let to = write_all(place, listed, BufWriter::new(File::create(&unfinished)?)).await?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        Ok::<_, CliError>(())
    };
    let wrote = wrote.await;
    if wrote.is_err() {
        // Whatever is left is not whole.
        let _ = std::fs::remove_file(&unfinished);
    }
    wrote?;
    let events: u64 = entries(listed).map(|(_, entry)| entry.events).sum();
    print(&format!("{events} events in {}", path.display()))
}

/// Writes until nobody reads any more.
struct Pipe<W> {
    to: W,
    is_closed: bool,
}

impl<W: Write> Pipe<W> {
    fn unless_closed(&mut self, done: io::Result<()>) -> io::Result<()> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_closed {
            let done = self.to.write_all(bytes);
            self.unless_closed(done)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let done = self.to.flush();
        self.unless_closed(done)
    }
}
