use millrace_engine::Data;

#[derive(Data)]
struct Pair<T> {
    left: T,
    right: T,
}

fn main() {}
