#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| umpio::fuzzing::run("iscsi_mcs", bytes));
