//! How big may anything be? Every number of the contract, once.

/// Longest tenant name, in bytes.
pub const TENANT_BYTES: usize = 63;
/// Longest user or actor name, in bytes of UTF-8.
pub const USER_BYTES: usize = 128;
/// Longest channel name, in bytes; `user:` and `role:` take a whole user or role name after the colon.
pub const CHANNEL_BYTES: usize = 128;
/// Longest name of a webhook, in bytes.
pub const WEBHOOK_BYTES: usize = 64;
/// Longest device name, in bytes.
pub const DEVICE_BYTES: usize = 64;
/// Longest event id, in bytes of UTF-8.
pub const EVENT_ID_BYTES: usize = 128;
/// Longest `type`, `source` or `subject` of an event, in bytes of UTF-8.
pub const ATTRIBUTE_BYTES: usize = 256;
/// Longest key of a latest value, in bytes of UTF-8.
pub const LATEST_KEY_BYTES: usize = 128;
/// Longest epoch, in bytes.
pub const EPOCH_BYTES: usize = 32;
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Largest event (its CloudEvents JSON), in bytes.
pub const EVENT_BYTES: usize = 64 * 1024;
/// Largest request body of the REST API, in bytes.
pub const BODY_BYTES: usize = 1024 * 1024;
/// Most events in one publish request.
pub const EVENTS_PER_REQUEST: usize = 500;
/// Most channels one event may go to (after `users` and `roles` became channels).
pub const CHANNELS_PER_EVENT: usize = 100;
/// Most tenants one connection may be in.
pub const TENANTS_PER_CONNECTION: usize = 16;
/// Most channels one connection may be subscribed to, in all its tenants together.
pub const CHANNELS_PER_CONNECTION: usize = 1_000;
/// Most patterns of a connection that an API key opened: each is compared with each event of the tenant.
pub const PATTERNS_PER_CONNECTION: usize = 32;
/// Most patterns of types that a `subscribe` or a URL may name.
pub const TYPES_PER_FILTER: usize = 16;
/// Most different lists of them that a connection may have at a time: of its channels, and of the connection as a whole.
pub const TYPE_FILTERS_PER_CONNECTION: usize = 16;
/// Longest pattern of types, in bytes.
pub const TYPE_PATTERN_BYTES: usize = 128;
/// Largest message a client may send over a WebSocket, in bytes.
pub const CLIENT_MESSAGE_BYTES: usize = 64 * 1024;
/// Largest frame the gateway sends, in bytes: an event of [`EVENT_BYTES`] for [`CHANNELS_PER_EVENT`] channels with the longest
/// names, each character of which JSON writes as two, and the answer to the largest message. Clients whose libraries
/// take less cannot come past a large event.
pub const SERVER_FRAME_BYTES: usize = 96 * 1024;
/// Largest event of a client that is passed on as a signal, in bytes of its JSON.
pub const SIGNAL_BYTES: usize = 16 * 1024;
/// Most events of history one `subscribe` may ask for.
pub const HISTORY_EVENTS: u64 = 1_000;
/// Largest `meta` somebody may say about themselves where they are seen, in bytes of JSON.
pub const META_BYTES: usize = 1_024;
/// Longest name of something that somebody did.
pub const ACTIVITY_NAME_BYTES: usize = 64;
/// Most that is said about it, in bytes of JSON.
pub const ACTIVITY_BYTES: usize = 4 * 1024;
/// Deepest nesting of arrays and objects in JSON we store.
pub const JSON_DEPTH: usize = 64;
/// Most rows of one page of `GET /v1/events`.
pub const PAGE_ROWS: usize = 200;
