//! Drawing: the run of the form, the first picture without being asked, and the keys.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::Element;

use super::browser;
use super::components::random_seed;
use super::controller::Controller;
use super::state::PageState;
use crate::address::View;
use crate::form::{Field, Form};
use crate::protocol::Run;
use crate::session::{Event, Session, Slot};

/// What takes Enter and the space bar for itself.
const TAKES_KEYS: &str = "a, button, input:not([type=range]), select, textarea, summary";

/// Starts the run of the form, if it can be read; `stepwise` waits before each step.
pub(super) fn draw(controller: Controller, state: PageState, stepwise: bool) {
    let session = controller.session;
    if state.held.get_untracked() {
        state.unasked.set(true);
        return state.held.set(false);
    }
    if !session.with_untracked(Session::is_idle) {
        return;
    }
    if state.new_seed.get_untracked() {
        state.form.update(|form| form.seed = random_seed().to_string());
    }
    let read = session.with_untracked(|session| state.form.with_untracked(|form| form.read(session.model.as_ref())));
    match read {
        Ok(settings) => {
            let count = state.form.with_untracked(|form| form.count);
            begin(controller, state, Run::from_noise(settings, count), stepwise);
        }
        Err(fields) => show_wrong(state, fields),
    }
}

/// Starts a run of the first view. The next picture is another one, unless a setting changes.
pub(super) fn begin(controller: Controller, state: PageState, run: Run, stepwise: bool) {
    state.unasked.set(false);
    state.wrong.set(Vec::new());
    state.opened.set(false);
    state.image.set(0);
    state.new_seed.set(true);
    controller.dispatch(Event::Run { slot: Slot::Generate, run, stepwise });
}

/// Shows the errors, and moves to the first.
pub(super) fn show_wrong(state: PageState, fields: Vec<Field>) {
    if fields.iter().any(|field| !matches!(field, Field::Seed | Field::Class)) {
        state.unfolded.set(true);
    }
    browser::focus(match fields.first() {
        Some(Field::Steps) => "steps",
        Some(Field::Class) => "class",
        Some(Field::Guidance) => "guidance",
        _ => "seed",
    });
    state.wrong.set(fields);
}

/// Changes a setting, for the picture with the same seed.
pub(super) fn change(state: PageState, change: impl FnOnce(&mut Form)) {
    state.form.update(change);
    state.new_seed.set(false);
}

/// Draws the first picture by itself, and fetches the model only when it is wanted where the browser saves data.
pub(super) fn at_once(controller: Controller, state: PageState) {
    let session = controller.session;
    let in_sight = Memo::new(move |_| state.view.get() == View::Generate && !state.kiosk.get());
    Effect::new(move |_| {
        if state.held.get() && !in_sight.get() {
            state.held.set(false);
        }
    });
    Effect::new(move |opened: Option<bool>| {
        let opened = opened.unwrap_or_default();
        if !opened && !state.held.get() {
            controller.dispatch(Event::Open);
            return true;
        }
        opened
    });
    let due = Memo::new(move |_| {
        let waits = session.with(|session| session.is_idle() && session.panel(Slot::Generate).is_none());
        in_sight.get() && waits && state.unasked.get()
    });
    Effect::new(move |_| {
        if due.get() {
            let notice = session.with_untracked(|session| session.notice.clone());
            draw(controller, state, false);
            // Nobody has read it yet.
            if let Some(notice) = notice {
                controller.dispatch(Event::Tell(notice));
            }
        }
    });
}

/// Enter draws another picture, and the space bar plays and pauses, wherever no control takes them. They work as long
/// as the present component.
pub(super) fn listen_to_keys(controller: Controller, state: PageState, play: impl Fn() + 'static) {
    let listening = window_event_listener(ev::keydown, move |event| {
        let modified = event.ctrl_key() || event.alt_key() || event.meta_key() || event.shift_key();
        let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
        let taken = target.is_some_and(|target| target.closest(TAKES_KEYS).ok().flatten().is_some());
        if modified || taken || event.default_prevented() || event.repeat() {
            return;
        }
        match event.key().as_str() {
            "Enter" => draw(controller, state, false),
            " " => play(),
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || listening.remove());
}
