use millrace_engine::Data;

#[derive(Data)]
union Bits {
    float: f32,
    integer: u32,
}

#[derive(Data)]
enum Never {}

fn main() {}
