//! A clock that runs as fast as the run's own, or slower: by the share that a shape has of its rate.

use crate::spec::Stretches;

/// Millionths of a share.
const WHOLE: u128 = 1_000_000;

/// The clock of a shape, in nanoseconds since its begin.
#[derive(Debug, Clone)]
pub(super) struct Warp {
    /// The run's time at the begin of each stretch, what this clock says then in millionths of a nanosecond, and
    /// the share.
    stretches: Vec<(u64, u128, u32)>,
    /// When it begins again, and what it says then.
    period: Option<(u64, u128)>,
}

impl Warp {
    pub(super) fn new(shape: &Stretches) -> Self {
        let (mut at, mut says) = (0_u64, 0_u128);
        let mut stretches = vec![];
        for (length, share) in &shape.each {
            stretches.push((at, says, *share));
            at = at.saturating_add(*length);
            says += u128::from(*length) * u128::from(*share);
        }
        // What never goes on is no clock.
        let goes_on = |(_, _, share): &mut (u64, u128, u32)| *share = (*share).max(1);
        let period = (shape.repeat && at > 0 && says > 0).then_some((at, says));
        if period.is_none() {
            stretches.last_mut().into_iter().for_each(goes_on);
        }
        Self { stretches, period }
    }

    /// What it says after so much time.
    pub(super) fn at(&self, after: u64) -> u64 {
        let (whole, rest) = match self.period {
            Some((length, says)) => (u128::from(after / length) * says, after % length),
            None => (0, after),
        };
        let place = self.stretches.partition_point(|(begin, ..)| *begin <= rest);
        let (begin, said, share) = place.checked_sub(1).map_or((0, 0, 1), |it| self.stretches[it]);
        let says = whole + said + u128::from(rest - begin) * u128::from(share);
        (says / WHOLE) as u64
    }

    /// After how much time it first says so much.
    pub(super) fn reached(&self, said: u64) -> u64 {
        let wanted = u128::from(said) * WHOLE;
        if wanted == 0 {
            return 0;
        }
        let (before, wanted) = match self.period {
            Some((length, says)) => {
                let whole = (wanted - 1) / says;
                (whole.saturating_mul(length.into()), wanted - whole * says)
            }
            None => (0, wanted),
        };
        let place = self.stretches.partition_point(|(_, said, _)| *said < wanted);
        let (begin, said, share) = place.checked_sub(1).map_or((0, 0, 1), |it| self.stretches[it]);
        let after = (wanted - said).div_ceil(u128::from(share.max(1)));
        u64::try_from(before + u128::from(begin) + after).unwrap_or(u64::MAX)
    }
}
