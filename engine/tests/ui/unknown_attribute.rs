use millrace_engine::Data;

#[derive(Data)]
#[data(versoin = 2)]
struct Bid {
    #[data(defualt)]
    price: u64,
}

#[derive(Data)]
#[data(default)]
struct Ask {
    price: u64,
}

fn main() {}
