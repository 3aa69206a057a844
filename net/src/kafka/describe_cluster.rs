//! DescribeCluster: the brokers.

use crate::kafka::{ErrorCode, metadata::OPERATIONS_NOT_ASKED};

/// Endpoint type: brokers.
pub const ENDPOINT_BROKERS: i8 = 1;
/// Endpoint type: controllers.
pub const ENDPOINT_CONTROLLERS: i8 = 2;

message! {
    /// Asks for the brokers.
    pub struct DescribeClusterRequest {
        /// Whether to tell what the client may do to the cluster.
        [0..] include_cluster_authorized_operations: bool,
        /// [`ENDPOINT_BROKERS`] or [`ENDPOINT_CONTROLLERS`].
        [1..] endpoint_type: i8 = ENDPOINT_BROKERS,
        /// Whether brokers that are fenced off are wanted too.
        [2..] include_fenced_brokers: bool,
    }

    /// Tells the brokers.
    pub struct DescribeClusterResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// Success, or why there is no answer.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [0..] error_message: Option<String>,
        /// [`ENDPOINT_BROKERS`] or [`ENDPOINT_CONTROLLERS`].
        [1..] endpoint_type: i8 = ENDPOINT_BROKERS,
        /// The cluster's id.
        [0..] cluster_id: String,
        /// The broker id of the controller, -1 if there is none.
        [0..] controller_id: i32 = -1,
        /// The brokers.
        [0..] brokers: Vec<DescribeClusterBroker>,
        /// What the client may do to the cluster, as bits.
        [0..] cluster_authorized_operations: i32 = OPERATIONS_NOT_ASKED,
    }

    /// A broker.
    pub struct DescribeClusterBroker {
        /// Its id.
        [0..] broker_id: i32,
        /// Its host name or address.
        [0..] host: String,
        /// Its port.
        [0..] port: i32,
        /// Its rack.
        [0..] rack: Option<String>,
        /// Whether it is fenced off.
        [2..] is_fenced: bool,
    }
}
