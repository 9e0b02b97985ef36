#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xlreg_fuzz::store(data));
