#!/usr/bin/env bash
# What a short time on an NVIDIA GPU is for: gpu/README.md. Usage: gpu/run.sh prepare | measure SECONDS OUT | train SECONDS OUT
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?prepare, measure or train}
gpu=.gpu
program=$gpu/trainer
started=$SECONDS
left() { echo $((limit - 30 - (SECONDS - started))); }
say() { echo "[$((SECONDS - started)) s] $*" | tee -a "$out/log.txt"; }

# A row of a table: a training step of a band, alone on the card.
row() {
    [ "$(left)" -gt 20 ] || { say "no time for: $*"; return; }
    say "trainer speed --training $*"
    timeout "$(left)" "$program" speed --training --preset sharp --device "${device:-cuda}" "$@" >>"$out/measure.md" 2>>"$out/log.txt" ||
        say "failed: $*"
}

case $what in
prepare)
    # Built here, run there: the same program, stripped, and images that travel.
    cargo build --release --locked -p trainer
    mkdir -p $gpu
    cp target/release/trainer $program
    strip $program
    cp gpu/cubecl.toml $gpu/
    du -sh $gpu
    ;;
measure)
    limit=${2:?seconds}
    out=${3:?a folder for the results}
    mkdir -p "$out"
    cp gpu/cubecl.toml .
    nvidia-smi >"$out/card.txt" 2>&1 || true
    # The first step beside that of the CPU: the same weights, images and draws.
    for on in cpu "${device:-cuda}"; do
        timeout "$(left)" "$program" train --preset sharp --stage fine --max-images 64 --batch 16 --steps 2 --device "$on" \
            --set run.sample_every=1000 --out "$out/first-$on" >>"$out/log.txt" 2>&1 || say "failed on $on"
        tail -n 2 "$out/first-$on/log.jsonl" >>"$out/first-steps.jsonl" || true
    done
    # What matters most comes first: what there is no time for is left out.
    row --stage fine --batch 512 --precision bf16
    timeout "$(left)" python3 trainer/benches/pytorch_bands.py --device cuda --stage fine --batch 512 --bf16 --compile \
        >>"$out/pytorch.jsonl" 2>>"$out/log.txt" || say "PyTorch failed"
    row --stage coarse --batch 256 --precision bf16
    device=wgpu row --stage fine --batch 128
    for precision in bf16 f32; do
        for batch in 128 2048; do row --stage fine --batch $batch --precision $precision; done
        for batch in 64 1024; do row --stage coarse --batch $batch --precision $precision; done
    done
    rm -rf "$out"/first-*
    cp -r .gpu/kernels .gpu/autotune "$out" 2>/dev/null || true
    ;;
train)
    # BAND, DATA, FROM and BATCH come from the environment: BAND=fine DATA=.gpu/fine FROM=.gpu/sharp.safetensors BATCH=512
    limit=${2:?seconds}
    out=${3:?a folder for the results}
    mkdir -p "$out"
    cp gpu/cubecl.toml .
    band=${BAND:?coarse or fine}
    # The learning rate ends with the time: the steps that fit are measured first.
    per_second=$("$program" speed --training --preset sharp --stage "$band" --batch "${BATCH:-512}" --precision bf16 \
        --device "${device:-cuda}" --json | python3 -c 'import json, sys; v = json.load(sys.stdin); print(v["images_per_second"] / v["batch"])')
    steps=$(python3 -c "print(max(1, int(0.85 * $per_second * $(left))))")
    say "$per_second steps a second: $steps steps"
    "$program" train --preset sharp --stage "$band" ${FROM:+--from "$FROM"} --data "${DATA:?a folder or a table}" \
        --labels "${LABELS:-finding}" --batch "${BATCH:-512}" --steps "$steps" --precision bf16 --device "${device:-cuda}" \
        --time-limit "$(left)s" --ema 50000,200000 --set run.log_every=50 --set run.validate_every=$((steps / 4 + 1)) \
        --set run.sample_every=1000000 --out "$out/run" 2>&1 | tee -a "$out/log.txt" ||
        [ "${PIPESTATUS[0]}" -eq 75 ] # The time limit stopped it: the weights of its best validation are there.
    cp "$out"/run/sharp.safetensors "$out"/run/log.jsonl "$out"/run/validation.jsonl "$out"/
    rm -rf "$out/run"
    ;;
*)
    echo "error: $what: prepare, measure or train is accepted" >&2
    exit 2
    ;;
esac
