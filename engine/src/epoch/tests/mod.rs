mod formats;
mod machines;
mod recovery;
mod simulation;
mod world;
