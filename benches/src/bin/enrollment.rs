//! Runs whole enrollments in memory, for counting their instructions: `enrollment create|wait|join
//! TIMES`. `benches/enrollment` does.

use std::env::args;

use xlreg_benches::{Enrollment, Enrollments};

fn main() {
    let arguments: Vec<_> = args().skip(1).collect();
    let [kind, times] = &arguments[..] else { panic!("enrollment create|wait|join TIMES") };
    let enrollment = match kind.as_str() {
        "create" => Enrollment::Create,
        "wait" => Enrollment::Wait,
        "join" => Enrollment::Join,
        other => panic!("{other}?"),
    };
    let enrollments = Enrollments::new();
    let mut requests = 0;
    for _ in 0..times.parse().expect("a number") {
        requests = enrollments.run(enrollment);
    }
    println!("{requests} requests");
}
