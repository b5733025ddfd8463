//! Places at which the crash tests kill the process; nothing without the feature `crash-points`.

/// Kills this process, as `kill -9` does, when `SKYTALE_CRASH_AT` names this place: `name:n` for its `n`th passing.
#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &'static str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let Ok(at) = std::env::var("SKYTALE_CRASH_AT") else { return };
    let Some((wanted, count)) = at.split_once(':') else { return };
    if wanted != name || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != count.parse().unwrap_or(1) {
        return;
    }
    let pid = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
    loop {
        std::thread::park();
    }
}

/// Does nothing.
#[cfg(not(feature = "crash-points"))]
pub(crate) const fn point(_: &'static str) {}
