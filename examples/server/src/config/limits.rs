//! The table `[limits]`.

use std::time::Duration;

use skytale_api::{Rate, RateLimits};
use skytale_relay::Limits;
use skytale_relay::grpc::ConnectionLimits;
use skytale_relay::quic::QuicLimits;

use super::allowed::{Allowed, where_true, within};
use super::setting::settings;

/// The longest message that a SLIM client accepts, less what a hop may add.
const MAX_MESSAGE_SIZE: usize = 4 * 1024 * 1024 - 1024;

settings! {
    /// The limits of what clients may ask for.
    pub struct LimitsConfig in limits {
        /// Connections at once.
        max_connections: usize = ConnectionLimits::default().connections;

        /// Channels with subscribers at once.
        max_channels: usize = Limits::default().channels;

        /// Bytes of one frame; the default is the most that is possible.
        max_message_size: usize = MAX_MESSAGE_SIZE,
            check(within(1..=MAX_MESSAGE_SIZE).because("SLIM clients take at most 4 MiB"));

        /// Bytes of one component of a name.
        max_name_bytes: usize = Limits::default().frame.name_bytes;

        /// Participants and metadata entries in one frame.
        max_repeated_elements: usize = Limits::default().frame.elements;

        /// Sessions at once.
        max_sessions: usize = Limits::default().sessions;

        /// Sessions of one account at once.
        max_sessions_per_principal: usize = Limits::default().sessions_per_principal;

        /// Subscriptions of one session.
        max_subscriptions_per_session: usize = Limits::default().subscriptions_per_session;

        /// Subscriptions of one account.
        max_subscriptions_per_principal: usize = Limits::default().subscriptions_per_principal;

        /// Messages a second of one session.
        max_publish_rate: u32 = Limits::default().publish_rate;

        /// Archived messages queued for one session; beyond, it reads the archive.
        max_queued_messages: usize = Limits::default().queued_messages;

        /// Bytes of archived messages queued for one session; beyond, it reads the archive.
        max_queued_bytes: usize = Limits::default().queued_bytes;

        /// Other messages queued for one session; beyond, it is closed.
        max_queued_unarchived: usize = Limits::default().queued_unarchived;

        /// The relay's answers queued for one session; beyond, it is closed.
        max_queued_answers: usize = Limits::default().queued_answers;

        /// Seconds that a native agent may read nothing of its queue; then its session is closed, and it resumes with
        /// another.
        stalled_seconds: u64 = Limits::default().stalled.as_secs();

        /// Messages of one session that wait to be archived; beyond, it is read no further.
        max_unarchived_in_flight: usize = Limits::default().unarchived_in_flight;

        /// Bytes of one session's messages that wait to be archived; beyond, it is read no further.
        max_unarchived_bytes_in_flight: usize = Limits::default().unarchived_bytes_in_flight;

        /// Connections without an authenticated stream (health probes among them), on TCP and on QUIC each.
        max_unauthenticated_connections: usize = ConnectionLimits::default().unauthenticated;

        /// Seconds that a connection may go without an authenticated stream.
        authentication_seconds: u64 = ConnectionLimits::default().authentication_time.as_secs();

        /// TLS handshakes that begin in a second, on TCP (where others wait) and on QUIC (where others are refused, and
        /// come back later).
        max_handshakes_per_second: u32 = ConnectionLimits::default().handshakes;

        /// HTTP/2 streams of one connection at once.
        max_streams_per_connection: u32 = ConnectionLimits::default().streams;

        /// HTTP/2 streams of one connection that the peer may reset before they are accepted.
        max_pending_resets: usize = ConnectionLimits::default().pending_resets;

        /// QUIC connections at once.
        max_quic_connections: usize = QuicLimits::default().connections;

        /// QUIC connections beyond which a new peer has to prove its address.
        max_quic_unvalidated_connections: usize = QuicLimits::default().unvalidated_connections;

        /// QUIC streams of one connection at once, each a session.
        max_quic_streams_per_connection: u32 = QuicLimits::default().streams_per_connection;

        /// Proposals of native agents in one epoch of a channel.
        max_proposals_per_epoch: usize = Limits::default().proposals_per_epoch;

        /// Proposals of one account in one epoch of a channel.
        max_proposals_per_principal: usize = Limits::default().proposals_per_principal;

        /// Key packages of one agent that one account claims in a minute; beyond, it gets the one of last resort.
        max_claims_per_minute: u32 = Limits::default().claims_per_minute;

        /// Key packages of one agent that all accounts claim in an hour; beyond, they get the one of last resort.
        max_claims_per_hour: u32 = Limits::default().claims_per_hour;

        /// Requests to the API a second with one key and its tokens; twice as many at once.
        max_api_rate: Option<u32> = None, shown("100"), check(rate());

        /// Requests to the API a second from one address whose key or token is not valid.
        max_unauthenticated_api_rate: Option<u32> = None, shown("10"), check(rate());

        /// New accounts a minute from one address; twice as many at once.
        max_sign_ups_per_minute: Option<u32> = None, shown("10"), check(rate());
    }
}

fn rate() -> Allowed<Option<u32>> {
    where_true("1 or more; to switch the API off, set api = false", |rate| *rate != Some(0))
}

impl LimitsConfig {
    /// Returns the rates of the API.
    pub fn api(&self) -> RateLimits {
        const SECOND: Duration = Duration::from_secs(1);
        let rate = |count: u32, period| Rate::new(count.saturating_mul(2), count, period);
        let mut rates = RateLimits::default();
        if let Some(count) = self.max_api_rate {
            rates = rates.with_per_key(rate(count, SECOND));
        }
        if let Some(count) = self.max_unauthenticated_api_rate {
            rates = rates.with_per_stranger(rate(count, SECOND));
        }
        if let Some(count) = self.max_sign_ups_per_minute {
            rates = rates.with_sign_ups(rate(count, 60 * SECOND));
        }
        rates
    }

    /// Returns the limits of the relay.
    pub fn relay(&self) -> Limits {
        let mut limits = Limits::default();
        limits.frame.frame_bytes = self.max_message_size;
        limits.frame.name_bytes = self.max_name_bytes;
        limits.frame.elements = self.max_repeated_elements;
        limits.channels = self.max_channels;
        limits.sessions = self.max_sessions;
        limits.sessions_per_principal = self.max_sessions_per_principal;
        limits.subscriptions_per_session = self.max_subscriptions_per_session;
        limits.subscriptions_per_principal = self.max_subscriptions_per_principal;
        limits.publish_rate = self.max_publish_rate;
        limits.queued_messages = self.max_queued_messages;
        limits.queued_bytes = self.max_queued_bytes;
        limits.queued_unarchived = self.max_queued_unarchived;
        limits.queued_answers = self.max_queued_answers;
        limits.stalled = Duration::from_secs(self.stalled_seconds);
        limits.unarchived_in_flight = self.max_unarchived_in_flight;
        limits.unarchived_bytes_in_flight = self.max_unarchived_bytes_in_flight;
        limits.proposals_per_epoch = self.max_proposals_per_epoch;
        limits.proposals_per_principal = self.max_proposals_per_principal;
        limits.claims_per_minute = self.max_claims_per_minute;
        limits.claims_per_hour = self.max_claims_per_hour;
        limits
    }

    /// Returns the limits of the QUIC listener.
    pub fn quic(&self) -> QuicLimits {
        let mut limits = QuicLimits::default();
        limits.connections = self.max_quic_connections;
        limits.unauthenticated = self.max_unauthenticated_connections;
        limits.unvalidated_connections = self.max_quic_unvalidated_connections;
        limits.frame_bytes = self.max_message_size;
        limits.handshakes = self.max_handshakes_per_second;
        limits.streams_per_connection = self.max_quic_streams_per_connection;
        limits.first_frame = Duration::from_secs(self.authentication_seconds);
        limits
    }

    /// Returns the limits of the gRPC listener.
    pub fn connections(&self) -> ConnectionLimits {
        let mut limits = ConnectionLimits::default();
        limits.connections = self.max_connections;
        limits.unauthenticated = self.max_unauthenticated_connections;
        limits.authentication_time = Duration::from_secs(self.authentication_seconds);
        limits.handshakes = self.max_handshakes_per_second;
        limits.streams = self.max_streams_per_connection;
        limits.pending_resets = self.max_pending_resets;
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_settings_the_defaults_of_the_libraries_hold() {
        let limits = LimitsConfig::default();
        assert_eq!(limits.relay(), Limits::default());
        assert_eq!(limits.quic(), QuicLimits::default());
        assert_eq!(limits.api(), RateLimits::default());
    }

    #[test]
    fn the_documented_rates_are_those_of_the_api() {
        let (max_api_rate, max_sign_ups_per_minute) = (Some(100), Some(10));
        let limits = LimitsConfig { max_api_rate, max_sign_ups_per_minute, ..LimitsConfig::default() };
        assert_eq!(limits.api(), RateLimits::default());
    }
}
