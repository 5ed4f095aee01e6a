//! What a test has told its proxy, and what the proxy has seen.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::link::Link;
use super::wire::Message;

/// What happens to a message that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    CutBefore,
    CutAfter,
    FreezeBefore,
    FreezeAfter,
}

/// For one message, the first that matches.
struct Rule {
    action: Action,
    matches: Box<dyn FnMut(&Message) -> bool + Send>,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that a test sets in any combination"
)]
pub(super) struct State {
    /// `host:port`.
    pub(super) target: String,
    rules: Vec<Rule>,
    pub(super) everything_is_frozen: bool,
    pub(super) frozen_links: BTreeSet<usize>,
    pub(super) delay: Duration,
    pub(super) refuses: bool,
    pub(super) strips_options: bool,
    is_over: bool,
    links: Vec<Weak<Link>>,
    pub(super) connections: usize,
    pub(super) messages: Vec<Arc<Message>>,
    pub(super) round_trips: usize,
    pub(super) cuts: usize,
}

/// Shared by the test, the acceptor and both threads of each connection.
#[derive(Default)]
pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

impl Control {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the proxy does, and wakes whoever waits for that.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    pub(super) fn add_rule(
        &self,
        action: Action,
        matches: impl FnMut(&Message) -> bool + Send + 'static,
    ) {
        let matches = Box::new(matches);
        self.state().rules.push(Rule { action, matches });
    }

    pub(super) fn forget_rules(&self) {
        self.state().rules.clear();
    }

    /// Notes a message and says what is to happen to it. The rule that says so is used up.
    pub(super) fn arrived(&self, message: &Arc<Message>) -> Option<Action> {
        let mut state = self.state();
        state.messages.push(Arc::clone(message));
        let first = state
            .rules
            .iter_mut()
            .position(|rule| (rule.matches)(message))?;
        Some(state.rules.remove(first).action)
    }

    /// The server has been ready so many times more.
    pub(super) fn answered(&self, times: usize) {
        self.state().round_trips += times;
    }

    pub(super) fn strips_options(&self) -> bool {
        self.state().strips_options
    }

    pub(super) fn freeze(&self, link: &Link) {
        self.change(|state| state.frozen_links.insert(link.number));
    }

    pub(super) fn cut(&self, link: &Link) {
        link.cut();
        self.has_cut();
    }

    pub(super) fn has_cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Waits while the connection is frozen. False: it is over, nothing may be forwarded.
    pub(super) fn pass(&self, link: &Link) -> bool {
        let mut state = self.state();
        loop {
            if state.is_over || link.is_cut() {
                return false;
            }
            if !state.everything_is_frozen && !state.frozen_links.contains(&link.number) {
                return true;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes as long as the way does. False: the connection is over.
    pub(super) fn travel(&self, link: &Link) -> bool {
        let state = self.state();
        let delay = state.delay;
        if delay.is_zero() {
            return !state.is_over;
        }
        let (state, _) = self
            .changed
            .wait_timeout_while(state, delay, |state| !state.is_over && !link.is_cut())
            .unwrap_or_else(PoisonError::into_inner);
        !state.is_over
    }

    /// Takes note of a connection, so that it can be ended. False: too late, it is over.
    pub(super) fn register(&self, link: &Arc<Link>) -> bool {
        self.change(|state| {
            state.links.push(Arc::downgrade(link));
            !state.is_over
        })
    }

    /// The connections that live.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.state()
            .links
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Ends every connection, also those that are frozen.
    pub(super) fn end(&self) {
        self.change(|state| state.is_over = true);
        for link in self.links() {
            link.close();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_over
    }
}
