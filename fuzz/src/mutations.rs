//! Inputs that were changed at random, for bounded tests; a fuzzer changes them by what they reach.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use vdm::rng::{Rng, RngStream};

/// Runs `run` on each seed, and on `count` changed ones. `VDM_EXECUTIONS` is another count.
pub fn each(target: &str, seeds: impl FnOnce() -> Vec<Vec<u8>>, count: u64, mut run: impl FnMut(&[u8])) {
    let _alone = alone();
    let count = std::env::var("VDM_EXECUTIONS").map_or(count, |count| count.parse().expect("a number"));
    let seeds = seeds();
    seeds.iter().for_each(|seed| run(seed));
    for case in 0..count {
        let _case = Case { target, case };
        let mut random = Rng::new(0, RngStream::Evaluation, case);
        run(&changed(&seeds, &mut random));
    }
}

/// Keeps other tests waiting: what is in use is counted for the whole process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the input that a panic is about.
struct Case<'a> {
    target: &'a str,
    case: u64,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}: the changed input {}", self.target, self.case);
        }
    }
}

/// Numbers that readers get wrong.
const ODD: [&[u8]; 14] = [
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"18446744073709551615",
    b"4294967296",
    b"null",
    b"[",
    b"\"",
    &[0xff; 8],
    &[0xff; 4],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0; 8],
    &[0, 0, 0, 0, 0, 0, 0, 1],
];

/// One of the seeds with one to eight changes.
fn changed(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(8) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(32)).min(bytes.len());
        let part = match random.below(6) {
            0 if at < bytes.len() => {
                bytes[at] ^= 1 << random.below(8);
                continue;
            }
            1 => vec![random.below(256) as u8; end - at],
            2 => Vec::new(),
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                other[from..(from + random.below(64)).min(other.len())].to_vec()
            }
            4 if random.below(8) == 0 => {
                bytes.truncate(at);
                continue;
            }
            _ => ODD[random.below(ODD.len())].to_vec(),
        };
        // In the place of as many bytes, or of others.
        let end = if random.below(2) == 0 { end } else { (at + part.len()).min(bytes.len()) };
        bytes.splice(at..end, part);
    }
    bytes
}
