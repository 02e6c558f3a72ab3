//! See `sluice_fuzz::files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_fuzz::files::convert(data));
