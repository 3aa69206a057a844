//! A whole request: header and body.

use super::{
    ApiKey, Call, ErrorCode, RequestBody, RequestHeader, Response, api_versions::ApiVersionsResponse,
};
use crate::wire::{DecodeError, EncodeError, Format, Reader, SharedStr, Writer};
use bytes::Bytes;

/// A request, read and understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Who asks, and how to answer.
    pub header: RequestHeader,
    /// What is asked. Record sets and the texts of Produce and Fetch share the frame's memory.
    pub body: RequestBody,
}

impl Request {
    /// The bytes of records that its response may bring, as far as the request bounds them: 0 for those without records.
    #[must_use]
    pub fn records_len_max(&self) -> usize {
        match &self.body {
            RequestBody::Fetch(fetch) => usize::try_from(fetch.max_bytes).unwrap_or(0),
            _ => 0,
        }
    }
}

/// Why a frame is not a request that can be served.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The frame is too short for a header, or the header is damaged.
    #[error("no request header: {0}")]
    Header(#[source] DecodeError),
    /// An API that is not served.
    #[error("API {api_key} (version {version}) is not served")]
    UnknownApi {
        /// The API's number.
        api_key: i16,
        /// The version asked for.
        version: i16,
    },
    /// A version of a served API that is not served.
    #[error("{api} version {version} is not served, only {}-{}", .api.min_version(), .api.max_version())]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// What a response would repeat.
        correlation_id: i32,
    },
    /// The body is not what its API and version say.
    #[error("{} version {}: {cause}", .header.api, .header.version)]
    Body {
        /// The request's header.
        header: RequestHeader,
        /// What is wrong.
        #[source]
        cause: DecodeError,
    },
    /// Bytes follow the body. Kafka's own broker does not look at them, and serves the request.
    #[error("{} version {}: {len} bytes after the request", .request.header.api, .request.header.version)]
    TrailingBytes {
        /// The request before them.
        request: Box<Request>,
        /// How many bytes.
        len: usize,
    },
}

impl RequestError {
    /// What Kafka answers instead of closing the connection, with the correlation id; to be sent in version 0. An
    /// ApiVersions request of a version that is not served gets UNSUPPORTED_VERSION and the versions of ApiVersions
    /// itself, so that a newer client can ask again. For everything else Kafka closes, and this is `None`.
    #[must_use]
    pub fn answer(&self) -> Option<(i32, Response)> {
        match *self {
            Self::UnsupportedVersion { api: ApiKey::ApiVersions, correlation_id, .. } => {
                let response = ApiVersionsResponse {
                    error_code: ErrorCode::UNSUPPORTED_VERSION,
                    api_keys: vec![ApiKey::ApiVersions.advertised()],
                    ..Default::default()
                };
                Some((correlation_id, response.into()))
            }
            _ => None,
        }
    }
}

/// Reads a request's frame, the length taken off.
///
/// # Errors
/// [`RequestError`].
pub fn parse_request(frame: &Bytes) -> Result<Request, RequestError> {
    let mut reader = Reader::new(frame);
    let (api_key, version) = api_and_version(&mut reader).map_err(RequestError::Header)?;
    let Some(api) = ApiKey::from_code(api_key) else {
        return Err(RequestError::UnknownApi { api_key, version });
    };
    if !api.serves(version) {
        let correlation_id = reader.array().map(i32::from_be_bytes).map_err(RequestError::Header)?;
        return Err(RequestError::UnsupportedVersion { api, version, correlation_id });
    }
    let header = RequestHeader::decode_rest(&mut reader, api, version).map_err(RequestError::Header)?;
    let body = match RequestBody::decode(&mut reader, api, version) {
        Ok(body) => body,
        Err(cause) => return Err(RequestError::Body { header, cause }),
    };
    let request = Request { header, body };
    match reader.remaining() {
        0 => Ok(request),
        len => Err(RequestError::TrailingBytes { request: Box::new(request), len }),
    }
}

fn api_and_version(reader: &mut Reader<'_>) -> Result<(i16, i16), DecodeError> {
    let mut read =
        |field| reader.array().map(i16::from_be_bytes).map_err(|error| error.within("RequestHeader", field));
    Ok((read("api_key")?, read("version")?))
}

/// Writes a request's frame, length included.
///
/// # Errors
/// [`EncodeError`].
pub fn encode_request<C: Call>(
    writer: &mut Writer,
    version: i16,
    correlation_id: i32,
    client_id: Option<&SharedStr>,
    body: &C,
) -> Result<Vec<Bytes>, EncodeError> {
    let header = RequestHeader { api: C::API, version, correlation_id, client_id: client_id.cloned() };
    writer.frame(|writer| {
        header.encode(writer);
        body.encode(writer, Format::new(version, C::API.flexible_from()));
    })
}
