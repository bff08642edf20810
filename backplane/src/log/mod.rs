//! How are events appended to a tenant's log, and how are they read back?
//!
//! | module | question it answers |
//! |---|---|
//! | [`pool`](self) | how do we reach Postgres, with which role and which deadlines? |
//! | `error` | why did the log not do what was asked, and whose fault is it? |
//! | `session` | is this session what we asked for, and is it still? |
//! | `strain` | is the database out of memory, of places for locks, or of connections? |
//! | `work` | which connections may this piece of work use? |
//! | `scope` | how does one transaction see exactly the tenants it names? |
//! | `append` | how do many events get gapless numbers in one statement? |
//! | `audience` | how many people is something for that goes to these channels? |
//! | `heads` | how long is each log, and which epoch is it in? |
//! | `sessions` | who is connected, and when did whoever was leave? |
//! | `tickets` | whom does this ticket let in, once? |
//! | `console` | which API key does a session of the console stand for? |
//! | `limits` | how much may each tenant have and do, as it was set? |
//! | `revocations` | who was disconnected, and since when? |
//! | `event_types` | what is stored about a tenant's types of events? |
//! | `settings` | what is set for a tenant, and of which version is it? |
//! | `devices` | how far is each device, and which of an event's audience are not so far? |
//! | `days` | which partitions may one statement touch? |
//! | `places` | in which days does an event of this number stand? |
//! | `preferences` | what has somebody said about what they want to get? |
//! | `read` | which events stand after a cursor? |
//! | `latest` | which is the latest event of every key? |
//! | `inbox` | what stands in a person's inbox, and how much of it is unread? |
//! | `search` | which events match a question, however long the log is? |
//! | `outbox` | how do events that applications published in their own transactions get into the log, once? |
//! | `projector` | who reads every tenant's log with a stored cursor? |
//! | `probe` | could an event be stored now? |
//! | `keys` | who is the bearer of this API key? |
//! | `activity` | what did people do, as their pages say? |
//! | `escalations` | which people have not taken note of a notice in time, and how is each named once? |
//! | `webhooks` | which HTTP endpoints get a tenant's events, and how far is each? |
//! | `archive` | what of a day is to be copied before it goes, and which days are? |
//! | `maintenance` | how do partitions come and go, and how are idempotency keys forgotten? |
//! | `metrics` | what does the log count? |
//! | `why` | what is stored about an event and a person that says why it did or did not reach them? |
//! | `migrate` | how does the schema get there? |

mod activity;
mod analytics;
mod append;
mod archive;
mod audience;
mod audit;
mod console;
mod days;
mod devices;
mod error;
mod escalations;
mod event_types;
mod heads;
mod inbox;
mod keys;
mod latest;
mod limits;
mod maintenance;
mod metrics;
mod migrate;
mod outbox;
mod places;
mod pool;
mod preferences;
mod probe;
mod projector;
mod read;
mod revocations;
mod scope;
mod search;
mod session;
mod sessions;
mod settings;
mod strain;
mod tenant_list;
mod tickets;
mod webhooks;
mod why;
mod work;

pub use activity::{ActivityPartitions, ActivityQuery, Did, StoredActivity};
pub use analytics::{CountedKey, CountedLatency, CountedTime, CountedTotal, Dimension, Hours};
pub use append::{Append, Appended, IdempotencyKey};
pub use archive::{ArchiveState, ArchivedRow, DayMeasure, DayTenant, ToArchive};
pub use audience::Audience;
pub use audit::{AuditAsk, AuditEntry};
pub use console::SessionFor;
pub use devices::{Deliveries, DevicePlace, DeviceState, Pending, Receipts};
pub use error::{LogError, Unwritable};
pub use escalations::{DueStep, ESCALATED, Escalated, Escalating, EscalationLag, EscalationPlan, Missing};
pub use event_types::{StoredType, StoredTypes};
pub use heads::{Head, Opened, Watched};
pub use inbox::{
    Advanced, Counts, Deed, Inbox, InboxAsk, InboxPage, InboxRules, Item, MOST_COUNTED, MOST_EXACT,
    MOST_FOLLOWED, Mark, Marked, NoticePerson, NoticeState, NoticeStep, NoticeText, Retracted, Shown, Sight,
    TypeSays, View, Watermarks, Who,
};
pub use keys::{ApiKey, KeyChange, KeyEntry};
pub use latest::{LATEST_ROWS, LatestPage};
pub use limits::{NoticesStored, StoredLimits};
pub use maintenance::{Dropped, ForgottenKeys, Maintenance, PartitionState};
pub use metrics::{describe as describe_metrics, watch_pool};
pub use migrate::{MigrateReport, migrate};
pub use outbox::{Moved, OutboxAsk, OutboxPlan, OutboxState, Outboxed, ParkedEvent, Parking};
pub use pool::{Log, LogConfig, Role};
pub use preferences::{PreferencesSet, StoredPreferences};
pub use projector::{
    ANALYTICS_KEYS, Analytics, Batch, ChannelIndex, Lag, News, Progress, Reader, Slot, Turn, Work,
};
pub use read::{LogPage, LoggedEvent, PAGE_BYTES, PAGE_ROWS};
pub use revocations::{HeldRevocation, Revoke, RevokeOutcome, StoredRevocation};
pub use search::{EventFilter, Order, Search};
pub use sessions::{ConnectionFilter, GatewayRun, OpenConnection, SessionPartitions, SessionState};
pub use settings::{Owner, RuleChange, Settings, StoredApplication, StoredRule};
pub use tenant_list::ListedTenant;
pub use webhooks::{
    DueWebhook, FailedDelivery, OpenWebhook, PendingDelivery, PutWebhook, Replayed, StoredDelivery,
    StoredWebhook, WEBHOOKS, WebhookProgress, WebhookPut,
};
pub use why::{
    FailedAt, PersonTrace, TracedConnection, TracedDevice, TracedEvent, TracedNotice, TracedStep,
    TracedWebhook, Untraced,
};
