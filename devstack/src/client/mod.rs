//! How does the outside world use a stack: as a WebSocket client, as a publisher, and as the judge of both?
//!
//! A [`socket::Socket`] speaks the contract frame by frame; [`listen::Listen`] hears event streams and polls.
//! [`resume::Resuming`] keeps a cursor over any number of sockets; [`tail`] prints what it sees, and a
//! [`follow::Follower`] records it. [`publish::Publisher`] posts events, [`presence::ask`] asks who is here, [`rest::Rest`] whatever else, and [`load::Load`] keeps posting them. The
//! [`ledger::Ledger`] knows every acknowledged event and says which follower missed, repeated, reordered or should not
//! have seen one. [`demo`] makes the events of five businesses.

pub mod demo;
pub mod dice;
#[cfg(test)]
mod fake;
pub mod follow;
pub mod frame;
pub mod ledger;
pub mod listen;
pub mod load;
#[cfg(test)]
mod load_tests;
pub mod post;
pub mod presence;
pub mod publish;
pub mod rest;
pub mod resume;
#[cfg(test)]
mod resume_tests;
pub mod socket;
pub mod tail;
