//! The load generator: plain Kafka protocol, so that it measures rivals as fairly.
