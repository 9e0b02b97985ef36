#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xlreg::fuzz::registry(data));
