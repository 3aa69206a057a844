//! Jobs against oracles.

mod alignment;
mod archived;
mod dynamic;
mod flights;
mod flush;
mod idleness;
mod panics;
mod process;
