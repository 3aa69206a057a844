//! The form in which messages are declared.

/// Declares structures of Kafka's messages, in Kafka's order of fields. Each field says in which versions it is there,
/// then its name, its type and, if it is not the type's own, its default:
///
/// ```text
/// message! {
///     /// A partition's answer.
///     pub struct PartitionResponse {
///         /// In every version, without a default of its own.
///         [0..] index: i32,
///         /// From version 2 on; -1 before.
///         [2..] log_append_time_ms: i64 = -1,
///         /// From version 1 on, null only from version 8 on.
///         [1.., nullable 8..] error_message: Option<String>,
///         /// One of the tagged fields that end a structure in flexible versions.
///         [10.., tag 0] current_leader: LeaderIdAndEpoch,
///     }
/// }
/// ```
///
/// The declaration gives the structure, its [`Default`], and [`Field`](crate::wire::Field): reading and writing at any
/// version. A field outside its versions is read as its default and not written, whatever it holds.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                [$versions:expr $(, tag $tag:literal)? $(, nullable $nullable:expr)?]
                $field:ident : $type:ty $(= $default:expr)?
            ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: message!(@default [$($default)?]), )* }
            }
        }

        impl $crate::wire::Field for $name {
            const ENCODED_SIZE_MIN: usize = 1;

            fn decode(
                reader: &mut $crate::wire::Reader<'_>,
                format: $crate::wire::Format,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let version = format.version;
                #[allow(unused_mut, reason = "a structure may be empty")]
                let mut message = Self::default();
                $( message!(@plain [$($tag)?] {
                    if ($versions).contains(&version) {
                        let format = message!(@format format [$($nullable)?]);
                        message.$field = <$type as $crate::wire::Field>::decode(reader, format)
                            .map_err(|error| error.within(stringify!($name), stringify!($field)))?;
                    }
                }); )*
                if format.flexible {
                    #[allow(unused_variables, reason = "most structures know no tagged field")]
                    reader.tagged_fields(|tag, reader| {
                        $( message!(@tagged [$($tag)?] {
                            if tag == message!(@tag [$($tag)?]) && ($versions).contains(&version) {
                                let format = message!(@format format [$($nullable)?]);
                                message.$field = <$type as $crate::wire::Field>::decode(reader, format)
                                    .map_err(|error| error.within(stringify!($name), stringify!($field)))?;
                                return Ok(true);
                            }
                        }); )*
                        Ok(false)
                    })?;
                }
                Ok(message)
            }

            fn encode(&self, writer: &mut $crate::wire::Writer, format: $crate::wire::Format) {
                let version = format.version;
                $( message!(@plain [$($tag)?] {
                    if ($versions).contains(&version) {
                        let format = message!(@format format [$($nullable)?]);
                        $crate::wire::Field::encode(&self.$field, writer, format);
                    }
                }); )*
                if format.flexible {
                    // A tagged field is written only where it says more than its absence.
                    #[allow(unused_mut, reason = "most structures know no tagged field")]
                    let mut present = 0;
                    $( message!(@tagged [$($tag)?] {
                        if ($versions).contains(&version) && !message!(@is_default self.$field, $type, [$($default)?]) {
                            present += 1;
                        }
                    }); )*
                    writer.uvarint(present);
                    $( message!(@tagged [$($tag)?] {
                        if ($versions).contains(&version) && !message!(@is_default self.$field, $type, [$($default)?]) {
                            let format = message!(@format format [$($nullable)?]);
                            writer.tagged_field(message!(@tag [$($tag)?]), |writer| {
                                $crate::wire::Field::encode(&self.$field, writer, format);
                            });
                        }
                    }); )*
                }
            }
        }

        #[cfg(test)]
        impl $crate::wire::sample::Sample for $name {
            fn sample(_source: &mut $crate::wire::sample::Source<'_>, format: $crate::wire::Format) -> Self {
                let version = format.version;
                #[allow(unused_mut, reason = "a structure may be empty")]
                let mut message = Self::default();
                $( if ($versions).contains(&version) {
                    let format = message!(@format format [$($nullable)?]);
                    message.$field = <$type as $crate::wire::sample::Sample>::sample(_source, format);
                } )*
                let _ = version;
                message
            }
        }
    )*};

    (@default []) => { Default::default() };
    (@default [$default:expr]) => { $default };

    (@plain [] $code:block) => { $code };
    (@plain [$tag:literal] $code:block) => {};

    (@tagged [] $code:block) => {};
    (@tagged [$tag:literal] $code:block) => { $code };
    (@tag [$tag:literal]) => { $tag };

    (@is_default $this:ident.$field:ident, $type:ty, []) => { $this.$field == <$type>::default() };
    (@is_default $this:ident.$field:ident, $type:ty, [$default:expr]) => { $this.$field == $default };

    (@format $format:ident []) => { $format.nullable(true) };
    (@format $format:ident [$nullable:expr]) => { $format.nullable(($nullable).contains(&$format.version)) };
}
