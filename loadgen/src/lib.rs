//! The place of the load generator: it will speak plain Kafka, so that it measures rivals as fairly. Empty as yet.
