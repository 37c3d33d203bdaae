//! Has libFuzzer call `fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::wire::run(data));
