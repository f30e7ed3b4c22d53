//! Links: the page's address is that of its image, and opens with it.

use leptos::prelude::*;

use super::browser;
use super::controller::Controller;
use super::state::PageState;
use crate::address::{Address, Link};
use crate::protocol::{Run, Start};
use crate::session::{Event, Notice, Session, Slot};

/// Makes the image of the address once a model is loaded, and keeps the address up to date.
pub(super) fn open_links(controller: Controller, state: PageState) {
    let session = controller.session;
    let ready = Memo::new(move |_| session.with(Session::is_idle));
    Effect::new(move |_| {
        if !ready.get() || state.kiosk.get() {
            return;
        }
        let Some(link) = state.link.get_untracked() else { return };
        state.link.set(None);
        let read = session.with_untracked(|session| link.form().read(session.model.as_ref()));
        match read {
            Ok(settings) => {
                let run = Run::from_noise(settings, link.count);
                let notice = session.with_untracked(|session| session.notice.clone());
                controller.dispatch(Event::Run { slot: Slot::Generate, run, stepwise: false });
                // A run clears the notice. That the link is of other weights concerns this run: it stays.
                if matches!(notice, Some(Notice::OtherWeights { .. })) {
                    session.update(|session| session.notice = notice);
                }
            }
            Err(fields) => state.wrong.set(fields),
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
    let (panel, model) = (session.panel(Slot::Generate)?, session.model.as_ref()?);
    let Run { start: Start::Noise, seeds, settings } = &panel.run else { return None };
    panel.origin.is_some().then(|| Link::new(settings.clone(), seeds.len() as u32, &model.sha256))
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
