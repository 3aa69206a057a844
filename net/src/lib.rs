//! The wire: Kafka frames and one file per API, connections, listener, client.
