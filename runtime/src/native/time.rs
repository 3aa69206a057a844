pub(crate) fn monotonic_ns() -> u64 {
    todo!()
}
pub(crate) fn unix_millis() -> i64 {
    todo!()
}
pub(crate) async fn sleep_until(_deadline: crate::Instant) {
    todo!()
}
