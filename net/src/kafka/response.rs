//! A whole response: header and body.

use super::{
    ApiKey, Call, Response,
    header::{decode_response_header, encode_response_header},
};
use crate::wire::{DecodeError, EncodeError, Field, Format, Reader, RecordSet, Writer};
use bytes::Bytes;

impl Response {
    /// The bytes of records that it brings, which are references to where they are kept.
    #[must_use]
    pub fn records_len(&self) -> usize {
        match self {
            Self::Fetch(fetch) => {
                let partitions = fetch.responses.iter().flat_map(|topic| &topic.partitions);
                partitions.filter_map(|partition| partition.records.as_ref()).map(RecordSet::len).sum()
            }
            _ => 0,
        }
    }
}

/// Why a frame is not the response that was waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The response belongs to another request.
    #[error("a response to request {found} where that to {expected} was due")]
    CorrelationId {
        /// The request that was waited for.
        expected: i32,
        /// The request that the response names.
        found: i32,
    },
    /// The bytes are not what their API and version say.
    #[error("{api} response, version {version}: {cause}")]
    Malformed {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        #[source]
        cause: DecodeError,
    },
    /// Bytes follow the body.
    #[error("{api} response, version {version}: {len} bytes after it")]
    TrailingBytes {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// How many bytes.
        len: usize,
    },
}

/// Writes a response's frame, length included, as pieces: own bytes, and record sets by reference.
///
/// # Errors
/// [`EncodeError`].
pub fn encode_response(
    writer: &mut Writer,
    version: i16,
    correlation_id: i32,
    response: &Response,
) -> Result<Vec<Bytes>, EncodeError> {
    writer.frame(|writer| {
        encode_response_header(writer, response.api(), version, correlation_id);
        response.encode(writer, version);
    })
}

/// Reads the frame of the response to a `C` of `version`, the length taken off.
///
/// An answer to an ApiVersions request may be of version 0, with UNSUPPORTED_VERSION in it, whatever was asked.
///
/// # Errors
/// [`ResponseError`].
pub fn parse_response<C: Call>(
    frame: &Bytes,
    version: i16,
    correlation_id: i32,
) -> Result<C::Response, ResponseError> {
    let api = C::API;
    let malformed = |cause| ResponseError::Malformed { api, version, cause };
    let mut reader = Reader::new(frame);
    let found = reader.array().map(i32::from_be_bytes).map_err(malformed)?;
    if found != correlation_id {
        return Err(ResponseError::CorrelationId { expected: correlation_id, found });
    }
    decode_response_header(&mut reader, api, version).map_err(malformed)?;
    let response =
        C::Response::decode(&mut reader, Format::new(version, api.flexible_from())).map_err(malformed)?;
    match reader.remaining() {
        0 => Ok(response),
        len => Err(ResponseError::TrailingBytes { api, version, len }),
    }
}
