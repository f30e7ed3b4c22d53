//! How it works, its ethics, and help when it does not work.

use leptos::prelude::*;

use super::card::Card;
use super::diagnostics::Diagnostics;
use super::formulas;
use super::storage::Storage;
use crate::page::components::ViewHeading;
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::share;
use crate::page::state::PageState;
use crate::session::Session;
use crate::text::fill;

/// The last view.
#[component]
pub(in crate::page) fn About(controller: Controller, state: PageState) -> impl IntoView {
    let words = words();
    let about = &words.about;
    let start_show = move |event: web_sys::MouseEvent| {
        event.prevent_default();
        state.kiosk.set(true);
        share::show_kiosk(true);
    };
    view! {
        <section class="view" aria-labelledby="view-heading">
            <ViewHeading text=about.heading />
            <div class="columns even">
                <section class="card prose" aria-labelledby="how-heading">
                    <h3 id="how-heading">{about.how}</h3>
                    <p>{about.how_1}</p>
                    <p>{about.how_2}</p>
                    <p>{about.how_3}</p>
                    <p>{about.how_4}</p>
                    <p>
                        <a href="?kiosk" data-testid="start-kiosk" on:click=start_show>{words.common.kiosk_link}</a>
                    </p>
                </section>
                <section class="card prose" aria-labelledby="ethics-heading" data-testid="ethics">
                    <h3 id="ethics-heading">{about.ethics}</h3>
                    <ul>
                        <li>{about.diagnosis}</li>
                        <li>{about.consent}</li>
                        <li>{about.privacy}</li>
                        <li>{about.transparency}</li>
                        <li>{about.bias}</li>
                    </ul>
                </section>
            </div>
            <Formulas />
            <Card session=controller.session />
            <div class="columns even">
                <div class="stack">
                    <Licences session=controller.session />
                    <section class="card prose" aria-labelledby="keyboard-heading">
                        <h3 id="keyboard-heading">{about.keyboard}</h3>
                        <p>{about.keyboard_text}</p>
                    </section>
                </div>
                <Storage session=controller.session state />
            </div>
            <Diagnostics controller state />
        </section>
    }
}

/// The formulas, each with a sentence.
#[component]
fn Formulas() -> impl IntoView {
    let about = &words().about;
    let part = |title: &'static str, text: &'static str, formulas: &[&'static str]| {
        let formulas =
            formulas.iter().map(|formula| view! { <div class="formula" tabindex="0" inner_html=*formula></div> });
        view! {
            <section>
                <h4>{title}</h4>
                <p>{text}</p>
                {formulas.collect_view()}
            </section>
        }
    };
    view! {
        <section class="card prose" aria-labelledby="formulas-heading" data-testid="formulas">
            <h3 id="formulas-heading">{about.formulas}</h3>
            <div class="formulas">
                {part(about.forward, about.forward_text, &[formulas::FORWARD])}
                {part(about.schedule, about.schedule_text, &[formulas::SNR, formulas::SCHEDULE, formulas::RAW])}
                {part(about.prediction, about.prediction_text, &[formulas::PREDICTION])}
                {part(about.reverse, about.reverse_text, &[formulas::DDIM, formulas::ANCESTRAL, formulas::DPM])}
                {part(about.loss, about.loss_text, &[formulas::BOUND, formulas::LATENT, formulas::DIFFUSION])}
                {part(about.decoder, about.decoder_text, &[formulas::DECODER, formulas::BITS])}
            </div>
        </section>
    }
}

/// Licences of code and weights, and acknowledgements.
#[component]
fn Licences(session: RwSignal<Session>) -> impl IntoView {
    let about = &words().about;
    let of_weights = move |template: &'static str, name: &'static str, read: fn(&Session) -> Option<String>| {
        move || {
            let text = session.with(read).filter(|text| !text.is_empty());
            text.map(|text| view! { <p>{fill(template, &[(name, &text)])}</p> })
        }
    };
    let licence = |session: &Session| session.model.as_ref().map(|model| model.provenance.license.clone());
    let thanks = |session: &Session| session.model.as_ref().map(|model| model.provenance.acknowledgement.clone());
    view! {
        <section class="card prose" aria-labelledby="licences-heading" data-testid="licences">
            <h3 id="licences-heading">{about.licences}</h3>
            <p>{about.code_licence}</p>
            {of_weights(about.weights_licence, "licence", licence)}
            <p>{about.nih}</p>
            {of_weights(about.acknowledgement, "words", thanks)}
            <p>{about.paper}</p>
        </section>
    }
}
