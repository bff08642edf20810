//! How does a tenant's application say who may do what?
//!
//! A channel rule that says `ask` leaves it to the application: it is asked over HTTP, signed, and its verdict is kept for as long
//! as it says. No answer is never a yes.
//!
//! | module | question it answers |
//! |---|---|
//! | [`question`] | what is asked, and how is it written? |
//! | [`endpoint`] | where is a tenant's application asked, and how does it know that it is us? |
//! | [`verdict`] | what may an answer say, and what does it mean? |
//! | [`known`] | which verdicts are known, and which questions are under way? |
//! | [`asker`] | who asks, how many at a time, and what is counted? |

pub mod asker;
pub mod endpoint;
mod known;
pub mod question;
pub mod verdict;

pub use asker::{Asker, METRICS};
pub use endpoint::Endpoint;
pub use question::Question;
pub use verdict::{Granted, Verdict};
