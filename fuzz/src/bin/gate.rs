//! Has libFuzzer call `fuzz::gate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gate::run(data));
