//! Process plumbing both services share: configuration, telemetry, the ops port, an orderly stop, and user tokens.
//!
//! | module | question it answers |
//! |---|---|
//! | [`mod@env`] | what does the environment say, and is every value allowed? |
//! | [`config`] | which settings do both services share? |
//! | [`telemetry`] | how does a process tell what it does (logs, metrics)? |
//! | [`ops`] | how do probes and Prometheus ask a process how it is? |
//! | [`supervisor`] | how does a supervisor hear that we are ready, and that we stop? |
//! | [`share`] | how is a bounded resource divided, so that no holder takes it from the others? |
//! | [`shutdown`] | how does a process stop, and in which order? |
//! | [`sockets`] | who may hold a socket of a listener, for how long, and who gives one up? |
//! | [`descriptors`] | how many sockets may this process open? |
//! | [`mod@listen`] | how does a service listen? |
//! | [`origin`] | which web pages may use a service? |
//! | [`forward`] | how does one of our services post something to another? |
//! | [`roundtrip`] | does an event get from a publisher to a client, and how fast? |
//! | [`auth`] | who is the bearer of this user token, and what may they do? |
//! | [`outbound`] | how is a URL called that a tenant has given? |
//! | [`ask`] | how does a tenant's application say who may do what? |
//! | [`mod@whole`] | which whole number is this JSON number? |
//! | [`rules`] | who may do what in a channel, beyond what their token says? |
//!
//! A service's start uses them in this order: read [`env::Env::process`] into its configuration (a
//! [`env::ConfigError`] ends the process with [`EXIT_CONFIG`]), [`telemetry::init`] and [`telemetry::install`],
//! [`descriptors::raise`], [`listen::listen`], [`ops::serve`], and wait for [`shutdown::Signals`].

pub mod ask;
pub mod auth;
pub mod config;
pub mod descriptors;
pub mod env;
pub mod forward;
pub mod listen;
pub mod ops;
pub mod origin;
pub mod outbound;
pub mod roundtrip;
pub mod rules;
pub mod share;
pub mod shutdown;
pub mod sockets;
pub mod supervisor;
pub mod telemetry;
mod tls;
pub mod whole;

/// The exit code of a process whose configuration is wrong (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;
