//! The memory of this process.

/// Bytes of memory that this process has in RAM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Now.
    pub current: u64,
    /// The maximum so far: counted by the system on Linux, else the highest value seen.
    pub peak: u64,
}

impl Memory {
    /// Measures it; keeps the values where the system does not report them.
    pub fn update(&mut self) {
        if let Some(stats) = memory_stats::memory_stats() {
            self.current = stats.physical_mem as u64;
        }
        self.peak = self.peak.max(self.current).max(peak().unwrap_or(0));
    }
}

/// The system's own high-water mark, in bytes (proc(5), VmHWM).
fn peak() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `262144000` → `250 MiB`.
pub fn in_words(bytes: u64) -> String {
    let mib = bytes as f64 / (1024.0 * 1024.0);
    if mib < 10_000.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_at_least_what_is_held() {
        let mut memory = Memory::default();
        // Else an optimizer does without it.
        let held = std::hint::black_box(vec![1u8; 64 << 20]);
        memory.update();
        assert!(memory.peak >= memory.current, "{memory:?}");
        assert!(memory.current >= held.len() as u64, "{memory:?}");
        let before = memory.peak;
        drop(held);
        memory.update();
        assert!(memory.peak >= before);
    }

    #[test]
    fn bytes_are_written_in_a_readable_unit() {
        assert_eq!(in_words(250 << 20), "250 MiB");
        assert_eq!(in_words(20 << 30), "20.0 GiB");
    }
}
