//! See `sluice_fuzz::dialect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_fuzz::dialect::fuzz(
    sluice_fuzz::objects::DEPLOYMENT,
    data
));
