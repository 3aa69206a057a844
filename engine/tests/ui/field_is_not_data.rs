use millrace_engine::Data;

struct Price(u64);

#[derive(Data)]
struct Bid {
    auction: u64,
    price: Price,
}

fn main() {}
