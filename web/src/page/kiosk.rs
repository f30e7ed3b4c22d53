//! The kiosk mode for a stand: it makes one image after another without a visitor.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::components::{Action, PictureCanvas, random_seed};
use super::controller::Controller;
use super::job::{Announcer, Bar};
use super::lang::words;
use super::share;
use super::state::PageState;
use crate::protocol::Run;
use crate::session::{Event, Phase, Session, Slot};
use crate::settings::Settings;
use crate::text::messages;

/// Minimum time of a step: an image takes some seconds even on a fast machine.
const STEP: Duration = Duration::from_millis(140);
/// How long a complete image stays.
const HOLD: Duration = Duration::from_secs(6);
/// How long a failure stays before it recovers.
const MEND: Duration = Duration::from_secs(12);
/// A step that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Steps per image.
const STEPS: u32 = 40;

/// A large picture, a sentence about it, and the warning.
#[component]
pub(super) fn Kiosk(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let picture = Memo::new(move |_| {
        session.with(|session| session.panel(Slot::Generate).and_then(|panel| panel.pictures.first().cloned()))
    });
    let whole = Memo::new(move |_| session.with(|session| session.is_whole(Slot::Generate)));
    let caption = Memo::new(move |_| {
        session.with(|session| match (&session.phase, session.filling(Slot::Generate)) {
            (Phase::Loading(_), _) => messages::status(words, session, None),
            (Phase::Failed(_), _) => words.common.kiosk_failed.to_owned(),
            (Phase::Ready, Some(job)) if job.step * 4 < STEPS => words.common.kiosk_noise.to_owned(),
            (Phase::Ready, Some(_)) => words.common.kiosk_emerging.to_owned(),
            (Phase::Ready, None) if session.is_whole(Slot::Generate) => words.common.kiosk_whole.to_owned(),
            (Phase::Ready, None) => words.common.kiosk_noise.to_owned(),
        })
    });
    let leave = move || {
        state.kiosk.set(false);
        share::show_kiosk(false);
    };
    let escape = window_event_listener(ev::keydown, move |event| {
        if event.key() == "Escape" {
            leave();
        }
    });
    let running = StoredValue::new(());
    on_cleanup(move || escape.remove());
    spawn_local(show(controller, running));

    view! {
        <main class="show">
            <h1 class="visually-hidden">{words.common.title}</h1>
            <PictureCanvas picture label=words.common.picture.to_owned() testid="canvas" finished=whole />
            <div class="caption">
                <p class="warning" data-testid="warning">
                    <strong>{words.common.warning}</strong>
                </p>
                <p class="tale" data-testid="kiosk-caption">{caption}</p>
                <Bar session />
                <Action
                    label=words.common.leave_kiosk.to_owned()
                    testid="leave-kiosk"
                    on_click=move |()| leave()
                />
            </div>
        </main>
        <Announcer controller state />
    }
}

/// Runs until the component is removed, which disposes of `running`.
async fn show(controller: Controller, running: StoredValue<()>) {
    let session = controller.session;
    let begin = move || {
        let settings = Settings { seed: random_seed().into(), steps: STEPS, ..Settings::default() };
        let run = Run::from_noise(settings, 1);
        controller.dispatch(Event::Run { slot: Slot::Generate, run, stepwise: true });
    };
    let step = move || session.with_untracked(|session| session.filling(Slot::Generate).map(|job| (job.id, job.step)));
    let mut requested = None;
    let mut ticks = 0_u32;
    let mut held = Duration::ZERO;
    while running.try_get_value().is_some() {
        TimeoutFuture::new(STEP.as_millis() as u32).await;
        ticks = ticks.wrapping_add(1);
        let failed = session.with_untracked(|session| matches!(session.phase, Phase::Failed(_)));
        match step() {
            Some(taken) => {
                // The next step follows the last one. Sometimes it is requested again, because a new worker does not
                // know of the request.
                if requested != Some(taken) || ticks.is_multiple_of(16) {
                    controller.dispatch(Event::Step);
                }
                held = if requested == Some(taken) { held + STEP } else { Duration::ZERO };
                requested = Some(taken);
                if held >= PATIENCE {
                    held = Duration::ZERO;
                    controller.dispatch(Event::Cancel);
                }
            }
            None => {
                requested = None;
                held += STEP;
                if failed && held >= MEND {
                    held = Duration::ZERO;
                    controller.dispatch(Event::Recover);
                }
                let shown = session.with_untracked(|session| session.is_whole(Slot::Generate));
                if session.with_untracked(Session::is_idle) && (held >= HOLD || !shown) {
                    held = Duration::ZERO;
                    begin();
                }
            }
        }
    }
    // The run that was started step by step ends by itself.
    controller.dispatch(Event::Resume);
}
