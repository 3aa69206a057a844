//! DescribeCluster: one node, as yet.

use super::Asker;
use millrace_net::kafka::{
    ErrorCode,
    describe_cluster::{
        DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, ENDPOINT_BROKERS,
    },
};

pub(super) fn answer(asker: &Asker, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    if request.endpoint_type != ENDPOINT_BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            error_message: Some("The request was sent to an endpoint of type BROKER.".to_owned()),
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
