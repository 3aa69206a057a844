//! Which partition holds a group: Kafka's choice, which tools repeat.

/// `abs(hash) mod partitions`, with Java's hash of the group's id.
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash =
        group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's abs clears the sign bit, so that the smallest integer has one too.
    (hash & i32::MAX) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn javas_hash_and_kafkas_abs() {
        // "hello".hashCode() == 99162322
        assert_eq!(partition_of("hello", 50), 22);
        // "polygenelubricants".hashCode() == Integer.MIN_VALUE
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("", 50), 0);
    }
}
