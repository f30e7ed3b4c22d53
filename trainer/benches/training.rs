//! Images a second of training steps on the CPU, by preset:
//! `cargo bench -p trainer --no-default-features --bench training`.

use divan::Bencher;
use divan::counter::ItemsCount;
use vdm::config::Preset;

/// The program's own allocator: the system's is several times slower with tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

fn steps(bencher: Bencher<'_, '_>, preset: Preset) {
    let run = || {
        let (images, mut step) = trainer::bench::training(preset)?;
        step()?;
        anyhow::Ok((images, step))
    };
    match run() {
        Ok((images, mut step)) => bencher.counter(ItemsCount::new(images)).bench_local(|| {
            if let Err(error) = step() {
                panic!("{error:#}");
            }
        }),
        Err(error) => panic!("{error:#}"),
    }
}

#[divan::bench(max_time = 20)]
fn quick(bencher: Bencher<'_, '_>) {
    steps(bencher, Preset::Quick);
}

#[divan::bench(max_time = 60)]
fn paper(bencher: Bencher<'_, '_>) {
    steps(bencher, Preset::Paper);
}

#[divan::bench(max_time = 60)]
fn sharp_coarse(bencher: Bencher<'_, '_>) {
    steps(bencher, Preset::Sharp);
}
