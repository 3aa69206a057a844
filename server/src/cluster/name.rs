//! What a topic may be called: Kafka's rules, so that names travel between the two.

/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 249;

/// Checks a topic's name.
///
/// # Errors
/// What is wrong with it.
pub fn validate_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return Err("'.' and '..' are not allowed".to_owned());
    }
    if name.len() > NAME_LEN_MAX {
        return Err(format!("the name is longer than {NAME_LEN_MAX} characters"));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.bytes().all(legal) {
        return Err("only ASCII letters, digits, '.', '_' and '-' are allowed".to_owned());
    }
    Ok(())
}

/// The prefix of topics that are Millrace's alone.
const OWN_PREFIX: &str = "__millrace_";

/// Whether the server keeps the topic for itself: clients may read it, not write to it or delete it.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__cluster_metadata" | "__consumer_offsets" | "__transaction_state")
        || name.starts_with(OWN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_rules_hold() {
        for good in ["a", "flights", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(validate_name(good), Ok(()));
        }
        for bad in ["", ".", "..", "a b", "ü", "a/b", &"x".repeat(250)] {
            assert!(validate_name(bad).is_err(), "{bad:?}");
        }
    }
}
