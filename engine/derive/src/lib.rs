//! The `Data` derive.
