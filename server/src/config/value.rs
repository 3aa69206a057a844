//! The shapes that a setting's value can have, read from TOML or from the text of a variable or flag.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};
use toml::de::DeValue;

/// A type of setting.
pub trait Value: Sized + Clone {
    /// What a value looks like, for messages and the reference: "a number of bytes such as 65536 or \"64 KiB\"".
    const SHAPE: &'static str;

    /// Reads the text of a variable or a flag.
    ///
    /// # Errors
    /// What is wrong with it, beyond that it is not of [`Value::SHAPE`]; may be empty.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads a TOML value. Strings are read as text.
    ///
    /// # Errors
    /// As [`Value::from_text`].
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(format!("found {}", describe(other))),
        }
    }

    /// The value as TOML, as `config print` shows it.
    fn to_toml(&self) -> String;
}

/// What a TOML value is, for "found ...".
fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

impl Value for bool {
    const SHAPE: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| String::new())
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("found {}", describe(value)))
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const SHAPE: &'static str = "an integer";

            fn from_text(text: &str) -> Result<Self, String> {
                let digits = text.trim().replace('_', "");
                digits.parse::<i128>().map_err(|_| String::new()).and_then(|number| {
                    <$type>::try_from(number)
                        .map_err(|_| format!("{number} is not from {} to {}", <$type>::MIN, <$type>::MAX))
                })
            }

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                match value {
                    DeValue::Integer(number) => {
                        let parsed = i128::from_str_radix(number.as_str(), number.radix());
                        parsed.map_err(|_| String::new()).and_then(|number| {
                            <$type>::try_from(number)
                                .map_err(|_| format!("{number} is not from {} to {}", <$type>::MIN, <$type>::MAX))
                        })
                    }
                    other => Err(format!("found {}", describe(other))),
                }
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
integer!(u16, u32, u64, i32, i64);

/// A size in bytes: an integer, or text with a unit (`"64 KiB"`, `"1GB"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    const UNITS: [(&'static str, u64); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("B", 1),
    ];
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, bytes) in &Self::UNITS[..3] {
            if self.0 >= *bytes && self.0.is_multiple_of(*bytes) {
                return write!(f, "{} {unit}", self.0 / bytes);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Value for ByteSize {
    const SHAPE: &'static str = "a size such as 65536 or \"64 KiB\", in B, kB, MB, GB, KiB, MiB or GiB";

    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (digits, unit) = match Self::UNITS.iter().find(|(unit, _)| text.ends_with(unit)) {
            Some((unit, bytes)) => (text[..text.len() - unit.len()].trim_end(), *bytes),
            None => (text, 1),
        };
        let number = u64::from_text(digits)?;
        number.checked_mul(unit).map(Self).ok_or_else(|| "too large".to_owned())
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => u64::from_toml(other).map(Self),
        }
    }

    fn to_toml(&self) -> String {
        let text = self.to_string();
        if text.ends_with('B') { quoted(&text) } else { text }
    }
}

impl Value for SocketAddr {
    const SHAPE: &'static str = "an address and port such as \"127.0.0.1:9092\"";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(port) = text.strip_prefix("localhost:") {
            return Self::from_str(&format!("127.0.0.1:{port}")).map_err(|_| String::new());
        }
        Self::from_str(text).map_err(|_| String::new())
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A host name or address with a port, as clients are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address (IPv6 without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| "no port".to_owned())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err("no host".to_owned());
        }
        let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Value for HostPort {
    const SHAPE: &'static str = "a host and port such as \"broker.example:9092\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for PathBuf {
    const SHAPE: &'static str = "a path";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn to_toml(&self) -> String {
        quoted(&self.display().to_string())
    }
}

/// A setting that the server works out for itself unless it is given: `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// The server decides.
    Auto,
    /// This value.
    Given(T),
}

impl<T: Value> Value for Auto<T> {
    const SHAPE: &'static str = "\"auto\" or an integer";

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { T::from_text(text).map(Self::Given) }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) if text == "auto" => Ok(Self::Auto),
            other => T::from_toml(other).map(Self::Given),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::Given(value) => value.to_toml(),
        }
    }
}

impl<T: Value> Value for Option<T> {
    const SHAPE: &'static str = T::SHAPE;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::from_text(text).map(Some) }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) if text.is_empty() => Ok(None),
            other => T::from_toml(other).map(Some),
        }
    }

    fn to_toml(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), Value::to_toml)
    }
}

impl<T: Value> Value for Vec<T> {
    const SHAPE: &'static str = "an array of strings, or text separated by commas";

    fn from_text(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim);
        items
            .map(|item| {
                if item.is_empty() { Err(format!("{text:?} has an empty item")) } else { T::from_text(item) }
            })
            .collect()
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Array(items) => items.iter().map(|item| T::from_toml(item.get_ref())).collect(),
            DeValue::String(text) => T::from_text(text).map(|one| vec![one]),
            other => Err(format!("found {}", describe(other))),
        }
    }

    fn to_toml(&self) -> String {
        let items: Vec<String> = self.iter().map(Value::to_toml).collect();
        format!("[{}]", items.join(", "))
    }
}

/// Defines a setting that is one of a few words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl Value for $name {
            const SHAPE: &'static str = concat!("one of" $(, " \"", $word, "\"")+);

            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(String::new()),
                }
            }

            fn to_toml(&self) -> String {
                quoted(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// Whether shards are pinned to cores.
    Pin {
        /// One core a shard, if there are as many cores as shards.
        Auto = "auto",
        /// The kernel places threads.
        Never = "never",
    }
}

words! {
    /// What an acknowledgement of records means.
    Durability {
        /// They are on stable storage.
        Fsync = "fsync",
        /// They are written, and survive the death of the process, but not that of the machine.
        Os = "os",
    }
}

words! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes) in [("65536", 65536), ("64 KiB", 65536), ("1GB", 1_000_000_000), ("3 MiB", 3 << 20)]
        {
            assert_eq!(ByteSize::from_text(text), Ok(ByteSize(bytes)));
        }
        assert_eq!(ByteSize(65536).to_toml(), "\"64 KiB\"");
        assert_eq!(ByteSize(1_000_001).to_toml(), "1000001");
        assert!(ByteSize::from_text("many").is_err());
        assert!(ByteSize::from_text("99999999999 GiB").is_err());
    }

    #[test]
    fn hosts_read_and_print() {
        let six: HostPort = "[::1]:9092".parse().unwrap();
        assert_eq!((six.host.as_str(), six.port), ("::1", 9092));
        assert_eq!(six.to_string(), "[::1]:9092");
        assert!(":9092".parse::<HostPort>().is_err());
        assert!("host".parse::<HostPort>().is_err());
    }
}
