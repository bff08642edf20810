//! Has each device of the person got the event?

use carillon_backplane::log::{PersonTrace, TracedConnection, TracedDevice};
use carillon_protocol::{Channel, Epoch, Epochs, Seq};
use jiff::Timestamp;

/// What became of an event at a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// It has acknowledged it.
    Acked,
    /// It has it.
    Delivered,
    /// It was connected, and the event has not reached it.
    Behind,
    /// It was not connected, and has not come back.
    Offline,
    /// It was seen for the first time after the event.
    CameLater,
    /// It is in none of the event's channels.
    NotInChannel,
}

/// A device and the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The device.
    pub device: TracedDevice,
    /// Everything for it up to here has reached it, in the present epoch.
    pub delivered: Seq,
    /// Everything up to here it has acknowledged, likewise.
    pub acked: Seq,
    /// Whether it is in one of the event's channels; none: not known.
    pub in_channel: Option<bool>,
    /// Whether it is connected now.
    pub connected: bool,
    /// What became of the event.
    pub got: Got,
}

impl Got {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Delivered => "delivered",
            Self::Behind => "behind",
            Self::Offline => "offline",
            Self::CameLater => "came_later",
            Self::NotInChannel => "not_in_channel",
        }
    }

    /// Whether the device has the event.
    pub fn has(self) -> bool {
        matches!(self, Self::Acked | Self::Delivered)
    }
}

/// Whether a connection was open at a moment.
pub fn was_open(connection: &TracedConnection, at: Timestamp) -> bool {
    connection.opened_at <= at && connection.closed.as_ref().is_none_or(|(closed, _)| *closed > at)
}

/// What became of an event, committed at a moment under a number, at each device of a person.
pub fn reach(
    (seq, at, channels): (Seq, Timestamp, &[Channel]),
    epochs: &Epochs,
    trace: &PersonTrace,
) -> Vec<Reach> {
    let of_device = |device: &TracedDevice| {
        let good = Epoch::new(device.epoch.as_str()).ok().and_then(|epoch| epochs.good_up_to(&epoch));
        let good = good.unwrap_or(Seq::ZERO);
        let (acked, delivered) = (device.acked.min(good), device.delivered.max(device.acked).min(good));
        let in_channel = device
            .channels
            .as_ref()
            .map(|own| channels.iter().any(|channel| own.iter().any(|name| name == channel.as_str())));
        let mut own = trace.connections.iter().filter(|open| open.device.as_ref() == Some(&device.device));
        let connected = own.clone().any(|connection| connection.closed.is_none());
        let got = match () {
            () if device.first_seen > at => Got::CameLater,
            () if in_channel == Some(false) => Got::NotInChannel,
            () if acked >= seq => Got::Acked,
            () if delivered >= seq => Got::Delivered,
            () if connected || own.any(|connection| was_open(connection, at)) => Got::Behind,
            () => Got::Offline,
        };
        Reach { device: device.clone(), delivered, acked, in_channel, connected, got }
    };
    trace.devices.iter().map(of_device).collect()
}
