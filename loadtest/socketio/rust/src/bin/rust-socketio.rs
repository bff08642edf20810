//! The pipe with `rust_socketio`.

carillon_socketio_clients::pipe!(rust_socketio,);
