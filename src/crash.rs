//! Places at which a process can be made to die, for tests that prove what a death leaves behind.
//!
//! They do something in a build with the feature `failpoints` alone, where the variable `FAILPOINTS`
//! arms them: with `K7=2*off->return` the process dies at the third time that it passes `K7`. It aborts
//! there: nothing is unwound, no destructor runs, no message is sent.

/// Arms the places that the environment names.
pub(crate) fn arm() {
    // the scenario disarms them when it is dropped, which is not before the process ends
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// A place to die at.
#[cfg_attr(
    not(feature = "failpoints"),
    expect(unused_variables, reason = "nobody dies in such a build")
)]
#[inline]
pub(crate) fn point(name: &str) {
    #[cfg(feature = "failpoints")]
    if fail::eval(name, |_| ()).is_some() {
        std::process::abort();
    }
}
