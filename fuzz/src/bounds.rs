//! What reading an input may take: memory and time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bytes that may be taken whatever the input: buffers, messages, tables of a fixed size.
pub const ALWAYS: usize = 4 << 20;

/// The longest that an input may take on a processor.
const LONGEST: Duration = Duration::from_secs(1);

/// The system's allocator, which counts what is in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    MOST.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

fn less(bytes: usize) {
    IN_USE.fetch_sub(bytes, Relaxed);
}

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: each call is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        less(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is moved, both are in use.
        more(size);
        let moved = unsafe { System.realloc(pointer, layout, size) };
        less(layout.size());
        moved
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads an input of `length` bytes, and fails where that has more in use at once than twice as much, what any input of
/// its kind takes, and what `needed` says of what was read, or takes longer than a second.
pub fn bounded<T>(length: usize, needed: impl FnOnce(&T) -> usize, mut read: impl FnMut() -> T) -> T {
    let before = IN_USE.load(Relaxed);
    MOST.store(before, Relaxed);
    let started = Instant::now();
    let value = read();
    let elapsed = started.elapsed();
    let taken = MOST.load(Relaxed).saturating_sub(before);
    if taken > 2 * length + ALWAYS {
        let allowed = 2 * length + ALWAYS + needed(&value);
        assert!(taken <= allowed, "{taken} bytes were in use, where {allowed} are allowed");
    }
    if elapsed > LONGEST {
        // The machine may have had other work to do.
        let before = on_processor();
        read();
        let busy = on_processor() - before;
        assert!(busy <= LONGEST, "it takes {busy:?}");
    }
    value
}

/// How long this process has been on processors.
fn on_processor() -> Duration {
    // Of every thread, in ticks of 10 ms: utime and stime, after the name in brackets.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    Duration::from_millis(fields.take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}
