#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seeds::write("weights", fuzz::weights::seeds),
    |bytes: &[u8]| fuzz::weights::run(bytes)
);
