use millrace_engine::Data;

#[derive(Data)]
enum Event {
    Opened { count: usize },
    Closed,
}

fn main() {}
