//! What stands before a message's body.

use super::ApiKey;
use crate::wire::{DecodeError, Field, Format, Reader, SharedStr, Writer};

/// The header of a request, of header version 1 or 2.
///
/// Version 0 has no client id; only a request that nobody but brokers ever sent has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    /// What the response repeats.
    pub correlation_id: i32,
    /// What the client calls itself. It shares the frame's memory.
    pub client_id: Option<SharedStr>,
}

impl RequestHeader {
    /// Reads what follows the API's key and version in a served request: the rest of the header.
    pub(super) fn decode_rest(
        reader: &mut Reader<'_>,
        api: ApiKey,
        version: i16,
    ) -> Result<Self, DecodeError> {
        // The client id has a length of two bytes in both versions.
        let plain = Format { version, flexible: false, nullable: true };
        let at = |field| move |error: DecodeError| error.within("RequestHeader", field);
        let correlation_id = i32::decode(reader, plain).map_err(at("correlation_id"))?;
        let client_id = Option::decode(reader, plain).map_err(at("client_id"))?;
        if api.is_flexible(version) {
            reader.tagged_fields(|_, _| Ok(false)).map_err(at("tagged_fields"))?;
        }
        Ok(Self { api, version, correlation_id, client_id })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        let plain = Format { version: self.version, flexible: false, nullable: true };
        self.api.code().encode(writer, plain);
        self.version.encode(writer, plain);
        self.correlation_id.encode(writer, plain);
        self.client_id.encode(writer, plain);
        if self.api.is_flexible(self.version) {
            writer.uvarint(0);
        }
    }
}

/// Writes the header of a response: the correlation id and, in flexible versions, no tagged fields. ApiVersions has the
/// old header in every version, since a client reads it before it knows what the broker speaks.
pub(super) fn encode_response_header(writer: &mut Writer, api: ApiKey, version: i16, correlation_id: i32) {
    writer.bytes(&correlation_id.to_be_bytes());
    if has_tagged_response_header(api, version) {
        writer.uvarint(0);
    }
}

/// Reads the rest of a response's header, behind the correlation id.
pub(super) fn decode_response_header(
    reader: &mut Reader<'_>,
    api: ApiKey,
    version: i16,
) -> Result<(), DecodeError> {
    if has_tagged_response_header(api, version) {
        reader
            .tagged_fields(|_, _| Ok(false))
            .map_err(|error| error.within("ResponseHeader", "tagged_fields"))?;
    }
    Ok(())
}

fn has_tagged_response_header(api: ApiKey, version: i16) -> bool {
    api != ApiKey::ApiVersions && api.is_flexible(version)
}
