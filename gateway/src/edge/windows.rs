//! For which clients is there a window, so that they may compress what they send with what they sent before?
//!
//! A window is up to 32 KiB for as long as the connection lives, more than twenty idle connections cost. So only clients
//! that fail without have one ([`Deflate::keeps_window`](crate::ws::Deflate::keeps_window)), only with a
//! token in the handshake, and for no more than 512 of them at a time, 16 MiB. An address never has more than is free. Whoever
//! gets none talks uncompressed; nothing is refused.

use carillon_platform::share::{AddressGroup, Holder, Holding, HoldingLimits, Holdings};

/// Windows at a time.
const WINDOWS: usize = 512;

/// The right to a window.
pub(crate) type WindowShare = Holding<AddressGroup, ()>;

/// The windows of a node.
pub(crate) struct Windows(Holdings<AddressGroup, ()>);

impl Default for Windows {
    fn default() -> Self {
        Self(Holdings::new(HoldingLimits { total: WINDOWS, per_group: WINDOWS, per_member: WINDOWS }))
    }
}

impl Windows {
    /// A window for a connection from this address, if there is one.
    pub(super) fn take(&self, address: AddressGroup) -> Option<WindowShare> {
        self.0.try_take(Holder::group(address), 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn i10_windows_are_bounded_and_shared_by_address() {
        let windows = Windows::default();
        let of = |last: u8| AddressGroup::from(IpAddr::from([192, 0, 2, last]));
        let greedy: Vec<WindowShare> = std::iter::from_fn(|| windows.take(of(1))).collect();
        assert_eq!(greedy.len(), WINDOWS / 2);
        assert!(windows.take(of(2)).is_some());
        drop(greedy);
        assert!(windows.take(of(1)).is_some(), "what is taken is given back");
    }
}
