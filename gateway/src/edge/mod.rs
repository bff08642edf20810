//! How does a TCP connection become a WebSocket of a shard?
//!
//! HTTP and the handshake are axum's; from the upgrade on the socket belongs to a shard and HTTP is forgotten.
//!
//! | module | question it answers |
//! |---|---|
//! | [`listener`] | who may speak HTTP to us, and for how long? |
//! | [`handshake`] | may this request become a WebSocket? |
//! | [`request`] | what does the URL say, where is the token, and who is the client? |
//! | [`problem`] | how is a refusal told? |

pub(crate) mod handshake;
pub(crate) mod listener;
mod problem;
mod request;
