#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seeds::write("checkpoint", fuzz::checkpoint::seeds),
    |bytes: &[u8]| fuzz::checkpoint::run(bytes)
);
