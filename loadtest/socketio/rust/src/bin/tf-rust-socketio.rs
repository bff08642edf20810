//! The pipe with `tf-rust-socketio`.

carillon_socketio_clients::pipe!(tf_rust_socketio, , ..);
