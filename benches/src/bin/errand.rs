//! Runs whole errands in memory, for counting their instructions: `errand create|wait|join TIMES`. `benches/errand` does.

use std::env::args;

use xlreg_benches::{Errand, Errands};

fn main() {
    let arguments: Vec<_> = args().skip(1).collect();
    let [kind, times] = &arguments[..] else { panic!("errand create|wait|join TIMES") };
    let errand = match kind.as_str() {
        "create" => Errand::Create,
        "wait" => Errand::Wait,
        "join" => Errand::Join,
        other => panic!("{other}?"),
    };
    let errands = Errands::new();
    let mut requests = 0;
    for _ in 0..times.parse().expect("a number") {
        requests = errands.run(errand);
    }
    println!("{requests} requests");
}
