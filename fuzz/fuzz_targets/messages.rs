#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seeds::write("messages", fuzz::messages::seeds),
    |bytes: &[u8]| fuzz::messages::run(bytes)
);
