//! Facts about the machine for a bug report.

use js_sys::Reflect;
use leptos::prelude::*;
use vdm::cost::Timed;

use crate::page::components::{Action, CopyButton};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::{BackendReason, PROTOCOL_VERSION};
use crate::session::{Event, Notice, Phase, Session};

/// Name and value, line by line, in English: a reader of the report may not speak the page's language.
#[component]
pub(super) fn Diagnostics(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let report = Memo::new(move |_| {
        let remarks = state.remarks.get();
        session.with(|session| report(session, &remarks))
    });
    let possible = Memo::new(move |_| session.with(|session| session.phase == Phase::Ready && session.job.is_none()));
    let measure = move |()| controller.dispatch(Event::MeasureSpeed);
    view! {
        <section class="card prose" aria-labelledby="diagnostics-heading">
            <h3 id="diagnostics-heading">{words.about.diagnostics}</h3>
            <p>{words.about.diagnostics_hint}</p>
            <pre data-testid="diagnostics" tabindex="0" lang="en" aria-labelledby="diagnostics-heading">
                {report}
            </pre>
            <div class="buttons">
                <CopyButton
                    label=words.about.copy
                    copied_label=words.about.copied
                    testid="copy-diagnostics"
                    text=report
                />
                <Action
                    label=words.about.measure_speed
                    testid="measure-speed"
                    possible=Signal::derive(move || possible.get())
                    on_click=measure
                />
            </div>
        </section>
    }
}

fn report(session: &Session, remarks: &[String]) -> String {
    let navigator = window().navigator();
    let of_navigator = |name: &str| Reflect::get(&navigator, &name.into()).ok();
    let memory = of_navigator("deviceMemory").and_then(|memory| memory.as_f64());
    let webgpu = of_navigator("gpu").is_some_and(|gpu| gpu.is_object());
    let mut lines = vec![
        ("page", env!("CARGO_PKG_VERSION").to_owned()),
        ("protocol", PROTOCOL_VERSION.to_string()),
        ("browser", navigator.user_agent().unwrap_or_default()),
        ("languages", navigator.languages().join(", ").into()),
        ("cores", navigator.hardware_concurrency().to_string()),
        ("memory", memory.map_or("unknown".to_owned(), |memory| format!("{memory} GB"))),
        ("WebGPU", if webgpu { "yes" } else { "no" }.to_owned()),
        ("secure context", window().is_secure_context().to_string()),
        ("state", session.state_name().to_owned()),
    ];
    if let Some(model) = &session.model {
        let adapter = match &model.backend.reason {
            BackendReason::GpuFound { adapter } => adapter.clone(),
            reason => format!("{reason:?}"),
        };
        lines.push(("backend", format!("{} ({adapter})", model.backend.kind.name())));
        lines.push(("weights", format!("{} {}", model.file, model.sha256)));
    }
    if let Some(speed) = &session.speed {
        let line = |timed: Timed| {
            let (gflop, rate) = (timed.operations as f64 / 1e9, timed.gflop_per_second());
            let share = 100.0 * rate / speed.product.gflop_per_second();
            let ms = 1e3 * timed.seconds;
            format!("{ms:.1} ms, {gflop:.3} GFLOP, {rate:.2} GFLOP/s, {share:.0} % of the matrix product's")
        };
        lines.push(("matrix product", line(speed.product)));
        for (band, timed) in speed.evaluate.iter().enumerate() {
            lines.push((["an evaluation", "an evaluation of the fine band"][band.min(1)], line(*timed)));
        }
        lines.push(("the decoder", line(speed.decode)));
        lines.push(("an image in 40 steps", line(speed.sample(40))));
    }
    match (&session.phase, &session.notice) {
        (Phase::Failed(problem), _) | (_, Some(Notice::Failed(problem) | Notice::MovedToCpu(problem))) => {
            lines.push(("problem", format!("{}: {problem:?}", problem.kind())));
        }
        _ => {}
    }
    lines.extend(remarks.iter().map(|remark| ("remark", remark.clone())));
    lines.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}
