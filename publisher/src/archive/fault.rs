//! What keeps a day from being archived, or an archive from being read?

use carillon_backplane::log::LogError;
use jiff::civil::Date;

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The place cannot be used: it is away, full, or refuses.
    #[error("the archive cannot be used: {0}")]
    Place(String),
    /// The place belongs to another installation.
    #[error(
        "the archive belongs to another installation ({found}, this one is {own}): give each a place of its own"
    )]
    Foreign {
        /// Whose it is.
        found: String,
        /// Who we are.
        own: String,
    },
    /// The place has lost the mark that this installation left there.
    #[error(
        "the archive has lost its mark (archive.json), which was there before: is the right volume mounted, the right bucket named?"
    )]
    Unmarked,
    /// What stands there is not what was written.
    #[error("{object} is not what was written: {why}")]
    Broken {
        /// Its name.
        object: String,
        /// What is otherwise.
        why: String,
    },
    /// A day's manifest cannot be read.
    #[error(
        "the manifest of {day} is not what was written: {why}; its objects are untouched. While the log has the day a publisher writes the manifest again, afterwards: carillon-publisher archive repair --day {day}"
    )]
    Manifest {
        /// Which day.
        day: Date,
        /// What is wrong with it.
        why: String,
    },
    /// A day's manifest is of another release. Nothing is written over it.
    #[error(
        "the manifest of {day} has the form {form:?}, which this release does not read; the release that wrote it does"
    )]
    Form {
        /// Which day.
        day: Date,
        /// Its form.
        form: String,
    },
    /// What the archive has of a day is not what the log has.
    #[error(
        "the archive has other events of {day} than the log, of tenant {tenant}: {why}; nothing is replaced"
    )]
    Conflict {
        /// Which day.
        day: Date,
        /// Whose.
        tenant: String,
        /// What is otherwise.
        why: String,
    },
    /// The day did not hold still.
    #[error("the events of tenant {tenant} of {day} changed while they were copied: {why}")]
    Moving {
        /// Which day.
        day: Date,
        /// Whose.
        tenant: String,
        /// What is otherwise.
        why: String,
    },
    /// The log did not answer.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// Compressing failed, or the process stops.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Fault {
    /// Its word in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Place(_) => "place",
            Self::Foreign { .. } | Self::Unmarked => "owner",
            Self::Broken { .. } | Self::Manifest { .. } | Self::Form { .. } => "broken",
            Self::Conflict { .. } => "conflict",
            Self::Moving { .. } => "moving",
            Self::Log(_) => "log",
            Self::System(_) => "system",
        }
    }

    /// Whether it is this day's alone: others may go on.
    pub fn is_of_the_day(&self) -> bool {
        matches!(
            self,
            Self::Broken { .. }
                | Self::Manifest { .. }
                | Self::Form { .. }
                | Self::Conflict { .. }
                | Self::Moving { .. }
        )
    }

    /// A word for each.
    pub(super) const LABELS: [&'static str; 7] =
        ["place", "owner", "broken", "conflict", "moving", "log", "system"];
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        // The sources say what the outermost does not: `No space left on device`, `connection refused`.
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            source = inner.source();
        }
        Self::Place(text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(600).collect())
    }
}

impl From<tokio::task::JoinError> for Fault {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::System(std::io::Error::other(error))
    }
}
