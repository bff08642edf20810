//! Why did an event reach a person, or why not? (pure)
//!
//! | module | question it answers |
//! |---|---|
//! | [`met`] | which of the event's channels are the person's, and what says so? |
//! | [`reach`] | has each of their devices got it? |
//! | [`shown`] | was it shown to them, by what they and others say about its type? |
//! | [`sent`] | has each webhook sent it? |
//! | [`verdict`] | what stood in its way first, or how far has it got? |
//! | [`words`] | how is that said? |
//!
//! The way of an event is: committed, addressed, received by a device, shown, and handled. The verdict names the first place where it
//! ended; of a notice what the person did with it counts before what their devices did. Everything is judged by rules and preferences as
//! they are now, at the time at which the event was committed.

pub mod met;
pub mod reach;
pub mod sent;
pub mod shown;
pub mod verdict;
pub mod words;
