//! The signals that stop a run. While trials run they are healed; before and after, the program ends by them as
//! any does, so that judging a large record can be stopped.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::sys::signal::{SigHandler, Signal as Number, signal as set};
use procfs::process::Process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// All of them.
const STOP: [Number; 3] = [Number::SIGINT, Number::SIGTERM, Number::SIGHUP];

/// Signals that are received instead of ending the program, until this is dropped; a program takes them once.
pub(crate) struct StopSignals(Vec<(Number, Signal)>);

impl StopSignals {
    /// Receives them from now on. What whoever started the program ignores (`nohup`, a job in the background)
    /// stays ignored.
    ///
    /// # Errors
    /// The system's, when it allows no handler.
    pub(crate) fn take() -> io::Result<Self> {
        let ignored = Process::myself().and_then(|own| own.status()).map_or(0, |own| own.sigign);
        let wanted = STOP.into_iter().filter(|number| !is_in(ignored, *number));
        let taken = wanted.map(|number| Ok((number, signal(SignalKind::from_raw(number as i32))?)));
        taken.collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        poll_fn(|context| {
            let came = self.0.iter_mut().any(|(_, signal)| signal.poll_recv(context).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        for (number, _) in &self.0 {
            // SAFETY: the default action is no handler of ours.
            unsafe { set(*number, SigHandler::SigDfl) }.ok();
        }
    }
}

/// Whether a mask of `/proc/PID/status` has this signal.
fn is_in(mask: u64, number: Number) -> bool {
    mask >> (number as i32 - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_first_signal_in_its_lowest_bit() {
        // As `nohup sleep 1` shows it: SIGHUP is 1.
        assert!(is_in(0x1, Number::SIGHUP) && !is_in(0x1, Number::SIGINT));
        assert!(is_in(0x4002, Number::SIGINT) && is_in(0x4002, Number::SIGTERM));
    }
}
