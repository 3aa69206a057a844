//! DescribeCluster: one node, as yet.

use super::Asker;
use millrace_net::kafka::{
    ErrorCode,
    describe_cluster::{
        DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, ENDPOINT_BROKERS,
        ENDPOINT_CONTROLLERS,
    },
};

pub(super) fn answer(asker: &Asker, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    if request.endpoint_type != ENDPOINT_BROKERS {
        let (error_code, message) = if request.endpoint_type == ENDPOINT_CONTROLLERS {
            (ErrorCode::MISMATCHED_ENDPOINT_TYPE, "The request was sent to an endpoint of type BROKER.")
        } else {
            (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "There is no endpoint of that type.")
        };
        return DescribeClusterResponse {
            error_code,
            error_message: Some(message.to_owned()),
            endpoint_type: ENDPOINT_BROKERS,
            ..Default::default()
        };
    }
    let options = asker.shard.options();
    let address = asker.advertised();
    let port = i32::from(address.port);
    DescribeClusterResponse {
        cluster_id: asker.shard.image().cluster_id(),
        controller_id: options.node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: options.node_id,
            host: address.host,
            port,
            ..Default::default()
        }],
        ..Default::default()
    }
}
