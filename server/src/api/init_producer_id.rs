//! InitProducerId: an id that makes a producer's retries harmless.

use super::{Asker, errors::Code};
use millrace_net::kafka::{
    ErrorCode,
    init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
};

pub(super) async fn answer(asker: &Asker, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let refused =
        |error_code| InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() };
    match request.transactional_id.as_deref() {
        Some("") => return refused(ErrorCode::INVALID_REQUEST),
        // The client gives up at once, instead of trying for minutes.
        Some(_) => return refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        None => {}
    }
    // An id without its epoch, or the other way round, is no state that a producer can have.
    if (request.producer_id < 0) != (request.producer_epoch < 0) {
        return refused(ErrorCode::INVALID_REQUEST);
    }
    // Without a transactional id Kafka gives a new id whatever the client had before.
    match asker.shard.next_producer_id().await {
        Ok(producer_id) => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
        Err(error) => refused(error.code()),
    }
}
