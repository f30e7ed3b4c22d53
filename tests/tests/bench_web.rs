//! A benchmark: the exported networks in ONNX Runtime Web beside the page's own engine, one thread each, in turns in the same
//! browser. `cargo xtask bench-web` installs what it needs and runs it.

use std::path::{Path, PathBuf};

use tests::browser::Gpu;
use tests::page::{Page, TO_LOAD};
use tests::programs::run_trainer;

/// Rounds, of which the best of each counts: other work on the machine only ever takes time.
const ROUNDS: usize = 3;
/// A network's names in the page's diagnostics and among the exported files.
const NETWORKS: [(&str, &str); 3] = [
    ("an evaluation", "score-net.onnx"),
    ("an evaluation of the fine band", "score-net-fine.onnx"),
    ("the decoder", "decoder.onnx"),
];
/// Answers with the median milliseconds of an evaluation of one row, its outputs read back.
const BENCH: &str = "
    const ort = await import('./ort/ort.js');
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: new URL('./ort/ort.wasm', location).href };
    const session = await ort.InferenceSession.create(NETWORK, { executionProviders: [PROVIDER] });
    const feeds = {};
    for (const { name, type, shape } of session.inputMetadata) {
        const dims = shape.map(size => typeof size === 'number' && size > 0 ? size : 1);
        const size = dims.reduce((a, b) => a * b, 1);
        const values = type === 'int64' ? new BigInt64Array(size) : Float32Array.from({ length: size }, (_, i) => Math.sin(i));
        feeds[name] = new ort.Tensor(type, values, dims);
    }
    const times = [];
    for (let run = 0; run < 13; run++) {
        const start = performance.now();
        const outputs = await session.run(feeds);
        for (const output of Object.values(outputs)) await output.getData();
        if (run > 2) times.push(performance.now() - start);
    }
    await session.release();
    return times.sort((a, b) => a - b)[5];";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: cargo xtask bench-web"]
async fn the_page_beside_onnx_runtime_web() {
    let ort = std::env::var_os("VDM_ORT").map(PathBuf::from).expect("`cargo xtask bench-web` sets VDM_ORT");
    println!("| backend | model | network | ONNX Runtime Web, ms | this page, ms | theirs / ours |");
    println!("| --- | --- | --- | ---: | ---: | ---: |");
    // A GPU in software takes minutes for `sharp`.
    for (gpu, model) in [(Gpu::None, "sharp"), (Gpu::None, "paper"), (Gpu::SwiftShader, "paper")] {
        compare(&ort, gpu, model).await;
    }
}

async fn compare(ort: &Path, gpu: Gpu, model: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let page = Page::as_it_is(gpu).await;
    page.opens_with(model);
    let weights = page.weights_path();
    let line = ["export", "--weights", weights.to_str().expect("a plain path"), "--out", "onnx"];
    run_trainer(folder.path(), line).ok();
    let (bundle, program, provider) = match gpu {
        Gpu::None => ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "wasm"),
        Gpu::SwiftShader => ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm", "webgpu"),
    };
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    page.site.replace("ort/ort.js", read(&ort.join(bundle)));
    page.site.replace("ort/ort.wasm", read(&ort.join(program)));
    page.site.replace("bench.html", b"<!doctype html><title>ONNX Runtime Web</title>".to_vec());
    let mut best = [[f64::INFINITY; 2]; NETWORKS.len()];
    for _ in 0..ROUNDS {
        page.browser.open(&page.site.url("bench.html")).await;
        for (best, (_, file)) in best.iter_mut().zip(NETWORKS) {
            let path = folder.path().join("onnx").join(file);
            if path.exists() {
                page.site.replace(file, read(&path));
                let script =
                    BENCH.replace("NETWORK", &format!("'./{file}'")).replace("PROVIDER", &format!("'{provider}'"));
                best[0] = best[0].min(page.browser.evaluate(&script).await.as_f64().expect("milliseconds"));
            }
        }
        page.open("?draw=no").await;
        page.browser.wait_for_state("ready", TO_LOAD).await;
        page.go("about").await;
        for line in page.speeds().await {
            let place = NETWORKS.iter().position(|(name, _)| line.split_once(": ").is_some_and(|(of, _)| of == *name));
            let ms = line.split_once(": ").and_then(|(_, rest)| rest.split_once(" ms")?.0.parse::<f64>().ok());
            if let (Some(place), Some(ms)) = (place, ms) {
                best[place][1] = best[place][1].min(ms);
            }
        }
    }
    for ([theirs, ours], (name, _)) in best.into_iter().zip(NETWORKS).filter(|(times, _)| times[0].is_finite()) {
        println!("| {provider} | {model} | {name} | {theirs:.1} | {ours:.1} | {:.2} |", theirs / ours);
    }
    page.browser.close().await;
}
