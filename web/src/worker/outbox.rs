//! The way from the worker to the page.

use std::rc::Rc;

use crate::protocol::Response;

/// Sends responses to the page.
#[derive(Clone)]
pub(super) struct Outbox(Rc<dyn Fn(Response)>);

impl Outbox {
    pub(super) fn new(send: impl Fn(Response) + 'static) -> Self {
        Self(Rc::new(send))
    }

    pub(super) fn send(&self, response: Response) {
        (self.0)(response);
    }
}
