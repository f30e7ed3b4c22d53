#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seeds::write("manifest", fuzz::manifest::seeds),
    |bytes: &[u8]| fuzz::manifest::run(bytes)
);
