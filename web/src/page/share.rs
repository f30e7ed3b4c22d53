//! Links: the page's address is that of its image, and opens with it.

use leptos::prelude::*;

use super::browser;
use super::controller::Controller;
use super::draw;
use super::state::PageState;
use crate::address::{Address, Link};
use crate::form::Field;
use crate::protocol::{ModelInfo, Run, Start};
use crate::session::{Event, Notice, Session, Slot};

/// Makes the image of the address once a model is loaded, and keeps the address up to date. `faults` are what cannot be
/// followed of it.
pub(super) fn open_links(controller: Controller, state: PageState, faults: Vec<(Field, String)>) {
    let session = controller.session;
    let ready = Memo::new(move |_| session.with(Session::is_idle));
    let faults = StoredValue::new(faults);
    Effect::new(move |_| {
        if !ready.get() || state.kiosk.get() {
            return;
        }
        let mut faults = faults.try_update_value(std::mem::take).unwrap_or_default();
        if let Some(mut link) = state.link.get_untracked() {
            state.link.set(None);
            let classes = session.with_untracked(|session| session.model.as_ref().map_or(0, ModelInfo::classes));
            if let Some(class) = link.settings.class.filter(|&class| class >= classes) {
                faults.push((Field::Class, class.to_string()));
                link.settings.class = None;
            }
            state.form.set(link.form());
            let notice = session.with_untracked(|session| session.notice.clone());
            draw::begin(controller, state, Run::from_noise(link.settings, link.count), false);
            // A run clears the notice. That the link is of other weights concerns this run: it stays.
            if let Some(notice @ (Notice::OtherWeights { .. } | Notice::MovedToCpu(_))) = notice {
                controller.dispatch(Event::Tell(notice));
            }
        }
        if !faults.is_empty() {
            controller.dispatch(Event::Tell(Notice::BadLink { faults }));
        }
    });
    let made = Memo::new(move |_| session.with(link));
    Effect::new(move |_| {
        if let Some(link) = made.get()
            && !state.kiosk.get_untracked()
        {
            browser::replace_address(&search(Some(link)));
        }
    });
}

/// A link to the images of the first view, once they are complete.
pub(super) fn link(session: &Session) -> Option<Link> {
    let panel = session.panel(Slot::Generate)?;
    let Run { start: Start::Noise, seeds, settings } = &panel.run else { return None };
    let origin = panel.origin.as_ref()?;
    Some(Link::new(settings.clone(), seeds.len() as u32, &origin.weights_sha256))
}

/// The present address from `?` on, with other images.
pub(super) fn search(link: Option<Link>) -> String {
    Address { link, ..Address::parse(&browser::search()) }.search()
}

/// The address to share: with the images, without the backend or the language of this page.
pub(super) fn url(link: Link) -> String {
    browser::address_with(&Address { link: Some(link), ..Address::default() }.search())
}

/// Shows in the address whether the page is in kiosk mode.
pub(super) fn show_kiosk(kiosk: bool) {
    let address = Address { kiosk, ..Address::parse(&browser::search()) };
    browser::replace_address(&address.search());
}
