#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seeds::write("settings", fuzz::settings::seeds),
    |bytes: &[u8]| fuzz::settings::run(bytes)
);
