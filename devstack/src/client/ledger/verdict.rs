//! What exactly went wrong, and at whom?

use std::fmt;

use super::Witness;

/// What is wrong with one event at one follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// I1, I4: acknowledged, for this follower, never arrived.
    Missing {
        /// The event's name.
        id: String,
    },
    /// I3: arrived again.
    Duplicated,
    /// I2: arrived for the first time, but after a later one.
    OutOfOrder {
        /// The seq that arrived before.
        after: u64,
    },
    /// I5: belongs to another tenant.
    Foreign {
        /// That tenant.
        of: String,
    },
    /// Nobody published it.
    Unknown {
        /// The event's name.
        id: String,
    },
    /// Another event stands at this seq, or this event at another seq.
    WrongEvent {
        /// The name of the event that arrived.
        id: String,
    },
    /// Type or data differ from what was published.
    Altered,
    /// None of its channels is one of the follower's.
    NotAddressed,
    /// An event before the `welcome`.
    BeforeWelcome,
    /// The epoch changed and no `reset` said so.
    EpochWithoutReset,
    /// One event was acknowledged at two places.
    AcknowledgedTwice {
        /// The event's name.
        id: String,
    },
    /// Two events were acknowledged at one place.
    SeqUsedTwice {
        /// The events' names.
        ids: [String; 2],
    },
    /// I2: the acknowledged seqs have more holes than there are unanswered publishers.
    Gap {
        /// Seqs nobody was told.
        holes: u64,
        /// Events whose publisher never got an answer.
        unanswered: u64,
    },
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { id } => write!(f, "missing ({id})"),
            Self::Duplicated => f.write_str("arrived again"),
            Self::OutOfOrder { after } => write!(f, "out of order, after {after}"),
            Self::Foreign { of } => write!(f, "belongs to tenant {of}"),
            Self::Unknown { id } => write!(f, "nobody published {id}"),
            Self::WrongEvent { id } => write!(f, "{id} does not stand at this seq"),
            Self::Altered => f.write_str("type or data were altered"),
            Self::NotAddressed => f.write_str("is not for this follower's channels"),
            Self::BeforeWelcome => f.write_str("arrived before the welcome"),
            Self::EpochWithoutReset => f.write_str("another epoch without a reset"),
            Self::AcknowledgedTwice { id } => write!(f, "{id} was acknowledged at two places"),
            Self::SeqUsedTwice { ids: [a, b] } => write!(f, "was given to both {a} and {b}"),
            Self::Gap { holes, unanswered } => {
                write!(
                    f,
                    "{holes} seqs up to about here were never given out, {unanswered} events unanswered"
                )
            }
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// At whom: a follower's name, `publisher` or `log`.
    pub follower: String,
    /// Of which tenant's log.
    pub tenant: String,
    /// At which seq.
    pub seq: u64,
    /// What.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: seq {} {}", self.follower, self.tenant, self.seq, self.kind)
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
    /// How many followers were compared.
    pub followers: usize,
    /// How many events arrived, over all followers.
    pub deliveries: usize,
    /// How many had to arrive; a test that expects nothing proves nothing.
    pub expected: usize,
    /// How often a follower was told `reset`, which is honest but not what an ordinary run shows.
    pub resets: usize,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn add(&mut self, witness: &Witness, seq: u64, kind: FaultKind) {
        let (follower, tenant) = (witness.follower.clone(), witness.tenant.clone());
        self.faults.push(Fault { follower, tenant, seq, kind });
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} faults; {} followers, {} deliveries, {} expected, {} resets",
            self.faults.len(),
            self.followers,
            self.deliveries,
            self.expected,
            self.resets
        )?;
        for fault in self.faults.iter().take(20) {
            write!(f, "\n  {fault}")?;
        }
        if self.faults.len() > 20 {
            write!(f, "\n  and {} more", self.faults.len() - 20)?;
        }
        Ok(())
    }
}
