//! The kiosk mode for a stand: without a visitor it makes one image after another, shows each beside a real one, and changes
//! the language in between.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::components::{Action, PictureCanvas, random_seed};
use super::controller::Controller;
use super::job::{Announcer, Bar};
use super::lang::{self, words};
use super::state::PageState;
use super::views::game;
use super::{browser, share};
use crate::address::Address;
use crate::game::{Game, Side};
use crate::protocol::{Picture, Run};
use crate::qr;
use crate::session::{Event, Job, Phase, Session, Slot};
use crate::settings::Settings;
use crate::text::{Lang, fill, messages};

/// Minimum time of a step: an image takes some seconds even on a fast machine.
const STEP: Duration = Duration::from_millis(140);
/// How long a complete image stays.
const HOLD: Duration = Duration::from_secs(8);
/// How long the question of the game stays, and its answer.
const GAME: Duration = Duration::from_secs(7);
/// How long a failure stays before it recovers.
const MEND: Duration = Duration::from_secs(12);
/// A step that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Steps per image.
const STEPS: u32 = 40;

/// What is on the screen.
#[derive(Clone, Debug, PartialEq)]
enum Act {
    /// A picture that is drawn, then as it is.
    Draw,
    /// It beside a real one, and whether the answer is there.
    Game { real: Picture, drawn_side: Side, answered: bool },
}

/// A large picture or two, a sentence about them, and the warning.
#[component]
pub(super) fn Kiosk(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let act = RwSignal::new(Act::Draw);
    let whole = Memo::new(move |_| session.with(|session| session.is_whole(Slot::Generate)));
    let drawn = Memo::new(move |_| session.with(drawn));
    let caption = Memo::new(move |_| {
        if let Act::Game { drawn_side, answered, .. } = act.get() {
            let answer = || fill(words.common.kiosk_answer, &[("which", game::which(words, drawn_side))]);
            return if answered { answer() } else { words.common.kiosk_question.to_owned() };
        }
        session.with(|session| match (&session.phase, session.filling(Slot::Generate)) {
            (Phase::Loading(_), _) => messages::status(words, session, None),
            (Phase::Failed(_), _) => words.common.kiosk_failed.to_owned(),
            (Phase::Ready, Some(job)) if is_noise(job) => words.common.kiosk_noise.to_owned(),
            (Phase::Ready, Some(_)) => words.common.kiosk_emerging.to_owned(),
            (Phase::Ready, None) if session.is_whole(Slot::Generate) => words.common.kiosk_whole.to_owned(),
            (Phase::Ready, None) => words.common.kiosk_noise.to_owned(),
        })
    });
    let label = words.common.picture;
    let pictures = move || match act.get() {
        Act::Draw => {
            view! { <PictureCanvas picture=drawn label=label.to_owned() testid="canvas" finished=whole /> }.into_any()
        }
        Act::Game { real, drawn_side, answered } => view! { <Both drawn real drawn_side answered /> }.into_any(),
    };
    let code = Memo::new(move |_| {
        let link = session.with(share::link).filter(|_| act.with(|act| *act == Act::Draw))?;
        // An address of this computer alone opens on no other.
        (!browser::is_local()).then(|| qr::path(&share::url(link))).flatten()
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
    spawn_local(show(controller, state, act, running));

    view! {
        <main class="show">
            <h1 class="visually-hidden">{words.common.title}</h1>
            {pictures}
            <div class="caption">
                <p class="warning" data-testid="warning">
                    <strong>{words.common.warning}</strong>
                </p>
                <p class="tale" data-testid="kiosk-caption">{caption}</p>
                <Bar session />
                {move || code.get().map(|(side, path)| view! { <Code side path /> })}
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

/// The drawn picture and a real one; the label comes with the answer, which it would give away.
#[component]
fn Both(drawn: Memo<Option<Picture>>, real: Picture, drawn_side: Side, answered: bool) -> impl IntoView {
    let words = words();
    let half = |side: Side| {
        let is_drawn = side == drawn_side;
        let real = real.clone();
        let picture = Signal::derive(move || if is_drawn { drawn.get() } else { Some(real.clone()) });
        let synthetic = is_drawn && answered;
        let label = if synthetic { words.common.picture } else { game::which(words, side) };
        let testid = format!("kiosk-{}", side.name());
        view! { <PictureCanvas picture label=label.to_owned() testid synthetic /> }
    };
    view! { <div class="pair">{Side::BOTH.map(half).into_iter().collect_view()}</div> }
}

/// A QR code of `side` modules.
#[component]
fn Code(side: i32, path: String) -> impl IntoView {
    let name = words().common.kiosk_code;
    view! {
        <figure class="captioned code" data-testid="kiosk-code">
            <svg viewBox=format!("0 0 {side} {side}") role="img" aria-label=name>
                <path d=path />
            </svg>
            <figcaption>{name}</figcaption>
        </figure>
    }
}

/// Whether a run is so near its start that its state shows more than what is predicted.
fn is_noise(job: &Job) -> bool {
    job.step * 4 < STEPS
}

/// The picture of the run: noise at first, then what the model makes of it.
fn drawn(session: &Session) -> Option<Picture> {
    let panel = session.panel(Slot::Generate)?;
    let noise = session.filling(Slot::Generate).is_some_and(is_noise).then(|| panel.noisy.clone()).flatten();
    noise.or_else(|| panel.pictures.first().cloned())
}

/// A real X-ray, in the size of the model's; none if it cannot be fetched.
async fn real(session: RwSignal<Session>, file: &str) -> Option<Picture> {
    let size = session.with_untracked(|session| {
        session.model.as_ref().map(|model| (model.config.width as u32, model.config.height as u32))
    })?;
    game::read(&format!("real/{file}.jpg"), size).await.ok()
}

/// Runs until the component is removed, which disposes of `running`.
async fn show(controller: Controller, state: PageState, act: RwSignal<Act>, running: StoredValue<()>) {
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
                if !session.with_untracked(Session::is_idle) {
                    continue;
                }
                let shown = session.with_untracked(|session| session.is_whole(Slot::Generate));
                let next = match act.try_get_untracked() {
                    Some(Act::Draw) if shown && held < HOLD => continue,
                    Some(Act::Draw) if shown => {
                        let game = Game::new(random_seed());
                        let real = real(session, game.real()).await;
                        real.map(|real| Act::Game { real, drawn_side: game.drawn_side(), answered: false })
                    }
                    Some(Act::Game { .. }) if held < GAME => continue,
                    Some(Act::Game { real, drawn_side, answered: false }) => {
                        Some(Act::Game { real, drawn_side, answered: true })
                    }
                    _ => None,
                };
                held = Duration::ZERO;
                if let Some(next) = next {
                    act.try_set(next);
                    continue;
                }
                act.try_set(Act::Draw);
                begin();
                if shown {
                    speak_the_other(state, running).await;
                }
            }
        }
    }
    // The run that was started step by step ends by itself.
    if !state.kiosk.get_untracked() {
        controller.dispatch(Event::Resume);
    }
}

/// Changes the language for the next picture, unless the address names one. The page is rendered again.
async fn speak_the_other(state: PageState, running: StoredValue<()>) {
    if Address::parse(&browser::search()).lang.is_some() {
        return;
    }
    let other = match state.lang.get_untracked() {
        Lang::En => Lang::Fr,
        Lang::Fr => Lang::En,
    };
    if lang::load(other).await.is_ok() && running.try_get_value().is_some() {
        state.lang.set(other);
    }
}
