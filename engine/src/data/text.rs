//! Strings: up to eight bytes lie in the root, longer ones before it.

use super::{ArchiveError, Data, Descriptor, Encode, Encoder, Shape};
use rkyv::{
    Place,
    string::{ArchivedString, StringResolver},
};

macro_rules! encode_text {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            type Archived = ArchivedString;
            type Resolver = StringResolver;
            const DESCRIPTOR: &'static Descriptor =
                &Descriptor::unnamed(size_of::<ArchivedString>(), Shape::String);
            const FLAT: bool = false;

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<StringResolver, ArchiveError> {
                ArchivedString::serialize_from_str(self, encoder)
            }

            #[inline]
            fn resolve(&self, resolver: StringResolver, out: Place<ArchivedString>) {
                ArchivedString::resolve_from_str(self, resolver, out);
            }
        }
    )*};
}

encode_text!(str, String, ArchivedString);

impl Data for String {
    fn decode(archived: &ArchivedString) -> Self {
        archived.as_str().to_owned()
    }
}
