//! Jobs against oracles.

mod flights;
