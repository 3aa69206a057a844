pub(crate) fn next_u64() -> u64 {
    todo!()
}
